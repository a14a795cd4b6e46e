//! From one laptop to a fleet: a ledger in a file becomes one in PostgreSQL.

use crate::clock::Timestamp;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::{AuditReport, Ledger, LedgerError, LedgerReader, Totals};
use crate::writer::recover;

/// What a ledger was when it moved: the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Holds that a crash had left open, and that were freed before.
    pub released: u64,
    /// What an audit found, before and after.
    pub audit: AuditReport,
    /// The sums, before and after.
    pub totals: Totals,
}

/// Moves everything of `from`, which nobody else may be writing to, into the empty ledger `to`, and
/// audits both sides. `from` stays as it is, but for holds that a crash left open: those are freed,
/// as a start would. Blocks; see [`PostgresLedger`] for where that is allowed.
///
/// # Errors
/// [`LedgerError::Corrupt`] where an audit of either side finds a fault, or the two differ;
/// [`LedgerError::Foreign`] where `to` is not empty. Before that `to` holds nothing.
pub fn migrate(
    from: &mut dyn Ledger,
    to: &mut PostgresLedger,
    now: Timestamp,
) -> Result<Migrated, LedgerError> {
    let released = recover(from, now)?;
    let source = from.reader()?;
    let before = look(&*source)?;
    to.import(&*source)?;
    let after = look(&*to.reader()?)?;
    if before != after {
        let (sums, others) = (before.1, after.1);
        return Err(LedgerError::Corrupt(format!(
            "the two sides differ after the move: {sums:?} before, {others:?} after; the ledger \
             that was moved is as it was: empty the other one and try again"
        )));
    }
    let (audit, totals) = before;
    Ok(Migrated { released, audit, totals })
}

fn look(reader: &dyn LedgerReader) -> Result<(AuditReport, Totals), LedgerError> {
    let audit = reader.audit()?;
    match &audit.fault {
        Some(fault) => Err(LedgerError::Corrupt(fault.to_string())),
        None => Ok((audit, reader.totals()?)),
    }
}
