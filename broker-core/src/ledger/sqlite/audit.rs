//! An audit of a stored ledger: its journal is carried out again, and what is stored beside the
//! journal compared with what that leads to.
//!
//! Reads every table once, in order, as of one moment. What memory it takes is said in
//! [`crate::ledger::replay`].

use rusqlite::Connection;

use crate::ledger::journal::Stop;
use crate::ledger::replay::Replay;
use crate::ledger::{AuditReport, Fault, LedgerError};

use super::journal;

mod derived;

/// What an audit finds; a wrong or unreadable row is part of the report, not an error.
pub(super) fn audit(db: &Connection) -> Result<AuditReport, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let mut replay = Replay::default();
    let told = journal::lines(&snapshot, 0, &mut replay).and_then(|()| Ok(replay.finish()?));
    let compared = told.and_then(|()| derived::compare(&snapshot, &replay));
    // An index that leads astray would let a key be used twice or a fee be forgotten.
    let compared = compared.and_then(|()| sound(&snapshot));
    replay.verdict(compared)
}

/// SQLite's own check of its pages and indexes.
fn sound(db: &Connection) -> Result<(), Stop> {
    let check: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if check == "ok" {
        return Ok(());
    }
    let what = format!("it is malformed: {check}");
    Err(Fault { table: "database", row: "image".to_owned(), what }.into())
}
