//! A sidecar in this process, a scripted engine behind it, a client that sees raw bytes.

use std::time::{Duration, Instant};

mod client;
mod collector;
mod engine;
mod process;
mod report;
mod sidecar;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use collector::{Collector, attribute};
pub(crate) use engine::{Engine, Seen, Step, chunk_event, end_event, sse, whole};
pub(crate) use process::Process;
pub(crate) use report::{gpu_nonce, nonce, report_of, with_gpu};
pub(crate) use sidecar::{MODEL, Sidecar, api_key, recover};

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(20);
