//! Re-adding a stored ledger and comparing every table with the others.
//!
//! Reads each table once, in order, as of one moment. Memory grows with the users, never with the
//! transfers.

use rusqlite::Connection;

use crate::ledger::fold::Fold;
use crate::ledger::{AuditReport, LedgerError};

use self::scan::{Stop, Wrong, each, none};
use super::rows::{Columns, TRANSFER, count};

mod accounts;
mod ends;
mod scan;

/// What an audit finds; a wrong or unreadable row is part of the report, not an error.
pub(super) fn audit(db: &Connection) -> Result<AuditReport, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let mut fold = Fold::default();
    let fault = match compare(&snapshot, &mut fold) {
        Ok(()) => None,
        Err(Stop::Fault(fault)) => Some(fault),
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(AuditReport {
        transfers: fold.seq,
        accounts: count(&snapshot, "account")?,
        receipts: count(&snapshot, "receipt")?,
        open_holds: count(&snapshot, "open_hold")?,
        head: fold.head,
        fault,
    })
}

/// Each table is first compared with itself, so that the row that was changed is the one named.
fn compare(db: &Connection, fold: &mut Fold) -> Result<(), Stop> {
    transfers(db, fold)?;
    ends::receipts(db)?;
    ends::released(db)?;
    let open = ends::holds(db)?;
    ends::aliases(db)?;
    owners(db)?;
    accounts::compare(db, fold, &open)
}

fn transfers(db: &Connection, fold: &mut Fold) -> Result<(), Stop> {
    let sql = format!("SELECT t.seq, {TRANSFER} FROM transfer t ORDER BY t.seq");
    each(db, "transfer", &sql, |columns: &mut Columns<'_, '_>| {
        let (transfer, digest) = columns.transfer()?;
        fold.add(&transfer, &digest).map_err(Wrong::from)
    })
}

/// Movements for a request need the record that they follow from, once, and move its user's money.
fn owners(db: &Connection) -> Result<(), Stop> {
    let sql = "SELECT min(t.seq) FROM transfer t WHERE t.key IS NOT NULL \
               GROUP BY t.key, t.kind, t.debit, t.credit HAVING count(*) > 1 LIMIT 1";
    none(db, "transfer", sql, "the same movement is there twice")?;
    let sql = "SELECT t.seq FROM transfer t LEFT JOIN hold h ON h.key = t.key \
               WHERE t.key IS NOT NULL AND (h.key IS NULL OR h.user <> t.user) LIMIT 1";
    none(db, "transfer", sql, "no hold of this user has its key")?;
    let sql = "SELECT t.seq FROM transfer t WHERE t.kind = 3 \
               AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.key = t.key) LIMIT 1";
    none(db, "transfer", sql, "no receipt ends its hold")?;
    let sql = "SELECT t.seq FROM transfer t WHERE t.kind = 4 \
               AND NOT EXISTS (SELECT 1 FROM released x WHERE x.key = t.key) LIMIT 1";
    none(db, "transfer", sql, "no release ends its hold")
}
