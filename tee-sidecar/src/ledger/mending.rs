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
        LedgerError::Unreachable(_) => {
            "check ledger.url, and that the database runs and lets this machine in"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_what_to_mend() {
        let refused = "no connection to db:5432/fees: Connection refused (os error 111)";
        let refused = advice(&LedgerError::Unreachable(refused.into()));
        assert!(refused.unwrap().starts_with("check ledger.url"));
        assert_eq!(advice(&LedgerError::Storage("its writer died".into())), None);
        let advised = advice(&LedgerError::Corrupt("x".into())).unwrap();
        assert!(advised.contains("restore the last backup"));
        assert_eq!(advice(&LedgerError::Busy), None);
    }
}
