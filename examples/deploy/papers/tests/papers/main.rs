//! The papers of the program that this workspace builds, and what is promised of its dependencies.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bill;
mod review;
mod support;
