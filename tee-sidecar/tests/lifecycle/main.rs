//! The life of a sidecar as a process: TLS that ends in it, reloads, its end and its next start.
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

mod certificates;
mod handshakes;
mod middle;
mod over_tls;
mod reload;
mod restart;
mod rotation;
mod stop;
mod support;
mod systemd;
