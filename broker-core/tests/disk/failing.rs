//! Every call of a run fails once.

use std::collections::BTreeMap;

use crate::disk::{Calls, Fault};
use crate::faults::{Outcome, calls, fail_once, fail_to_open, template};
use crate::{runs, small_log};

#[test]
fn a_call_that_fails_is_an_error_to_every_waiter_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let template = template(folder.path());
    // A log that is carried over often, so that these calls fail too.
    let open = small_log(0);
    let Calls { writes, syncs, .. } = calls(&open, &template).unwrap();
    assert!(writes > 100 && syncs > 10, "{writes} writes, {syncs} flushes");
    for (last, fault) in [
        (writes, Fault::Write as fn(u64) -> Fault),
        (writes, Fault::Full as fn(u64) -> Fault),
        (syncs, Fault::Sync as fn(u64) -> Fault),
    ] {
        let (done, failed) = runs::all(1..last + 1, |k| fail_once(&open, &template, fault(k)));
        let name = format!("{:?}", fault(1));
        assert_eq!(failed, [], "{name}");
        let outcomes = sorted(done);
        println!("{name} to {last}: {outcomes:#?}");
        assert!(outcomes.keys().any(|key| key.starts_with("told")), "{name}");
    }
}

#[test]
fn a_ledger_that_could_not_be_made_or_opened_is_made_or_opened_the_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let template = template(folder.path());
    for template in [None, Some(template.as_path())] {
        for fault in [Fault::Write, Fault::Full, Fault::Sync] {
            let open = small_log(2);
            let one = |k| fail_to_open(&open, template, fault(k)).map(|outcome| (k, outcome));
            let mut done = Vec::new();
            for outcome in (1..).map(one) {
                let (k, outcome) = outcome.unwrap_or_else(|why| panic!("{:?}: {why}", fault(1)));
                if outcome.is_none() {
                    break;
                }
                assert!(k < 1_000);
                done.push(outcome);
            }
            let outcomes = sorted(done);
            println!("{:?}, new {}: {outcomes:#?}", fault(1), template.is_none());
            assert!(outcomes.keys().any(|key| key.starts_with("not opened")));
        }
    }
}

/// How often each outcome came.
fn sorted(outcomes: Vec<Option<Outcome>>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for outcome in outcomes.into_iter().flatten() {
        let key = match outcome {
            Outcome::Told(what) => format!("told: {what}"),
            Outcome::Harmless(file) => format!("harmless: {file}"),
            Outcome::NotOpened(what) => format!("not opened: {what}"),
        };
        *counts.entry(key).or_default() += 1;
    }
    counts
}
