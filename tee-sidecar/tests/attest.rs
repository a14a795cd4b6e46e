//! Evidence: the software platform, the verifier, real quotes, reports and keys.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

#[path = "attest/choosing.rs"]
mod choosing;
#[path = "attest/event_log.rs"]
mod event_log;
#[path = "attest/keys.rs"]
mod keys;
#[path = "attest/real_evidence.rs"]
mod real_evidence;
#[path = "attest/report.rs"]
mod report;
#[path = "attest/simulator.rs"]
mod simulator;
#[path = "attest/support.rs"]
mod support;
