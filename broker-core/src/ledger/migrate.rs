//! From one laptop to a fleet: a ledger in a file becomes one in PostgreSQL.

use crate::clock::Timestamp;
use crate::digest::Digest32;
use crate::ledger::postgres::PostgresLedger;
use crate::ledger::proofs::{KeptKind, LogState, LogTiles};
use crate::ledger::sqlite::SqliteLedger;
use crate::ledger::{AuditReport, Ledger, LedgerError, LedgerReader, Totals};
use crate::log;
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
    /// The receipt log, which goes on: proofs that were made before it moved fit what it signs
    /// after.
    pub log: LogState,
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
        return Err(LedgerError::Corrupt(format!(
            "the two sides differ after the move: {before:?} before, {after:?} after; the ledger \
             that was moved is as it was: empty the other one and try again"
        )));
    }
    from.has_moved(to.place(), now)?;
    let Look { audit, totals, log, .. } = before;
    Ok(Migrated { released, audit, totals, log })
}

/// One side of a move.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    audit: AuditReport,
    totals: Totals,
    log: LogState,
    root: Digest32,
    kept: usize,
}

fn look(reader: &dyn LedgerReader) -> Result<Look, LedgerError> {
    let audit = reader.audit()?;
    if let Some(fault) = &audit.fault {
        return Err(LedgerError::Corrupt(fault.to_string()));
    }
    let (totals, log) = (reader.totals()?, reader.log()?);
    let root = log::root(&LogTiles(reader), log.size)?;
    let mut kept: usize = 0;
    for kind in (0..=u8::MAX).filter_map(KeptKind::from_code) {
        kept = kept.saturating_add(reader.kept_last(kind, u64::MAX)?.len());
    }
    Ok(Look { audit, totals, log, root, kept })
}
