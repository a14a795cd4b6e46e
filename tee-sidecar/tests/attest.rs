//! Evidence: the software platform, the verifier, real quotes, reports and keys.
#![cfg(feature = "simulator")]

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
