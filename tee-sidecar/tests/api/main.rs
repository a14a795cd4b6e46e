//! The sidecar as its clients see it: black box over HTTP, a scripted engine behind it. Names of
//! tests are sentences; the letters in their comments are the pitfalls they cover.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod aci;
mod archive;
mod attestation;
mod auditing;
mod billing;
mod bytes;
mod crash;
mod disconnect;
mod edge;
mod failures;
mod flood;
mod limits;
mod otlp;
mod pinned;
mod process;
mod receipts;
mod retries;
mod shutdown;
mod signatures;
mod support;
mod traces;
mod years;
