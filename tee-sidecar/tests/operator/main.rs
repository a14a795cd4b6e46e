//! The operator's routes from the outside, on a chain in memory: what is registered, what requests
//! are charged then, and what is left as it was when something fails.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod access;
mod cli;
mod monitoring;
mod openapi;
mod reads;
mod register;
mod restart;
mod support;
