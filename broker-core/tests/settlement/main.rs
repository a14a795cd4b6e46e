//! Settlement on a simulated chain, by seed: whatever crashes, is lost, comes late or twice, every
//! fee is paid once.
//!
//! `SEEDS=100000 cargo test -p broker-core --test settlement` runs more of them, and `SEED=17` one,
//! with what happened in it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::print_stdout, reason = "so it says which seed failed")]

mod check;
mod flawed;
mod operator;
mod people;
mod run;
mod scenes;
mod store;
mod stories;

use flawed::Flaw;
use run::{Tally, run};
use scenes::{crash_at, crowd, rollback_to};

/// Seeds of an ordinary test run.
const SEEDS: u64 = 2_000;

#[test]
fn every_fee_is_paid_once_whatever_happens() {
    if let Some(seed) = number("SEED") {
        let tally = run(seed, None, true);
        println!("{tally:?}");
        return assert!(tally.is_ok());
    }
    let (tally, failures) = all(number("SEEDS").unwrap_or(SEEDS), None);
    println!("{tally:?}");
    if let Some((seed, why)) = failures.first() {
        panic!(
            "{} seeds fail, the first with: {why}\nsee it again with\n  SEED={seed} cargo test -p \
             broker-core --test settlement every_fee -- --nocapture",
            failures.len()
        );
    }
    // Nothing of what these runs are for was left out.
    let Tally { captures, passes, crashes, landed, partial, refused, .. } = tally;
    let Tally { reorgs, rollbacks, frozen, rotations, .. } = tally;
    let seen = [captures, passes, crashes, landed, partial, refused];
    let weather = [reorgs, rollbacks, frozen, rotations];
    assert!(seen.iter().chain(&weather).all(|count| *count > 0), "{tally:?}");
}

#[test]
fn a_crash_at_any_wait_of_a_pass_loses_nothing() {
    for seed in 0..10 {
        let crashes = (1..).map_while(|polls| crash_at(seed, polls).transpose());
        let done: Result<Vec<_>, _> = crashes.collect();
        let done = done.unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        assert!(done.len() > 20, "seed {seed}: only {} waits", done.len());
    }
}

#[test]
fn no_state_of_the_disk_makes_anyone_pay_twice() {
    let states = (0..).map_while(|state| rollback_to(state).transpose());
    let done: Result<Vec<_>, _> = states.collect();
    let done = done.unwrap_or_else(|why| panic!("{why}"));
    let frozen: u64 = done.iter().map(|tally| tally.frozen).sum();
    assert!(done.len() > 12 && frozen > 12, "{} states, {frozen} frozen", done.len());
}

#[test]
fn sixty_users_are_settled_where_few_fit_into_a_block() {
    let tally = crowd(60).unwrap();
    assert_eq!((tally.landed, tally.partial), (60, 0), "{tally:?}");
}

#[test]
fn a_settler_with_a_bug_is_caught() {
    let flaws = [Flaw::Hasty, Flaw::TakesPartialForWhole, Flaw::ForgetsOnCrash, Flaw::ClockNonce];
    for flaw in flaws {
        let (_, failures) = all(200, Some(flaw));
        println!("{flaw:?}: {} of 200 seeds, as {:?}", failures.len(), failures.first());
        assert!(!failures.is_empty(), "{flaw:?} is not caught");
    }
}

/// Runs the seeds below `end`, on all processors; the failures in the order of their seeds.
fn all(end: u64, flaw: Option<Flaw>) -> (Tally, Vec<(u64, String)>) {
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let mut total = Tally::default();
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let work = |first: u64| {
            let mine = (first..end).step_by(workers as usize);
            mine.map(|seed| (seed, run(seed, flaw, false))).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..workers).map(|n| scope.spawn(move || work(n))).collect();
        for (seed, outcome) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            match outcome {
                Ok(tally) => total.add(&tally),
                Err(why) => failures.push((seed, why)),
            }
        }
    });
    failures.sort();
    (total, failures)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var_os(variable)?;
    Some(text.to_str().unwrap().parse().unwrap())
}
