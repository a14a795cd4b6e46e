//! `tee-sidecar verify receipt`, `log` and `invoice` on files, and what a lying host comes to.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "helpers of tests fail like tests; clippy.toml covers only the test functions"
)]

mod attacks;
mod chain;
mod host;
mod invoices;
mod large;
mod logs;
mod receipts;
