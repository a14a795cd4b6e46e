//! The rung that counts flushes: no batch is acknowledged before its log was flushed. It needs no
//! power cut to see a lost setting.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use crate::disk::Disk;
use crate::work::{Open, Work, carry_out, covers};

const BATCHES: u64 = 100;

/// Writes some batches and counts.
///
/// # Errors
/// A batch was acknowledged without a flush.
pub(crate) fn flushes(open: Open<'_>) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::mount(folder.path(), 3);
    let path = folder.path().join("ledger.db");
    let mut ledger = open(&path).map_err(|error| error.to_string())?;
    carry_out(ledger.as_mut(), &covers())?;
    let mut work = Work::new(3, "flushed");
    for n in 1..=BATCHES {
        let before = disk.calls();
        let (batch, _) = work.batch();
        carry_out(ledger.as_mut(), &batch)?;
        if disk.calls().log_syncs == before.log_syncs {
            return Err(format!("batch {n} was acknowledged without a flush"));
        }
    }
    Ok(())
}
