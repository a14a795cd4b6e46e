//! Evidence: the software platform, the verifier, real quotes and GPU reports.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

mod answer;
mod event_log;
mod fuzz_seeds;
mod gpu;
mod mutations;
mod nras;
mod nvidia_pki;
mod ocsp;
mod real_quotes;
mod rim;
mod simulator;
mod software_gpu;
mod spdm;
mod support;
