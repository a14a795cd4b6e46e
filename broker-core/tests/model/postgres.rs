//! The same of PostgreSQL.

use std::time::Duration;

use broker_core::PostgresLedger;

use crate::beside::Beside;
use crate::runs;

#[path = "../shared/pg.rs"]
mod pg;

/// Sequences of an ordinary run, and how many of them share a database.
const SEQUENCES: u64 = 200;
const LAPS: u64 = 10;

#[test]
fn postgres_and_the_model_never_differ() {
    if pg::server().is_none() {
        return;
    }
    let seeds = runs::seeds("MODEL_POSTGRES", SEQUENCES, LAPS);
    let (_, failed) = runs::all(seeds, play);
    runs::expect_none(&failed, "model", "postgres_and");
}

fn play(seed: u64) -> Result<(), String> {
    let database = pg::lent().unwrap();
    let ledger = PostgresLedger::open(&database.url()).map_err(|error| error.to_string())?;
    // It chains what others wrote.
    let caretaker = ledger.caretaker(Duration::from_millis(5)).map_err(|e| e.to_string())?;
    let outcome = Beside::new(Box::new(ledger)).play(seed, LAPS);
    drop(caretaker);
    outcome
}
