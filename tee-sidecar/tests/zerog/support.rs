//! A 0G network of a test's own, and who acts on it.

use std::time::{Duration, Instant};

mod anvil;
#[allow(dead_code, reason = "shared with the tests of the public routes, which use the rest")]
#[path = "../api/support/client.rs"]
mod client;
mod customer;
mod driver;
#[allow(dead_code, reason = "shared with the tests of the public routes, which use the rest")]
#[path = "../api/support/engine.rs"]
mod engine;
mod install;
mod network;
mod provider;
mod rpc;
mod sidecar;
mod trap;

pub(crate) use client::{get, post, sha256_hex};
pub(crate) use customer::Customer;
pub(crate) use driver::Driver;
pub(crate) use engine::{Engine, Seen, Step, chunk_event, sse, whole};
pub(crate) use install::{packages, skip_without, skipped};
pub(crate) use network::{Network, Options, PROVIDER, PROVIDER_KEY, neuron};
pub(crate) use rpc::{Fault, FaultyNode};
pub(crate) use sidecar::Sidecar;
pub(crate) use trap::Moment;

/// One 0G in neuron.
pub(crate) const ZG: u128 = 1_000_000_000_000_000_000;

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Waits for what has to come, and fails where it does not.
#[track_caller]
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
