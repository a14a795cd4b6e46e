//! Evidence and what it proves: TDX quotes, NVIDIA GPU reports, the answers of NVIDIA's attestation
//! service, whole attestation reports, and answers signed under them.
//!
//! Nothing here does I/O, reads a clock or draws random bytes: a verifier gets the evidence, the
//! collateral and the moment. The sidecar holds its own evidence to this before it serves it, and
//! the auditor's command holds anyone's to it.
#![forbid(unsafe_code)]

pub mod answer;
pub mod audit;
mod binding;
pub mod certificates;
pub mod event_log;
pub mod ledger_head;
pub mod lineage;
pub mod nras;
pub mod nvidia;
pub mod policy;
mod quote;
mod report_data;
pub mod roots;
pub mod saved;
#[cfg(feature = "simulator")]
pub mod simulator;
mod strict_json;
pub mod tdx;

pub use binding::Binding;
pub use quote::Quote;
pub use report_data::{BadNonce, Nonce32, ReportData};
