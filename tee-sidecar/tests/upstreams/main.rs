//! Several engines behind one sidecar: who is chosen, who is left out, what is tried again and what
//! never is. Scripted engines; names of tests are sentences.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod choosing;
mod draining;
mod killed;
mod salts;
mod support;
mod trying;
