//! Random commands, made to collide.
//!
//! The model keeps every promise of the document, which books of their own check after each step;
//! every other ledger answers and ends up as the model does. `MODEL=1000000` runs more sequences
//! on the model, `MODEL_SQLITE` and `MODEL_POSTGRES` beside it, and `SEED=17` one again.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::panic, clippy::print_stdout, reason = "so it says which seed failed")]

mod asker;
mod beside;
#[path = "../shared/books.rs"]
mod books;
#[path = "../seeded/naive.rs"]
mod naive;
#[cfg(feature = "postgres")]
mod postgres;
mod promises;
#[path = "../shared/runs.rs"]
mod runs;
mod trace;
mod watch;
#[path = "../shared/wrapped.rs"]
mod wrapped;

use std::sync::Mutex;

use beside::Beside;
use broker_core::{Command, Ledger, MemoryLedger, SqliteLedger};
use naive::{Bug, Naive};
use promises::{Tally, keeps};
use wrapped::Wrapped;

/// Sequences of an ordinary run on the model, and beside SQLite; so many share a ledger there.
const SEQUENCES: u64 = 10_000;
const BESIDE_SQLITE: u64 = 500;
const LAPS: u64 = 4;
/// Within so many sequences a flaw has to show.
const FLAWED: u64 = 300;

#[test]
fn the_model_keeps_every_promise_whatever_is_asked() {
    let tally = Mutex::new(Tally::default());
    let (_, failed) = runs::all(runs::seeds("MODEL", SEQUENCES, 1), |seed| {
        let of_one = keeps(&mut MemoryLedger::new(), seed)?;
        tally.lock().unwrap().add(&of_one);
        Ok(())
    });
    runs::expect_none(&failed, "model", "the_model");
    let tally = tally.into_inner().unwrap();
    println!("{tally:?}");
    // Nothing of what these runs are for was left out.
    assert!(tally.sequences < 1_000 || tally.has_all(), "{tally:?}");
}

/// What the sequences would say of a ledger that breaks a promise.
#[test]
fn every_broken_promise_is_noticed() {
    for (bug, promise) in [
        (Bug::ForgottenEnd, "I5"),
        (Bug::FeeAboveHold, "I5"),
        (Bug::KeyReused, "I6"),
        (Bug::LostUpdate, "I"),
        (Bug::DoubledFee, "I2"),
        (Bug::CollectedTwice, "I7"),
        (Bug::SecondVoucher, "I8"),
        (Bug::ClockNonce, "I9"),
    ] {
        let outcomes = (0..FLAWED).map(|seed| keeps(&mut Naive::new(bug), seed));
        let broken = format!(": {promise}");
        let found = outcomes.filter_map(Result::err).find(|why| why.contains(&broken));
        let found = found.unwrap_or_else(|| panic!("{promise} is not seen broken by {bug:?}"));
        println!("{bug:?}: {:.200}", found);
    }
    for seed in 0..20 {
        keeps(&mut Naive::new(Bug::None), seed).unwrap();
    }
}

#[test]
fn sqlite_and_the_model_never_differ() {
    let (_, failed) = runs::all(runs::seeds("MODEL_SQLITE", BESIDE_SQLITE, LAPS), |seed| {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db"));
        Beside::new(Box::new(ledger.map_err(|error| error.to_string())?)).play(seed, LAPS)
    });
    runs::expect_none(&failed, "model", "sqlite_and");
}

/// What the comparison would say of a ledger that is not the model: one that forgets the last
/// command of a batch, and answers all the same.
#[test]
fn a_ledger_that_differs_is_noticed() {
    let outcome = (0..40).try_for_each(|seed| {
        let model = MemoryLedger::new();
        let mut beside = model.fork();
        let apply = move |inner: &mut dyn Ledger, batch: &[Command], now| {
            let expected = Ledger::apply(&mut beside, batch, now)?;
            let kept = batch.split_last().map_or(batch, |(_, kept)| kept);
            inner.apply(if batch.len() < 10 { batch } else { kept }, now)?;
            Ok(expected)
        };
        Beside::new(Box::new(Wrapped { inner: Box::new(model), apply })).play(seed, 1)
    });
    println!("{:.200}", outcome.unwrap_err());
}
