//! A ledger in one SQLite file, durable when a command is answered.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Command, Decision, Hold};
use crate::ledger::proofs::{Kept, LogLeaf};
use crate::ledger::{AuditReport, Ledger, LedgerError, LedgerReader};

mod audit;
mod cache;
mod collect;
mod engine;
mod journal;
mod open;
mod open_holds;
mod proofs;
mod reader;
mod retire;
mod rows;
mod scan;
mod schema;
mod statements;
mod values;
mod write;

pub use reader::SqliteReader;

use self::open_holds::OpenHolds;

/// A ledger in one SQLite file, open for writing. No other process can write to it meanwhile.
pub struct SqliteLedger {
    db: Connection,
    path: PathBuf,
    open: OpenHolds,
    _lock: File,
}

impl SqliteLedger {
    /// Opens the ledger at `path`, and makes it and its folder where there is none.
    ///
    /// # Errors
    /// [`LedgerError::InUse`] while another process writes to it, [`LedgerError::Foreign`] where
    /// the file is none of ours, [`LedgerError::UnsafeSetting`] where commits would not be durable.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let (db, lock) = open::for_writing(path)?;
        Ok(Self { db, path: path.to_owned(), open: OpenHolds::default(), _lock: lock })
    }

    /// A batch in one transaction. Dropping that on the way out of an error rolls it back.
    fn carry_out(
        &mut self,
        batch: &[Command],
        open: &mut OpenHolds,
        now: Timestamp,
    ) -> Result<Vec<Decision>, LedgerError> {
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut shared = write::Batch::begin(&tx, open)?;
        let decisions: Result<Vec<_>, _> =
            batch.iter().map(|command| write::apply(&mut shared, command, now)).collect();
        let decisions = decisions?;
        shared.end()?;
        tx.commit()?;
        Ok(decisions)
    }

    /// Notes that everything went to `place`: the file can still be read and audited, and never be
    /// opened for writing again.
    #[cfg(feature = "postgres")]
    pub(crate) fn has_moved(&mut self, place: &str, at: Timestamp) -> Result<(), LedgerError> {
        let sql = "INSERT INTO moved VALUES (1, ?1, ?2)";
        self.db.execute(sql, rusqlite::params![place, at])?;
        Ok(())
    }
}

impl Ledger for SqliteLedger {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        // Whatever ends this early takes them with it: they may be of a transaction that is none.
        let mut open = std::mem::take(&mut self.open);
        let decisions = self.carry_out(batch, &mut open, now)?;
        self.open = open;
        Ok(decisions)
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ok(write::account(&self.db, user)?)
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        Ok(write::open_holds(&self.db)?)
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        audit::audit(&self.db)
    }

    fn extend_log(&mut self, size: u64, leaves: &[LogLeaf]) -> Result<bool, LedgerError> {
        proofs::extend_log(&mut self.db, size, leaves)
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), LedgerError> {
        proofs::keep(&self.db, kept)
    }

    fn has_one_writer(&self) -> bool {
        true
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        Ok(Arc::new(SqliteReader::open(&self.path)?))
    }
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            DatabaseBusy, DatabaseLocked, DiskFull, ReadOnly, SystemIoFailure,
        };
        if is_unreadable(&error) {
            return Self::Corrupt(error.to_string());
        }
        if is_malformed(&error) {
            return Self::Corrupt(format!(
                "{error}. Keep a copy, and put the last backup that an audit finds sound in its \
                 place"
            ));
        }
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::Full(error.to_string()),
            Some(ReadOnly) => Self::ReadOnly(error.to_string()),
            Some(DatabaseBusy | DatabaseLocked) => Self::Locked(error.to_string()),
            Some(SystemIoFailure) => {
                let code = error.sqlite_error().map_or(0, |error| error.extended_code);
                Self::Storage(format!(
                    "{error} (SQLite's code {code}). Look after the disk and start again; nothing \
                     that was acknowledged is lost"
                ))
            }
            _ => Self::Storage(error.to_string()),
        }
    }
}

/// True where the database answered, with a value that this program never writes.
fn is_unreadable(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{
        FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
    };
    matches!(
        error,
        FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..)
    )
}

/// True where SQLite itself found that the file is no sound database.
fn is_malformed(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
