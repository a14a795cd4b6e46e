//! The receipts' log: against vectors of another program, and against whoever changes a proof.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[path = "log/edges.rs"]
mod edges;
#[path = "log/golden.rs"]
mod golden;
#[path = "log/proofs.rs"]
mod proofs;
#[path = "log/reading.rs"]
mod reading;
#[path = "log/store.rs"]
mod store;
