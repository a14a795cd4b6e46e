//! Holds that nobody ends: swept when they expired, freed at the next start.

use std::cell::Cell;

use broker_core::{
    Applied, Command, Digest32, Fingerprint, Hold, MemoryLedger, ReceiptId, Refusal, RequestKey,
    Usage, sweep,
};

use crate::*;

#[tokio::test]
async fn the_sweep_frees_what_expired_and_leaves_what_is_alive() {
    let clock = Manual::new();
    let broker = builder().ledger(MemoryLedger::new()).clock(clock.clone()).start().unwrap();
    broker.mirror(user(1), Cover::UpTo(neuron(10_000))).await.unwrap();
    let alive = broker.reserve(user(1), "slow", BODY).await.unwrap();
    let lost = broker.reserve(user(1), "lost", BODY).await.unwrap();
    let (lost_id, lost_key) = (lost.receipt_id(), lost.key());
    // A process that shares the ledger and dies does not say goodbye.
    orphan(&broker, 9, clock.now().plus_millis(60_000)).await;
    drop(lost);
    nothing_but(&broker, CEILING.get() + 1).await;
    assert_eq!(broker.sweep().await.unwrap(), 0, "nothing expired yet");

    clock.pass_secs(61);
    assert!(clock.now() > alive.expires());
    assert_eq!(broker.sweep().await.unwrap(), 1, "the orphan, and not the slow one");
    nothing_but(&broker, CEILING.get()).await;
    assert_eq!(broker.sweep().await.unwrap(), 0);
    let late = alive.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_eq!(late.fee, neuron(72), "a slow answer is paid for");

    let gone = broker
        .ledger()
        .apply(Command::Release { key: lost_key, why: broker_core::ReleaseReason::Expired });
    assert_eq!(gone.await.unwrap(), Err(Refusal::HoldEnded));
    assert_eq!(broker.receipt(lost_id).await.unwrap(), None);
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_refused_retry_does_not_give_the_running_request_up_to_the_sweep() {
    let clock = Manual::new();
    let broker = builder().ledger(MemoryLedger::new()).clock(clock.clone()).start().unwrap();
    broker.mirror(user(1), Cover::UpTo(neuron(10_000))).await.unwrap();
    let alive = broker.reserve(user(1), "one", BODY).await.unwrap();
    broker.reserve(user(1), "one", BODY).await.unwrap_err();
    clock.pass_secs(61);
    assert_eq!(broker.sweep().await.unwrap(), 0);
    alive.capture(Usage::new(12, 30), ANSWER).await.unwrap();
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_dead_hold_behind_thousands_of_live_ones_is_found() {
    let broker = broker_with(10_000).await;
    let holds: Vec<_> = (0..2_500).map(|n| orphan(&broker, n, Timestamp(5))).collect();
    let mut keys = Vec::new();
    for hold in holds {
        keys.push(hold.await);
    }
    let dead = keys.pop().unwrap();
    let handle = broker.ledger().clone();
    let swept = broker.read(move |reader| {
        let asked = Cell::new(0);
        let freed = sweep(&handle, reader, Timestamp(6), |key| {
            asked.set(asked.get() + 1);
            *key != dead
        })?;
        Ok((freed, asked.get()))
    });
    let (freed, asked) = swept.await.unwrap();
    assert_eq!(freed, 1);
    assert!(asked >= 2_500, "{asked}");
    assert_eq!(broker.totals().await.unwrap().open_holds, 2_499);
    assert_clean(&broker).await;
}

#[tokio::test]
async fn a_start_frees_what_a_dead_process_held_if_nobody_else_writes() {
    let books = MemoryLedger::new();
    let first = builder().ledger(books.clone()).start().unwrap();
    assert_eq!(first.recovered(), 0);
    first.mirror(user(1), Cover::UpTo(neuron(10_000))).await.unwrap();
    std::mem::forget(first.reserve(user(1), "one", BODY).await.unwrap());
    first.stop();
    let second = builder().ledger(books).start().unwrap();
    assert_eq!(second.recovered(), 1);
    assert!(second.account(user(1)).await.unwrap().held.is_zero());
    assert_clean(&second).await;
}

/// A hold of one neuron, made by nobody who is alive.
fn orphan(broker: &Broker, n: u64, expires: Timestamp) -> impl Future<Output = RequestKey> {
    let hold = Hold {
        key: RequestKey::derive(&user(1), &n.to_be_bytes()),
        fingerprint: Fingerprint(Digest32::sha256(b"orphan")),
        receipt: ReceiptId::mint(Timestamp(1)),
        user: user(1),
        amount: neuron(1),
        tariff: TARIFF,
        expires,
    };
    let key = hold.key;
    let held = broker.ledger().apply(Command::Reserve(hold));
    async move {
        assert!(matches!(held.await.unwrap(), Ok(Applied::Held { .. })));
        key
    }
}

/// Waits until so much is held for user 1.
async fn nothing_but(broker: &Broker, held: u128) {
    for _ in 0..2_000 {
        if broker.account(user(1)).await.unwrap().held == neuron(held) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("something else is held");
}
