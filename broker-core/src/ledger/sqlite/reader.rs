//! Reading a ledger beside its writer, or one that is stopped.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension};

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Binding, HoldState, OpenVoucher};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::journal::{Stop, Visitor};
use crate::ledger::statement::{RequestPage, RequestQuery, Statement, Unsealed};
use crate::ledger::{AuditReport, LedgerError, LedgerReader, Totals};
use crate::receipt::{Receipt, ReceiptId};

use super::audit::audit;
use super::open::{self, Access, Reading};
use super::rows::{ACCOUNT, Columns, RECEIPT, count};
use super::values::Count;
use super::{cache, collect, engine, journal, retire, statements, write};

/// Reads a ledger through connections of its own that cannot write. Needs no lock: readers and the
/// writer do not block each other.
///
/// The ledger's file is never changed. SQLite may leave its empty log and its shared memory beside
/// a stopped one.
pub struct SqliteReader {
    path: PathBuf,
    access: Access,
    idle: Mutex<Vec<Reading>>,
}

impl SqliteReader {
    /// Opens the ledger at `path`, to read beside a writer for as long as wanted.
    ///
    /// # Errors
    /// [`LedgerError::Missing`] where there is no file, [`LedgerError::Foreign`] where it is none
    /// of ours.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_as(path, Access::Server)
    }

    /// Opens the ledger at `path` for an audit or the totals, whether or not a writer runs. Unlike
    /// [`Self::open`] it can also read a stopped ledger in a folder that cannot be written to, such
    /// as a mounted backup; no writer can open that ledger until this is dropped.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for_operator(path: &Path) -> Result<Self, LedgerError> {
        Self::open_as(path, Access::Operator)
    }

    fn open_as(path: &Path, access: Access) -> Result<Self, LedgerError> {
        let first = open::for_reading(path, access)?;
        Ok(Self { path: path.to_owned(), access, idle: Mutex::new(vec![first]) })
    }

    /// Copies the ledger as of one moment into a new file, while a writer goes on. The copy is a
    /// ledger like any other: put in the place of the first, with nothing beside it, it is what a
    /// start goes on from.
    ///
    /// # Errors
    /// There is a file at `to`, or the database or the disk failed; then nothing is left there.
    pub fn backup(&self, to: &Path) -> Result<(), LedgerError> {
        let file = open::new_file(to)?;
        let copy = || {
            let db = open::for_reading(&self.path, self.access)?.connection;
            // The file is open to be read only; SQLite takes the copy for a change all the same.
            db.pragma_update(None, "query_only", "OFF")?;
            db.execute("VACUUM INTO ?1", [to.display().to_string()])?;
            file.sync_all().map_err(|error| LedgerError::Storage(error.to_string()))?;
            open::sync_folder_of(to)
        };
        // What is not whole is not left behind.
        copy().inspect_err(|_| drop(std::fs::remove_file(to)))
    }

    pub(super) fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reading = match idle {
            Some(reading) => reading,
            None => open::for_reading(&self.path, self.access)?,
        };
        let answer = read(&reading.connection)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(reading);
        }
        Ok(answer)
    }
}

impl LedgerReader for SqliteReader {
    fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, LedgerError> {
        self.with(|db| receipt(db, id))
    }

    fn receipt_by_upstream_id(
        &self,
        id: &str,
        owner: Option<&UserId>,
    ) -> Result<Option<Receipt>, LedgerError> {
        self.with(|db| engine::receipt(db, id, owner))
    }

    fn hold_state(&self, id: &ReceiptId) -> Result<Option<HoldState>, LedgerError> {
        self.with(|db| {
            let mut statement = db.prepare_cached(
                "SELECT o.hold IS NOT NULL, x.why FROM hold h \
                 LEFT JOIN open_hold o ON o.hold = h.entry \
                 LEFT JOIN released x ON x.hold = h.entry WHERE h.receipt = ?1",
            )?;
            let state = statement.query_row([id], |row| Columns::of(row).hold_state());
            Ok(state.optional()?)
        })
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        self.with(|db| Ok(write::account(db, user)?))
    }

