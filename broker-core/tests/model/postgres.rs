//! The same of PostgreSQL, as many sequences as `MODEL_POSTGRES` says.

use std::time::{Duration, Instant};

use broker_core::{Ledger, LedgerReader, MemoryLedger, PostgresLedger, PostgresReader};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::books::NOW;
use crate::{batches, compare, compare_totals};

#[path = "../shared/pg.rs"]
mod pg;

const CASES: u32 = 200;

#[test]
fn postgres_and_the_model_never_differ() {
    let Some(database) = pg::lent() else { return };
    PostgresLedger::open(&database.url()).unwrap();
    let cases = std::env::var_os("MODEL_POSTGRES").map(|text| text.to_str().unwrap().parse());
    let cases = cases.map_or(CASES, Result::unwrap);
    let config = ProptestConfig { cases, ..ProptestConfig::with_source_file(file!()) };
    let run = TestRunner::new(config).run(&batches(), |batches| play(&database, &batches));
    run.unwrap();
}

fn play(
    database: &pg::Database<'_>,
    batches: &[Vec<broker_core::Command>],
) -> Result<(), TestCaseError> {
    database.wipe();
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
    let reader = PostgresReader::open(&database.url()).unwrap();
    let mut model = MemoryLedger::new();
    for (round, batch) in (0..).zip(batches) {
        let now = NOW.plus_millis(round);
        let expected = Ledger::apply(&mut model, batch, now).unwrap();
        prop_assert_eq!(ledger.apply(batch, now).unwrap(), expected);
        compare(&ledger, &reader, &model)?;
    }
    let began = Instant::now();
    while reader.head().unwrap() != model.head().unwrap() {
        prop_assert!(began.elapsed() < Duration::from_secs(10), "the chain is another one");
        std::thread::sleep(Duration::from_millis(2));
    }
    drop(caretaker);
    let report = ledger.audit().unwrap();
    prop_assert_eq!(&report.fault, &None);
    compare_totals(&reader, &model, &report)?;
    prop_assert_eq!(report, Ledger::audit(&model).unwrap());
    Ok(())
}
