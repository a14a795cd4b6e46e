//! The configuration from the outside: what is refused, what is printed and what the program says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as the test does"
)]

mod bad;
mod binary;
mod environment;
mod example;
mod good;
mod ledger;
mod network;
mod secrets;
mod support;
mod tracing;