    fn binding(&self) -> Result<Option<Binding>, LedgerError> {
        self.with(collect::binding)
    }

    fn statement(&self, user: &UserId) -> Result<Option<Statement>, LedgerError> {
        self.with(|db| statements::statement(db, user))
    }

    fn statements(&self) -> Result<Vec<Statement>, LedgerError> {
        self.with(statements::statements)
    }

    fn open_vouchers(&self) -> Result<Vec<OpenVoucher>, LedgerError> {
        self.with(collect::open_vouchers)
    }

    fn unsealed(&self, user: &UserId) -> Result<Option<Unsealed>, LedgerError> {
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let books = collect::books(&snapshot, user)?;
            collect::collect(&snapshot, user, books, None)
        })
    }

    fn requests(&self, query: &RequestQuery) -> Result<RequestPage, LedgerError> {
        self.with(|db| statements::requests(db, query))
    }

    fn expired_holds(&self, now: Timestamp, limit: u64) -> Result<Vec<RequestKey>, LedgerError> {
        self.with(|db| {
            // A time beyond the sign never comes.
            let sql = "SELECT h.key FROM open_hold o JOIN hold h ON h.entry = o.hold \
                       WHERE h.expires >= 0 AND h.expires < ?1 ORDER BY h.entry LIMIT ?2";
            let mut statement = db.prepare_cached(sql)?;
            let most = Count(limit.min(u64::MAX >> 1));
            let keys = statement.query_map((now, most), |row| row.get(0))?;
            Ok(keys.collect::<rusqlite::Result<_>>()?)
        })
    }

    fn head(&self) -> Result<(u64, Digest32), LedgerError> {
        self.with(|db| write::Head::read(db).map(|head| (head.seq, head.digest)))
    }

    fn link(&self, place: u64) -> Result<Option<Digest32>, LedgerError> {
        self.with(|db| {
            let mut statement = db.prepare_cached("SELECT digest FROM entry WHERE seq = ?1")?;
            Ok(statement.query_row([Count(place)], |row| row.get(0)).optional()?)
        })
    }

    fn unlinked(&self) -> Result<u64, LedgerError> {
        Ok(0)
    }

    fn totals(&self) -> Result<Totals, LedgerError> {
        self.with(totals)
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        let reading = open::for_reading(&self.path, self.access)?;
        cache::of_auditor(&reading.connection)?;
        audit(&reading.connection)
    }

    fn retirable(&self, upto: u64, limit: u64) -> Result<Option<u64>, LedgerError> {
        self.with(|db| Ok(retire::retirable(db, upto, limit)?))
    }

    fn journal(&self, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let reading = open::for_reading(&self.path, self.access)?;
        cache::of_auditor(&reading.connection)?;
        let snapshot = reading.connection.unchecked_transaction()?;
        journal::lines(&snapshot, behind, visitor)
    }
}

fn receipt(db: &Connection, id: &ReceiptId) -> Result<Option<Receipt>, LedgerError> {
    let sql = format!(
        "SELECT {RECEIPT} FROM receipt r JOIN hold h ON h.entry = r.hold WHERE h.receipt = ?1"
    );
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_row([id], |row| Columns::of(row).receipt()).optional()?)
}

fn totals(db: &Connection) -> Result<Totals, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let mut totals = Totals {
        accounts: count(&snapshot, "account")?,
        receipts: count(&snapshot, "receipt")?,
        open_holds: count(&snapshot, "open_hold")?,
        ..Totals::default()
    };
    let mut statement = snapshot.prepare_cached(&format!("SELECT {ACCOUNT} FROM account a"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        totals.add(&Columns::of(row).account()?)?;
    }
    Ok(totals)
}

const IDLE_CONNECTIONS_MAX: usize = 8;
