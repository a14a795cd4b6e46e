//! Bugs that were planted, and the rung that has to catch each of them: a rung that finds nothing
//! in them proves nothing about the ledger as it is shipped.
//!
//! | bug | caught by |
//! |---|---|
//! | answers before the commit | kills, power cuts |
//! | one movement over two transactions | kills |
//! | `synchronous=OFF` | power cuts, the count of flushes; kills do not see it |
//! | a failed flush is tried again | disks that fail |
//! | a failed batch is tried again | disks that fail |
//! | a failed batch counts as written | disks that fail |
//! | a nonce of the clock's | conformance, and by seed in `tests/settlement` |
//! | a fee above its hold | conformance |
//! | a key that is used again | conformance |
//! | the end of a hold is forgotten | conformance |
//! | a lost update of a balance | conformance |
//! | a fee under two vouchers | conformance |
//! | a fee that is earned twice | conformance |
//! | two open vouchers | conformance |
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::print_stdout, reason = "so it says what was caught, and how")]

#[path = "../shared/rungs/alike.rs"]
mod alike;
#[path = "../shared/books.rs"]
mod books;
#[path = "../shared/disk.rs"]
mod disk;
#[path = "../shared/rungs/faults.rs"]
mod faults;
mod flawed;
#[path = "../shared/rungs/flushes.rs"]
mod flushes;
#[path = "../shared/rungs/kills.rs"]
mod kills;
mod naive;
#[path = "../shared/rungs/power.rs"]
mod power;
#[path = "../shared/work.rs"]
mod work;
#[path = "../shared/wrapped.rs"]
mod wrapped;

use std::path::Path;

use broker_core::{Ledger, LedgerError, MemoryLedger};
use disk::{Calls, Fault};
use naive::{Bug, Naive};

/// Kills, seeds of power cuts and seeds of conformance, within which a bug has to show.
const KILLS: u64 = 40;
const POWER_SEEDS: u64 = 3;
const ALIKE_SEEDS: u64 = 40;

#[test]
fn an_answer_before_the_commit_is_caught_by_kills_and_by_power_cuts() {
    caught("early", "kills", kills::kills("early", KILLS).map(drop));
    caught("early", "power cuts", power_cuts("early"));
}

#[test]
fn a_movement_over_two_transactions_is_caught_by_kills() {
    caught("split", "kills", kills::kills("split", KILLS).map(drop));
}

/// A killed process leaves its writes to the system, which still has them: only what takes the
/// power away can see that they were not flushed.
#[test]
fn synchronous_off_is_caught_by_power_cuts_and_by_counting_and_not_by_kills() {
    let off = "synchronous=OFF";
    caught(off, "power cuts", power_cuts(off));
    caught(off, "flushes", flushes::flushes(&|path: &Path| flawed::open(off, path)));
    kills::kills(off, KILLS).unwrap();
}

#[test]
fn a_flush_that_is_tried_again_is_caught_by_disks_that_fail() {
    caught("a retried flush", "disks that fail", disks_that_fail("none", true, Fault::Sync));
}

#[test]
fn a_batch_that_is_tried_again_is_caught_by_disks_that_fail() {
    for fault in [Fault::Write, Fault::Sync] {
        caught("retried", "disks that fail", disks_that_fail("retried", false, fault));
    }
}

#[test]
fn a_failure_that_counts_as_written_is_caught_by_disks_that_fail() {
    for fault in [Fault::Write, Fault::Sync, Fault::Full] {
        caught("hopeful", "disks that fail", disks_that_fail("hopeful", false, fault));
    }
}

#[test]
fn wrong_decisions_are_caught_by_conformance() {
    for bug in [
        Bug::ClockNonce,
        Bug::FeeAboveHold,
        Bug::KeyReused,
        Bug::ForgottenEnd,
        Bug::LostUpdate,
        Bug::CollectedTwice,
        Bug::DoubledFee,
        Bug::SecondVoucher,
    ] {
        let name = format!("{bug:?}");
        caught(&name, "conformance", conformance(|_| Ok(Box::new(Naive::new(bug)))));
    }
}

/// What the rungs say of ledgers without a bug; without this they might say it of any.
#[test]
fn no_rung_catches_a_ledger_without_a_bug() {
    conformance(|_| Ok(Box::new(Naive::new(Bug::None)))).unwrap();
    conformance(|_| Ok(Box::new(MemoryLedger::new()))).unwrap();
    conformance(work::shipped).unwrap();
    power_cuts("none").unwrap();
    kills::kills("none", 10).unwrap();
    flushes::flushes(&work::shipped).unwrap();
    disks_that_fail("none", false, Fault::Sync).unwrap();
}

/// Not a test of its own: the process that others start and kill.
#[test]
fn child_that_writes_until_it_is_killed() {
    kills::child(flawed::open);
}

fn caught(bug: &str, rung: &str, outcome: Result<(), String>) {
    match outcome {
        Ok(()) => panic!("{rung} did not catch: {bug}"),
        Err(found) => println!("{bug}, caught by {rung}: {:.200}", found),
    }
}

fn power_cuts(bug: &str) -> Result<(), String> {
    let open = |path: &Path| flawed::open(bug, path);
    (0..POWER_SEEDS).try_for_each(|seed| power::power_cuts(&open, seed).map(drop))
}

fn conformance(open: impl Fn(&Path) -> Result<Box<dyn Ledger>, LedgerError>) -> Result<(), String> {
    (0..ALIKE_SEEDS).try_for_each(|seed| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut ledger =
            open(&folder.path().join("ledger.db")).map_err(|error| error.to_string())?;
        alike::alike(ledger.as_mut(), seed).map_err(|why| format!("seed {seed}, {why}"))
    })
}

/// Each call of a kind fails once, of a run of some exchanges.
fn disks_that_fail(
    bug: &str,
    retries_flushes: bool,
    fault: fn(u64) -> Fault,
) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let template = faults::template(folder.path());
    let open = |path: &Path| {
        let ledger = flawed::open(bug, path)?;
        if retries_flushes {
            disk::Disk::at(path).unwrap().retry_syncs();
        }
        Ok(ledger)
    };
    let Calls { syncs, .. } = faults::calls(&open, &template)?;
    (1..=syncs).try_for_each(|k| {
        let outcome = faults::fail_once(&open, &template, fault(k)).map(drop);
        outcome.map_err(|why| format!("{:?}: {why}", fault(k)))
    })
}
