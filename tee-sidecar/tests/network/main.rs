//! The sidecar on the 0G network, as its clients and its operator see it: a scripted engine behind
//! it, a simulated chain beside it. Names of tests are sentences; the letters in their comments are
//! the pitfalls they cover.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod admission;
mod browsers;
mod fees;
mod fuzzed;
mod moody;
mod removal;
mod routes;
mod slow;
mod support;
mod tokens;
