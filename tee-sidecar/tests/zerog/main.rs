//! The 0G network for real: anvil, 0G's own contracts and 0G's own client, from npm.
//!
//! `.ci/install-zerog` fetches them, and is run from here where there is npm. Where there is none
//! the tests say so and pass, but never under `CI=true`.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod chain;
mod crowd;
mod curl;
mod finality;
mod killed;
mod network;
mod openai;
mod parallel;
mod provider;
mod refunds;
mod rolled_back;
mod sdk;
mod support;
