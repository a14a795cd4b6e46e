//! From one laptop to a fleet: a ledger in a file becomes one in PostgreSQL.

use crate::clock::Timestamp;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::sqlite::SqliteLedger;
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

/// Moves everything of `from` into the empty ledger `to`, and audits both sides. Holds that a crash
/// left open in `from` are freed before, as a start would; in the end it is marked as moved, and is
/// never opened for writing again: two ledgers of the same fees would both collect them. It can
/// still be read and audited. Blocks; see [`PostgresLedger`] for where that is allowed.
///
/// # Errors
/// [`LedgerError::Corrupt`] where an audit of either side finds a fault, or the two differ;
/// [`LedgerError::Foreign`] where `to` is not empty. Before that `to` holds nothing.
pub fn migrate(
    from: &mut SqliteLedger,
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
    from.has_moved(to.place(), now)?;
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
