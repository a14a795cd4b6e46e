//! Opening the file: the lock, the settings that durability rests on, and read-only connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::ledger::LedgerError;

use super::schema;

/// A connection that writes, and the lock that makes it the only one.
pub(super) fn for_writing(path: &Path) -> Result<(Connection, File), LedgerError> {
    let name = path.display().to_string();
    check_library_version(rusqlite::version_number())?;
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| storage(&parent.display(), &error))?;
    }
    let lock = lock(path)?;
    make_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(plain(path), flags)?;
    // Whether the file is ours is asked first: the journal mode is written into it.
    schema::create_or_check(&mut connection, &name)?;
    SETTINGS.iter().try_for_each(|setting| setting.set(&connection))?;
    remember_pages(&connection)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_AFTER_PAGES)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    SETTINGS.iter().try_for_each(|setting| setting.check(&connection))?;
    Ok((connection, lock))
}

/// A connection that cannot write, to a ledger that may be in use, stopped or killed.
pub(super) fn for_reading(path: &Path) -> Result<Connection, LedgerError> {
    check_library_version(rusqlite::version_number())?;
    let name = path.display().to_string();
    if !path.is_file() {
        return Err(LedgerError::Missing { path: name });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(plain(path), flags)?;
    connection.pragma_update(None, "busy_timeout", "5000")?;
    if !has_log(path) && lacks_shared_memory(&connection) {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        connection = Connection::open_with_flags(unchanging(path), flags)?;
    }
    connection.pragma_update(None, "query_only", "ON")?;
    schema::check(&connection, &name)?;
    Ok(connection)
}

/// True where the ledger lies in a folder that cannot be written to, such as a mounted backup, and
/// SQLite has no place for the memory that readers and a writer share.
fn lacks_shared_memory(connection: &Connection) -> bool {
    let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let code = read.err().and_then(|error| error.sqlite_error_code());
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn has_log(path: &Path) -> bool {
    std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0)
}

/// The address under which SQLite takes a file for one that nobody changes, and shares nothing.
fn unchanging(path: &Path) -> String {
    let path = plain(path).display().to_string();
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

/// For a connection that goes all over the file: one that writes, or that audits.
pub(super) fn remember_pages(connection: &Connection) -> Result<(), LedgerError> {
    Ok(connection.pragma_update(None, "cache_size", CACHE_KIBIBYTES)?)
}

struct Setting {
    name: &'static str,
    value: &'static str,
    required: &'static str,
}

impl Setting {
    fn set(&self, connection: &Connection) -> Result<(), LedgerError> {
        // The journal mode answers with a row, which `pragma_update` ignores.
        Ok(connection.pragma_update(None, self.name, self.value)?)
    }

    fn check(&self, connection: &Connection) -> Result<(), LedgerError> {
        let found = connection.pragma_query_value(None, self.name, |row| {
            row.get_ref(0).map(|value| match value {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                other => other.as_str().unwrap_or("unreadable").to_owned(),
            })
        })?;
        if found == self.required {
            return Ok(());
        }
        Err(LedgerError::UnsafeSetting { setting: self.name, found, required: self.required })
    }
}

/// `synchronous=NORMAL` may lose an acknowledged commit when the power fails; FULL does not.
const SETTINGS: [Setting; 4] = [
    Setting { name: "busy_timeout", value: "5000", required: "5000" },
    Setting { name: "foreign_keys", value: "ON", required: "1" },
    Setting { name: "synchronous", value: "FULL", required: "2" },
    Setting { name: "journal_mode", value: "WAL", required: "wal" },
];

const STATEMENTS_CACHED_MAX: usize = 64;

/// Keys and ids are random, so commands touch pages all over the file: 64 MiB of them at hand make
/// a large ledger about twice as fast. SQLite takes a size in kibibytes as a negative number.
const CACHE_KIBIBYTES: i64 = -65_536;

/// Carry the log over into the file when it is 32 MiB long: the pages that many commands touched
/// are then written once.
const CHECKPOINT_AFTER_PAGES: i64 = 8192;

/// Versions before 3.51.3 can corrupt a write-ahead log that two connections reset at once.
fn check_library_version(found: i32) -> Result<(), LedgerError> {
    if found >= 3_051_003 {
        return Ok(());
    }
    let (setting, required) = ("SQLite version number", "3051003 or later");
    Err(LedgerError::UnsafeSetting { setting, found: found.to_string(), required })
}

/// The lock lies in a file of its own, since SQLite drops its own locks on the ledger's file when
/// any descriptor of it is closed. The file stays when the ledger is closed; only the lock goes.
fn lock(path: &Path) -> Result<File, LedgerError> {
    let name = beside(path, ".lock");
    let file = private().create(true).truncate(false).open(&name);
    let file = file.map_err(|error| storage(&name.display(), &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(LedgerError::InUse { path: path.display().to_string() })
        }
        Err(TryLockError::Error(error)) => Err(storage(&name.display(), &error)),
    }
}

/// Makes the file before SQLite does, so that nobody else can read it from the first moment on.
fn make_file(path: &Path) -> Result<(), LedgerError> {
    match private().create_new(true).open(path) {
        Ok(_) => sync_folder(path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(storage(&path.display(), &error)),
    }
}

/// A new file's name is durable only once its folder is.
fn sync_folder(path: &Path) -> Result<(), LedgerError> {
    let folder = plain(path).parent().map(Path::to_owned).unwrap_or_default();
    let synced = File::open(&folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| storage(&folder.display(), &error))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A relative path that starts with `file:` would be taken for a URI; `./file:` is not.
fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn storage(what: &dyn std::fmt::Display, error: &std::io::Error) -> LedgerError {
    LedgerError::Storage(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_with_the_wal_reset_bug_is_refused() {
        assert!(check_library_version(3_051_002).is_err());
        assert!(check_library_version(3_051_003).is_ok());
    }

    #[test]
    fn every_commit_of_an_open_ledger_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, _lock) = for_writing(&folder.path().join("ledger.db")).unwrap();
        let number = |name: &str| -> i64 {
            connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
        };
        let mode: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let numbers = ["synchronous", "foreign_keys", "busy_timeout"].map(number);
        assert_eq!((mode.as_str(), numbers), ("wal", [2, 1, 5000]));
    }

    #[test]
    fn a_setting_that_does_not_take_is_named() {
        let connection = Connection::open_in_memory().unwrap();
        let [.., journal_mode] = &SETTINGS;
        // A database in memory has no write-ahead log, and keeps its own mode without an error.
        journal_mode.set(&connection).unwrap();
        let refusal = journal_mode.check(&connection).unwrap_err();
        assert_eq!(refusal.to_string(), "the ledger's journal_mode is memory, and must be wal");
    }
}
