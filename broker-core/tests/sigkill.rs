//! A process that is killed at random moments loses nothing that it acknowledged.
//!
//! `KILLS=10000 cargo test -p broker-core --test sigkill -- --nocapture` kills more often.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]
#![allow(clippy::panic, reason = "so it says after which kill it failed")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/rungs/kills.rs"]
mod kills;
#[path = "shared/runs.rs"]
mod runs;
#[path = "shared/work.rs"]
mod work;

use kills::{KILLS_PER_LEDGER, Tally};

/// Kills of an ordinary test run.
const KILLS: u64 = 300;

#[test]
fn what_was_acknowledged_survives_every_kill_and_is_there_once() {
    let kills = runs::number("KILLS").unwrap_or(KILLS);
    let ledgers = kills.div_ceil(KILLS_PER_LEDGER);
    let (done, failed) = runs::all(0..ledgers, |_| kills::kills("none", KILLS_PER_LEDGER));
    let mut tally = Tally::default();
    done.iter().for_each(|run| tally.add(*run));
    let Tally { kills, acknowledged, mid_request, at_start } = tally;
    println!(
        "{kills} kills, {mid_request} of them mid-request and {at_start} at a start; \
         {acknowledged} acknowledged captures, none lost"
    );
    assert_eq!(failed, []);
    assert!(mid_request > 0 && at_start > 0 && acknowledged > kills, "{tally:?}");
}

/// Not a test of its own: the process that the other one starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    kills::child(|_, path| work::shipped(path));
}
