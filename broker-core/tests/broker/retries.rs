//! The same request again: a nonce is used for money once, for ever.

use std::sync::mpsc::channel;

use broker_core::{Command, Ledger, MemoryLedger, Refusal, Usage};

use crate::wrapped::Wrapped;
use crate::*;

const OTHER: &[u8] = br#"{"messages":[],"max_tokens":64}"#;

#[tokio::test]
async fn a_retry_names_the_receipt_of_the_request_that_it_repeats() {
    let broker = broker_with(10_000).await;
    let refused = async |body: &'static [u8]| {
        let error = broker.reserve(user(1), "one", body).await.unwrap_err();
        *error.refusal().unwrap()
    };
    let running = broker.reserve(user(1), "one", BODY).await.unwrap();
    let receipt = running.receipt_id();
    assert_eq!(refused(BODY).await, Refusal::InFlight { receipt });
    assert_eq!(refused(OTHER).await, Refusal::KeyReused);
    // The refusals did not disturb it.
    let charge = running.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_eq!(refused(BODY).await, Refusal::Finished { receipt });
    assert_eq!(refused(OTHER).await, Refusal::KeyReused);
    assert_eq!(broker.receipt(receipt).await.unwrap(), Some(charge.receipt));
    assert_eq!(broker.account(user(1)).await.unwrap().earned, neuron(72), "charged once");
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_nonce_is_its_user_s_own() {
    let broker = broker_with(10_000).await;
    broker.mirror(user(2), Cover::Unlimited).await.unwrap();
    let first = broker.reserve(user(1), "one", BODY).await.unwrap();
    let second = broker.reserve(user(2), "one", OTHER).await.unwrap();
    assert_ne!(first.key(), second.key());
    first.capture(Usage::new(1, 1), ANSWER).await.unwrap();
    second.capture(Usage::new(1, 1), ANSWER).await.unwrap();
    assert_clean(&broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_while_the_hold_is_made_leaves_none_behind() {
    let (enter, entered) = channel();
    let (let_go, go) = channel::<()>();
    // A ledger whose commits wait until the test lets go.
    let gated = Wrapped {
        inner: Box::new(MemoryLedger::new()),
        apply: move |inner: &mut dyn Ledger, batch: &[Command], now| {
            enter.send(()).unwrap();
            let _: Result<(), _> = go.recv();
            inner.apply(batch, now)
        },
    };
    let broker = builder().ledger(gated).start().unwrap();
    let asking = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.reserve_amount(user(1), "one", BODY, neuron(0)).await })
    };
    entered.recv_timeout(Duration::from_secs(10)).unwrap();
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    drop(let_go);
    // Nothing is held in either case; that the hold has ended is what the totals tell.
    for _ in 0..2_000 {
        let audit = broker.audit().await.unwrap();
        if audit.entries == 2 {
            assert_eq!((audit.open_holds, audit.fault), (0, None));
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the hold of a caller that left stays open");
}
