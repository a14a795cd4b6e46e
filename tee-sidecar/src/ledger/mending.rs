//! What a host does about a ledger that fails.

use broker_core::LedgerError;

/// What to mend; `None` where the error says it all.
pub fn advice(error: &LedgerError) -> Option<&'static str> {
    Some(match error {
        LedgerError::InUse { .. } => {
            "stop the other tee-sidecar, or give this one a ledger of its own"
        }
        LedgerError::Missing { .. } => "check ledger.url; the first `serve` makes the ledger",
        LedgerError::Foreign { .. } => "check ledger.url: it never overwrites what is not its own",
        LedgerError::Corrupt(_) => {
            "keep a copy of it for the search, restore the last backup, and hold that to the \
             reports you kept: `ledger audit --report FILE`"
        }
        LedgerError::UnsafeSetting { .. } => {
            "commits would not be durable: change it in the database's configuration"
        }
        LedgerError::Storage(what) => storage(&what.to_ascii_lowercase())?,
        _ => return None,
    })
}

/// In the words of SQLite, the operating system and PostgreSQL.
fn storage(what: &str) -> Option<&'static str> {
    let says = |words: &[&str]| words.iter().any(|word| what.contains(word));
    if says(&["full", "no space", "file too large", "quota", "53100"]) {
        Some("free some space there, then start again: nothing that was acknowledged is lost")
    } else if says(&["disk i/o error"]) {
        Some("look at the disk and its free space, then start again: nothing acknowledged is lost")
    } else if says(&["readonly", "read-only", "permission denied", "unable to open"]) {
        Some("let this user write to the ledger and its folder, then start again")
    } else if says(&["database is locked", "database table is locked"]) {
        Some("end the program that has the ledger open for writing, then start again")
    } else if says(&["connect", "host", "resolve", "tls", "password"]) {
        Some("check ledger.url, and that the database runs and lets this machine in")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_what_to_mend() {
        let storage = |what: &str| advice(&LedgerError::Storage(what.to_owned()));
        for (what, told) in [
            ("database or disk is full", "free some space"),
            ("/data/ledger.db: File too large (os error 27)", "free some space"),
            ("attempt to write a readonly database", "let this user write"),
            ("/x: Read-only file system (os error 30)", "let this user write"),
            ("database is locked", "end the program"),
            ("error connecting to server: Connection refused (os error 111)", "check ledger.url"),
        ] {
            assert!(storage(what).unwrap().starts_with(told), "{what}");
        }
        assert!(storage("disk I/O error").unwrap().starts_with("look at the disk"));
        assert_eq!(storage("its writer died"), None);
        let advised = advice(&LedgerError::Corrupt("x".into())).unwrap();
        assert!(advised.contains("restore the last backup"));
        assert_eq!(advice(&LedgerError::Busy), None);
    }
}
