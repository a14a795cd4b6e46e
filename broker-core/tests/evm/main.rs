//! The chain's client against a node that misbehaves in every way that real ones do.
#![cfg(feature = "evm")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod landing;
mod node;
mod reading;
mod registering;
mod sending;
mod splitting;
mod world;
