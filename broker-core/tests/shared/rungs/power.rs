//! The rung of power cuts: whatever the disk had not flushed is lost in part, and nothing that was
//! acknowledged is.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::path::Path;

use broker_core::testing::Rng;
use rusqlite::Connection;

use crate::disk::{Disk, Remains};
use crate::work::{Open, Promise, Work, carry_out, check, covers};

/// Power cuts in one run.
pub(crate) const CUTS_PER_RUN: usize = 20;

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) cuts: u64,
    /// Cuts while a ledger was recovered from a cut.
    pub(crate) second_cuts: u64,
    /// Cuts with exchanges under way.
    pub(crate) mid_request: u64,
    /// What was promised at the cuts, in sum.
    pub(crate) promises: u64,
    /// Runs with fewer flushes than batches that were acknowledged.
    pub(crate) unflushed: u64,
    /// Cuts that left no log: everything was in the file.
    pub(crate) without_log: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.second_cuts += other.second_cuts;
        self.mid_request += other.mid_request;
        self.promises += other.promises;
        self.unflushed += other.unflushed;
        self.without_log += other.without_log;
    }
}

/// Writes to a ledger while the power is cut at [`CUTS_PER_RUN`] random calls, and looks at what is
/// left at each of them.
///
/// # Errors
/// A promise that did not survive.
pub(crate) fn power_cuts(open: Open<'_>, seed: u64) -> Result<Tally, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut run = Run::start(folder.path(), seed);
    run.write(open)?;
    let mut tally = Tally {
        unflushed: u64::from(run.disk.calls().log_syncs < run.promised.len() as u64),
        ..Tally::default()
    };
    for (n, remains) in run.disk.take_remains().into_iter().enumerate() {
        let place = folder.path().join(format!("cut-{n}"));
        let promises = run.promised.iter().take(remains.acknowledged).flatten();
        let promises: Vec<_> = promises.cloned().collect();
        let told = |why: String| format!("cut {n} at call {}: {why}", remains.call);
        look(&place, &remains, &promises, &mut run.rng, &mut tally).map_err(told)?;
    }
    Ok(tally)
}

struct Run {
    path: std::path::PathBuf,
    disk: std::sync::Arc<Disk>,
    rng: Rng,
    work: Work,
    /// What each acknowledged batch promised.
    promised: Vec<Vec<Promise>>,
}

impl Run {
    fn start(folder: &Path, seed: u64) -> Self {
        let folder = folder.join("live");
        std::fs::create_dir(&folder).unwrap();
        let disk = Disk::mount(&folder, seed);
        disk.cut_at_random(CUTS_PER_RUN, 20);
        let path = folder.join("ledger.db");
        let work = Work::new(seed, &format!("run{seed}"));
        Self { path, disk, rng: Rng::new(seed ^ 0x9e37), work, promised: Vec::new() }
    }

    /// Until there were enough cuts. Now and then the ledger is opened again, and now and then
    /// somebody reads for a while, so that the log cannot be carried over to its end.
    fn write(&mut self, open: Open<'_>) -> Result<(), String> {
        let mut reading: Option<Connection> = None;
        while self.disk.cuts_left() > 0 {
            let mut ledger = open(&self.path).map_err(|error| error.to_string())?;
            broker_core::recover(ledger.as_mut(), crate::books::NOW)
                .map_err(|error| error.to_string())?;
            self.work.forget_open();
            carry_out(ledger.as_mut(), &covers())?;
            self.disk.acknowledge();
            self.promised.push(Vec::new());
            let batches = 5 + self.rng.below(40);
            for _ in 0..batches {
                let (batch, promises) = self.work.batch();
                carry_out(ledger.as_mut(), &batch)?;
                self.disk.acknowledge();
                self.promised.push(promises);
                match self.rng.below(16) {
                    0 => reading = Some(look_on(&self.path)?),
                    1 | 2 => reading = None,
                    _ => {}
                }
            }
            drop(reading.take());
        }
        Ok(())
    }
}

fn look_on(path: &Path) -> Result<Connection, String> {
    let look = || {
        let connection = Connection::open(path)?;
        connection.execute_batch("BEGIN; SELECT count(*) FROM entry")?;
        Ok(connection)
    };
    look().map_err(|error: rusqlite::Error| error.to_string())
}

/// Checks one cut. One recovery in four is itself cut off twice, and what that leaves is looked at.
fn look(
    place: &Path,
    remains: &Remains,
    promises: &[Promise],
    rng: &mut Rng,
    tally: &mut Tally,
) -> Result<(), String> {
    remains.lay_down(place);
    let disk = Disk::mount(place, rng.next_u64());
    if rng.below(4) == 0 {
        disk.cut_at_random(2, 100);
    }
    let found = check(&place.join("ledger.db"), promises)?;
    let has_log = remains.files.iter().any(|(name, log)| name.ends_with("-wal") && !log.is_empty());
    tally.cuts += 1;
    tally.without_log += u64::from(!has_log);
    tally.mid_request += u64::from(found.freed > 0);
    tally.promises += promises.len() as u64;
    for (n, remains) in disk.take_remains().into_iter().enumerate() {
        let place = place.join(format!("again-{n}"));
        remains.lay_down(&place);
        let _disk = Disk::mount(&place, 0);
        let again = check(&place.join("ledger.db"), promises);
        again
            .map_err(|why| format!("cut again at call {} of its recovery: {why}", remains.call))?;
        tally.second_cuts += 1;
    }
    Ok(())
}
