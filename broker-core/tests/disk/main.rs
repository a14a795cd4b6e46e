//! A disk that fails, fills up or loses its power: nothing that was acknowledged is lost, and
//! nothing is acknowledged that was not written.
//!
//! `CUTS=10000 cargo test -p broker-core --test disk` cuts the power more often, and `SEED=17`
//! runs one seed.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::print_stdout, reason = "so it says which seed failed")]

#[path = "../shared/books.rs"]
mod books;
mod conditions;
#[path = "../shared/disk.rs"]
mod disk;
mod failing;
#[path = "../shared/rungs/faults.rs"]
mod faults;
#[path = "../shared/rungs/flushes.rs"]
mod flushes;
mod flushing;
#[path = "../shared/rungs/power.rs"]
mod power;
#[path = "../shared/runs.rs"]
mod runs;
#[path = "../shared/work.rs"]
mod work;
#[path = "../shared/wrapped.rs"]
mod wrapped;

use std::path::Path;

use broker_core::{Ledger, LedgerError};
use power::{CUTS_PER_RUN, Tally, power_cuts};

/// Power cuts of an ordinary test run.
const CUTS: u64 = 500;

#[test]
fn no_power_cut_takes_what_was_acknowledged() {
    let seeds = runs::seeds("CUTS", CUTS, CUTS_PER_RUN as u64);
    let (done, failed) = runs::all(seeds, |seed| power_cuts(&small_log(seed), seed));
    let mut tally = Tally::default();
    done.iter().for_each(|run| tally.add(*run));
    println!("{tally:?}");
    runs::expect_none(&failed, "disk", "no_power_cut");
    // Nothing of what these runs are for was left out.
    let Tally { cuts, second_cuts, mid_request, promises, unflushed, without_log } = tally;
    assert_eq!(cuts, (done.len() * CUTS_PER_RUN) as u64);
    assert_eq!(unflushed, 0, "a batch was acknowledged without a flush");
    if done.len() > 1 {
        let seen = [second_cuts, mid_request, promises, without_log];
        assert!(seen.iter().all(|count| *count > 0), "{tally:?}");
    }
}

/// The ledger as it is shipped, but for a log that is carried over into the file every few pages:
/// with the shipped 32 MiB a short run would never get there.
fn small_log(seed: u64) -> impl Fn(&Path) -> Result<Box<dyn Ledger>, LedgerError> + Sync {
    let pages = [10, 40, 8192][(seed % 3) as usize];
    move |path| {
        let order = format!("PRAGMA wal_autocheckpoint = {pages}");
        Ok(Box::new(disk::connection::open_with(path, &order)?.0))
    }
}
