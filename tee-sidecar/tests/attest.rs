//! Evidence of the sidecar itself: where it comes from, its reports, its keys.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

#[path = "attest/choosing.rs"]
mod choosing;
#[path = "attest/forms.rs"]
mod forms;
#[path = "attest/gpus.rs"]
mod gpus;
#[path = "attest/keys.rs"]
mod keys;
#[path = "attest/report.rs"]
mod report;
#[path = "attest/support.rs"]
mod support;
