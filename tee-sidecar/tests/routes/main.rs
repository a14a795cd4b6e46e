//! The inference routes beside chat: a scripted engine behind each of them. Names of tests are
//! sentences; the letters in their comments are the pitfalls they cover.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod buffered;
mod envelopes;
mod forms;
mod leaving;
mod sizes;
mod streamed;
mod support;
mod switched;
