//! A sidecar that signs, meters and attests the answers of a model server in a confidential VM.
//! ARCHITECTURE.md at the top of the repository has the drawing of a request's life.
#![forbid(unsafe_code)]

pub mod attest;
pub mod auditor;
pub mod cli;
pub mod config;
pub mod exchange;
pub mod fault;
pub mod http;
pub mod identity;
pub mod keys;
pub mod ledger;
pub mod net;
pub mod network;
pub mod otlp;
mod rate;
pub mod route;
mod shapes;
pub mod signals;
pub mod startup;
pub mod systemd;
pub mod telemetry;
pub mod tls;
pub mod upstream;

/// Checking evidence: no I/O, no clock.
pub use tee_evidence as evidence;
