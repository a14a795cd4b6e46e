//! Receipts, keysets, tariffs and checkpoints against vectors that another program made
//! (`vectors/receipts.py`), and the ACI specification's own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[path = "receipts/aci.rs"]
mod aci;
#[path = "receipts/forged.rs"]
mod forged;
#[path = "receipts/golden.rs"]
mod golden;
#[path = "receipts/streams.rs"]
mod streams;
#[path = "receipts/vectors.rs"]
mod vectors;
