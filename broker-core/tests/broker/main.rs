//! The embedding API: both phases of a hold, what ends it, and what a broker says of itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod apart;
mod failures;
mod holds;
#[cfg(feature = "postgres")]
#[path = "../shared/pg.rs"]
mod pg;
#[cfg(feature = "postgres")]
mod postgres;
mod proofs;
mod retries;
mod settling;
mod sweeping;
#[path = "../shared/wrapped.rs"]
mod wrapped;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_core::{
    Address, Broker, BrokerBuilder, Clock, Cover, LocalSigner, MemoryLedger, Neuron, Signer,
    Tariff, Timestamp, UserId,
};

/// A chat request, and what it costs at most at [`TARIFF`]: a prompt token for each byte and 1,024
/// for the template at one neuron, and 64 generated tokens at two.
const BODY: &[u8] = br#"{"messages":[{"content":"What is it?"}],"max_tokens":64}"#;
const CEILING: Neuron = Neuron::new(BODY.len() as u128 + 1_024 + 2 * 64);
const ANSWER: &[u8] = b"It is what it is.";
const TARIFF: Tariff = Tariff::per_token(Neuron::new(1), Neuron::new(2));

/// A clock that stands still until a test moves it.
#[derive(Clone)]
struct Manual(Arc<AtomicU64>);

impl Manual {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000_000)))
    }

    fn pass_secs(&self, secs: u64) {
        self.0.fetch_add(secs * 1_000, Ordering::Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn neuron(amount: u128) -> Neuron {
    Neuron::new(amount)
}

fn user(n: u8) -> UserId {
    UserId::new([n; 20])
}

fn signer() -> LocalSigner {
    LocalSigner::from_secret(&[0x11; 32]).unwrap()
}

fn address() -> Address {
    signer().address()
}

/// Everything but a ledger.
fn builder() -> BrokerBuilder {
    Broker::builder().tariff(TARIFF).signer(signer()).hold_secs(60)
}

/// A broker in which user 1 has so many neuron.
async fn broker_with(credit: u128) -> Broker {
    let broker = builder().ledger(MemoryLedger::new()).start().unwrap();
    broker.mirror(user(1), Cover::UpTo(neuron(credit))).await.unwrap();
    broker
}

async fn assert_clean(broker: &Broker) {
    assert_eq!(broker.audit().await.unwrap().fault, None);
}

/// Waits until nothing is held for user 1: releases that nobody waits for come in a moment.
async fn nothing_is_held(broker: &Broker) {
    for _ in 0..2_000 {
        if broker.account(user(1)).await.unwrap().held.is_zero() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the hold stays open");
}
