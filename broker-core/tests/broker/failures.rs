//! The end of a broker: when asked to stop, and when its ledger fails.

use std::sync::atomic::AtomicBool;

use broker_core::settlement::Policy;
use broker_core::testing::{SimChain, SimOptions};
use broker_core::{
    Command, Error, Ledger, LedgerError, MemoryLedger, ReleaseReason, RequestQuery, Usage,
};

use crate::wrapped::Wrapped;
use crate::*;

#[tokio::test]
async fn stop_finishes_what_is_queued_and_refuses_what_comes_later() {
    let broker = broker_with(10_000).await;
    let late = broker.reserve(user(1), "late", BODY).await.unwrap();
    let queued: Vec<_> = (0..700_u128)
        .map(|n| {
            let cover = Cover::UpTo(neuron(20_000 + n));
            broker.ledger().apply(Command::Mirror { user: user(1), cover })
        })
        .collect();
    broker.stop();
    for answer in queued {
        answer.await.unwrap().unwrap();
    }
    let refused = broker.reserve(user(1), "one", BODY).await.unwrap_err();
    assert!(matches!(refused, Error::Ledger(LedgerError::Stopped)), "{refused}");
    let refused = late.capture(Usage::new(1, 1), ANSWER).await.unwrap_err();
    assert!(matches!(refused, Error::Ledger(LedgerError::Stopped)), "{refused}");
    // What was written can still be read.
    assert_eq!(broker.account(user(1)).await.unwrap().cover, neuron(20_699));
    assert_clean(&broker).await;
    broker.stop();
}

/// A ledger whose disk breaks when the test says so. As [`Wrapped`] says nothing of that, it may
/// have several writers.
fn breaking(books: &MemoryLedger, broken: &Arc<AtomicBool>) -> impl Ledger + use<> {
    let broken = Arc::clone(broken);
    let apply = move |inner: &mut dyn Ledger, batch: &[Command], now| {
        if broken.load(Ordering::Relaxed) {
            return Err(LedgerError::Storage("the disk is on fire".to_owned()));
        }
        inner.apply(batch, now)
    };
    Wrapped { inner: Box::new(books.clone()), apply }
}

#[tokio::test]
async fn after_a_failure_of_the_ledger_every_call_says_so() {
    let breaks = Arc::new(AtomicBool::new(false));
    let books = MemoryLedger::new();
    let broker = builder().ledger(breaking(&books, &breaks)).start().unwrap();
    broker.mirror(user(1), Cover::UpTo(neuron(10_000))).await.unwrap();
    let mut open = Vec::new();
    for nonce in ["a", "b", "c", "d"] {
        open.push(broker.reserve(user(1), nonce, BODY).await.unwrap());
    }
    let failing = open.pop().unwrap();
    let id = failing.receipt_id();
    breaks.store(true, Ordering::Relaxed);
    let first = failing.capture(Usage::new(1, 1), ANSWER).await.unwrap_err();
    assert!(matches!(first, Error::Ledger(LedgerError::Storage(_))), "{first}");

    let (captured, released) = (open.pop().unwrap(), open.pop().unwrap());
    let chain = Arc::new(SimChain::new(SimOptions::default()));
    let policy = Policy::default();
    let said: [Option<Error>; 13] = [
        captured.capture(Usage::new(1, 1), ANSWER).await.err(),
        released.release(ReleaseReason::NotForwarded).await.err(),
        broker.mirror(user(1), Cover::Unlimited).await.err(),
        broker.reserve(user(1), "e", BODY).await.err(),
        broker.account(user(1)).await.err(),
        broker.receipt(id).await.err(),
        broker.requests(RequestQuery::default()).await.err(),
        broker.statement(user(1)).await.err(),
        broker.totals().await.err(),
        broker.audit().await.err(),
        broker.sweep().await.err(),
        broker.settle_due(chain.clone(), policy).await.err(),
        broker.settle_plan(&*chain, &policy).await.err(),
    ];
    for (call, error) in said.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::Failed)), "call {call}: {error:?}");
    }
    let text = Error::Failed.to_string();
    assert!(text.contains("open the ledger again"), "{text}");
    // The last hold is dropped, which must not hang; then the process ends and another begins.
    drop(open);
    broker.stop();
    let second = builder().ledger(books).start().unwrap();
    assert_eq!(second.recovered(), 4);
    assert_clean(&second).await;
}

#[tokio::test]
async fn a_ledger_that_other_processes_write_to_keeps_its_open_holds_at_a_start() {
    let books = MemoryLedger::new();
    let sound = Arc::default();
    let shared = || builder().ledger(breaking(&books, &sound)).start().unwrap();
    let (first, second) = (shared(), shared());
    first.mirror(user(1), Cover::UpTo(neuron(10_000))).await.unwrap();
    let running = first.reserve(user(1), "one", BODY).await.unwrap();
    let third = shared();
    assert_eq!(third.recovered(), 0);
    assert_eq!(second.account(user(1)).await.unwrap().held, CEILING);
    running.capture(Usage::new(1, 1), ANSWER).await.unwrap();
    assert_clean(&third).await;
}
