//! Opening the file: the lock, the settings that durability rests on, and read-only connections.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::ledger::LedgerError;

use super::{cache, schema};

/// A connection that writes, and the lock that makes it the only one.
pub(super) fn for_writing(path: &Path) -> Result<(Connection, File), LedgerError> {
    let name = path.display().to_string();
    check_library_version(rusqlite::version_number())?;
    if let Some(folder) = plain(path).parent() {
        make_folders(folder, &mut sync).map_err(|error| storage(&folder.display(), &error))?;
    }
    let path = &real(path)?;
    let lock = lock(path)?;
    make_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    if connection.is_readonly("main")? {
        // SQLite opens it all the same, and would refuse the first command.
        return Err(LedgerError::ReadOnly(format!("{name} can only be read")));
    }
    // Whether the file is ours is asked first: the journal mode is written into it.
    schema::create_or_check(&mut connection, &name)?;
    schema::check_not_moved(&connection, &name)?;
    SETTINGS.iter().try_for_each(|setting| setting.set(&connection))?;
    let file = std::fs::metadata(path).map_err(|error| storage(&name, &error))?;
    cache::of_writer(&connection, file.len())?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_AFTER_PAGES)?;
    keep_plans(&connection)?;
    SETTINGS.iter().try_for_each(|setting| setting.check(&connection))?;
    Ok((connection, lock))
}

/// Whom a reading connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// A server, for as long as it runs: a writer may come at any time.
    Server,
    /// An operator, for one answer: a stopped ledger in a folder that cannot be written to is read
    /// as a file that nobody changes. SQLite then looks at no lock and no log, so a writer is kept
    /// out meanwhile.
    Operator,
}

/// A connection that cannot write, and what keeps a writer out if it has to.
pub(super) struct Reading {
    pub(super) connection: Connection,
    _no_writer: Option<File>,
}

/// A connection that cannot write, to a ledger that may be in use, stopped or killed.
pub(super) fn for_reading(path: &Path, access: Access) -> Result<Reading, LedgerError> {
    check_library_version(rusqlite::version_number())?;
    let name = path.display().to_string();
    if !path.is_file() {
        return Err(LedgerError::Missing { path: name });
    }
    let path = real(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.pragma_update(None, "busy_timeout", "5000")?;
    let mut no_writer = None;
    if access == Access::Operator
        && lacks_shared_memory(&connection)
        && let Some(still) = Still::of(&path)
    {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        connection = Connection::open_with_flags(unchanging(&path), flags)?;
        no_writer = still.lock;
    }
    keep_plans(&connection)?;
    connection.pragma_update(None, "query_only", "ON")?;
    schema::check(&connection, &name)?;
    Ok(Reading { connection, _no_writer: no_writer })
}

/// The knowledge that nobody writes to a ledger, and that all of it is in its file.
struct Still {
    /// None where no writer ever made a lock, as beside a copy.
    lock: Option<File>,
}

impl Still {
    fn of(path: &Path) -> Option<Self> {
        let lock = match File::open(beside(path, ".lock")) {
            Ok(lock) => lock.try_lock_shared().is_ok().then_some(Some(lock))?,
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => return None,
        };
        // Looked for under the lock: a writer that ends carries its log over before it lets go.
        (!has_log(path)).then_some(Self { lock })
    }
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
    let path =
        path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?immutable=1")
}

/// Statements stay prepared. By itself SQLite would plan some anew for every value that they are
/// given, those above all that an index with a condition answers.
fn keep_plans(connection: &Connection) -> Result<(), LedgerError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

struct Setting {
    name: &'static str,
    value: &'static str,
    required: &'static str,
}

impl Setting {
    fn set(&self, connection: &Connection) -> Result<(), LedgerError> {
        // The journal mode answers with a row, and what it writes is committed behind it. Whoever
        // stops at the row does not hear that the commit failed.
        let mut statement =
            connection.prepare(&format!("PRAGMA {} = {}", self.name, self.value))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
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
        Ok(_) => {
            let synced = path.parent().map_or(Ok(()), sync);
            synced.map_err(|error| storage(&path.display(), &error))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(storage(&path.display(), &error)),
    }
}

/// An empty file that only its owner can read, where none was.
pub(super) fn new_file(path: &Path) -> Result<File, LedgerError> {
    let made = private().create_new(true).open(path);
    made.map_err(|error| storage(&path.display(), &error))
}

/// Makes the name of a new file durable.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), LedgerError> {
    let path = plain(path);
    let synced = path.parent().map_or(Ok(()), sync);
    synced.map_err(|error| storage(&path.display(), &error))
}

/// Makes a folder and those above it. A new name is durable only once the folder that it is in is.
fn make_folders(
    folder: &Path,
    sync: &mut impl FnMut(&Path) -> std::io::Result<()>,
) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    make_folders(parent, sync)?;
    match std::fs::create_dir(folder) {
        Ok(()) => sync(parent),
        // Somebody else made it meanwhile, or it leads through `..` to one that is there.
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The file itself, whichever names lead to it: the lock and SQLite's log lie beside it, and two
/// writers that came by different names must meet there.
fn real(path: &Path) -> Result<PathBuf, LedgerError> {
    let path = plain(path);
    let found = match std::fs::canonicalize(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            std::fs::canonicalize(folder).map(|folder| match path.file_name() {
                Some(name) => folder.join(name),
                None => folder,
            })
        }
        found => found,
    };
    found.map_err(|error| storage(&path.display(), &error))
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
    let told = format!("{what}: {error}");
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => LedgerError::Full(told),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => LedgerError::ReadOnly(told),
        _ => LedgerError::Storage(told),
    }
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
    fn the_folder_above_every_new_folder_is_flushed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let flushed_for = |path: &str| {
            let mut flushed = Vec::new();
            let mut note = |folder: &Path| {
                flushed.push(folder.strip_prefix(root).unwrap().display().to_string());
                Ok(())
            };
            make_folders(&root.join(path), &mut note).unwrap();
            flushed
        };
        assert_eq!(flushed_for("a/b/c"), ["", "a", "a/b"]);
        assert_eq!(flushed_for("a/b/d"), ["a/b"]);
        assert_eq!(flushed_for("a/b"), [""; 0]);
        std::fs::write(root.join("file"), "").unwrap();
        assert!(make_folders(&root.join("file/x"), &mut sync).is_err());
    }

    #[test]
    fn what_the_system_refuses_is_told_apart() {
        let told = |kind: ErrorKind| storage(&"ledger.db", &kind.into());
        assert!(matches!(told(ErrorKind::StorageFull), LedgerError::Full(_)));
        assert!(matches!(told(ErrorKind::QuotaExceeded), LedgerError::Full(_)));
        assert!(matches!(told(ErrorKind::PermissionDenied), LedgerError::ReadOnly(_)));
        assert!(matches!(told(ErrorKind::ReadOnlyFilesystem), LedgerError::ReadOnly(_)));
        assert!(matches!(told(ErrorKind::NotADirectory), LedgerError::Storage(_)));
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
