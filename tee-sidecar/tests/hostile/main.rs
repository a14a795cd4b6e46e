//! Clients and engines that mean harm, or behave as if they did: the sidecar goes on serving the
//! others, keeps to its memory, and ends with clean books. Letters are the pitfalls' of the issue.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod clients;
mod engines;
mod support;
