//! The auditor: whole reports and answers against files, as `tee-sidecar verify` judges them.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

mod aci;
mod answers;
mod attacks;
mod binary;
mod collateral;
mod fixtures;
mod gpus;
mod nras;
mod policies;
mod providers;
mod reference;
mod served;
mod support;
mod tcb;
mod tls;
