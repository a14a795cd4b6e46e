//! Re-adding a stored ledger and comparing every table with the others.
//!
//! Reads each table a few times, in order, as of one moment. Memory grows with the users, never
//! with the entries.

use rusqlite::Connection;

use crate::ledger::fold::Fold;
use crate::ledger::{AuditReport, LedgerError};

use self::scan::{Stop, Wrong, each, none};
use super::rows::{Columns, ENTRY, count};

mod accounts;
mod ends;
mod scan;
mod vouchers;

/// What an audit finds; a wrong or unreadable row is part of the report, not an error.
pub(super) fn audit(db: &Connection) -> Result<AuditReport, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let (mut fold, mut counts) = (Fold::default(), Counts::default());
    let fault = match compare(&snapshot, &mut fold, &mut counts) {
        Ok(()) => None,
        Err(Stop::Fault(fault)) => Some(fault),
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(AuditReport {
        entries: fold.seq,
        transfers: fold.transfers,
        accounts: counts.accounts,
        receipts: counts.receipts,
        open_holds: counts.open_holds,
        unlinked: 0,
        head: fold.head,
        fault,
    })
}

#[derive(Default)]
struct Counts {
    accounts: u64,
    receipts: u64,
    open_holds: u64,
}

/// Each table is first compared with itself, so that the row that was changed is the one named.
fn compare(db: &Connection, fold: &mut Fold, counts: &mut Counts) -> Result<(), Stop> {
    counts.accounts = count(db, "account")?;
    counts.receipts = count(db, "receipt")?;
    counts.open_holds = count(db, "open_hold")?;
    entries(db, fold)?;
    ends::holds(db)?;
    ends::receipts(db)?;
    ends::released(db)?;
    let open = ends::open_holds(db)?;
    ends::aliases(db)?;
    records(db)?;
    let collecting = vouchers::compare(db)?;
    accounts::compare(db, fold, &open, &collecting)
}

fn entries(db: &Connection, fold: &mut Fold) -> Result<(), Stop> {
    // Movements are re-added with their entries, which have three places for them.
    let sql = "SELECT t.entry FROM transfer t LEFT JOIN entry e ON e.seq = t.entry \
               LEFT JOIN transfer f ON f.entry = t.entry AND f.n = 1 \
               LEFT JOIN transfer g ON g.entry = t.entry AND g.n = 2 \
               WHERE e.seq IS NULL OR f.n IS NULL OR (t.n = 3 AND g.n IS NULL) LIMIT 1";
    none(db, "transfer", sql, "its entry or the one before it is missing")?;
    let sql = format!(
        "SELECT e.seq, {ENTRY} FROM entry e \
         LEFT JOIN transfer t ON t.entry = e.seq AND t.n = 1 \
         LEFT JOIN transfer u ON u.entry = e.seq AND u.n = 2 \
         LEFT JOIN transfer w ON w.entry = e.seq AND w.n = 3 ORDER BY e.seq"
    );
    each(db, "entry", &sql, |columns: &mut Columns<'_, '_>| {
        let (entry, digest) = columns.entry()?;
        fold.add(&entry, &digest).map_err(Wrong::from)
    })
}

/// Every entry for a request has the record that it wrote.
fn records(db: &Connection) -> Result<(), Stop> {
    for (kind, table) in [
        (2, "hold"),
        (3, "receipt"),
        (4, "released"),
        (5, "binding"),
        (6, "escrow"),
        (7, "voucher"),
        (8, "voucher_signature"),
        (9, "settled"),
        (10, "freeze"),
    ] {
        let sql = format!(
            "SELECT e.seq FROM entry e LEFT JOIN {table} r ON r.entry = e.seq \
             WHERE e.kind = {kind} AND r.entry IS NULL LIMIT 1"
        );
        none(db, "entry", &sql, &format!("its row in {table} is missing"))?;
    }
    Ok(())
}
