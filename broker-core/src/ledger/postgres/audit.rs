//! Re-adding everything from the records.

use crate::ledger::fold::Fold;
use crate::ledger::{AuditReport, Fault};

use super::fault::Trouble;
use super::rows::{Columns, entry_columns, entry_source};
use super::session::Session;
use super::statements::SNAPSHOT;

/// Goes through the chain and what waits for its place, as of one moment.
pub(super) fn audit(session: &mut Session) -> Result<AuditReport, Trouble> {
    session.transact(SNAPSHOT, |session| {
        let mut fold = Fold::default();
        let mut fault = None;
        let mut unlinked: u64 = 0;
        session.each(CHAIN, &[], |row| {
            let mut columns = Columns::of(row);
            let mut entry = columns.entry()?;
            let (place, digest): (Option<super::values::Count>, Option<_>) =
                (columns.take()?, columns.take()?);
            let is_linked = place.is_some();
            entry.seq = place.map_or(fold.seq.saturating_add(1), |place| place.0);
            if !is_linked {
                unlinked = unlinked.saturating_add(1);
            }
            let digest = digest.unwrap_or_else(|| entry.digest(&fold.head));
            if fault.is_none()
                && let Err(what) = fold.add(&entry, &digest)
            {
                fault = Some(Fault { table: "entry", row: entry.number.to_string(), what });
            }
            Ok(())
        })?;
        let counts = session.query_one(
            "SELECT (SELECT count(*) FROM receipt), (SELECT count(*) FROM open_hold)",
            &[],
        )?;
        let mut columns = Columns::of(&counts);
        Ok(AuditReport {
            entries: fold.seq,
            transfers: fold.transfers,
            accounts: fold.accounts.len() as u64,
            receipts: columns.count()?,
            open_holds: columns.count()?,
            unlinked,
            head: fold.head,
            fault,
        })
    })
}

const CHAIN: &str = concat!(
    "SELECT ",
    entry_columns!(),
    ", l.seq, l.digest FROM entry e LEFT JOIN link l ON l.entry = e.number ",
    entry_source!(),
    " ORDER BY l.seq NULLS LAST, e.number"
);
