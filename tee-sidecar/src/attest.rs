//! Evidence that the signing key lives in a TEE.
//!
//! An [`Attester`] makes quotes over [`ReportData`]; [`verify`] is what we hold our own quotes (and
//! an auditor anyone's) to; [`ReportService`] answers clients. Only the software platform is driven
//! in this release, and it says `simulated` in everything it makes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use dcap_qvl::QuoteCollateralV3;
use serde::Serialize;

mod choose;
pub mod event_log;
pub mod report;
mod report_data;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod verify;

pub use choose::{GpuEvidence, choose, choose_gpu, choose_under};
pub use report::{ReportError, ReportQuery, ReportService};
pub use report_data::{BadNonce, Nonce32, ReportData};

use verify::TrustRoot;

/// Makes quotes.
pub trait Attester: Send + Sync {
    /// Which platform this is.
    fn platform(&self) -> Platform;

    /// A quote over `report_data`. Callers check that it carries it.
    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote>;

    /// What the guest knows of itself: an object with `tcb_info` (an object with `app_compose`) and
    /// `vm_config`, as clients of dstack read it.
    fn info(&self) -> serde_json::Value;

    /// Where the certificates of this platform's quotes end.
    fn trust_root(&self) -> TrustRoot;

    /// The TCB levels, identities and revocations that one of this platform's quotes is verified
    /// against, so that a start can prove its own evidence.
    fn collateral<'a>(&'a self, quote: &'a Quote) -> AttestFuture<'a, QuoteCollateralV3>;
}

/// A future that an evidence source returns.
pub type AttestFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AttestError>> + Send + 'a>>;

/// Which kind of platform makes the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Platform {
    /// The software platform: proves nothing, says so everywhere.
    Simulated,
}

impl Platform {
    /// True where the evidence proves nothing.
    pub const fn is_simulated(self) -> bool {
        match self {
            Self::Simulated => true,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated => f.write_str("simulated"),
        }
    }
}

/// A TEE quote and what a verifier needs beside it.
#[derive(Clone, Debug)]
pub struct Quote {
    /// The quote's bytes.
    pub bytes: Vec<u8>,
    /// The measured boot and run-time events, as JSON text.
    pub event_log: String,
    /// The machine's configuration as measured, as JSON text.
    pub vm_config: String,
}

/// Why there is no evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The machine has none of the interfaces that the setting asks for.
    #[error("tee.provider {provider}: no TEE here; looked for {looked_for}")]
    NoTee {
        /// The setting's value.
        provider: &'static str,
        /// The paths that would have shown one.
        looked_for: String,
    },
    /// The machine has a TEE, and this release cannot use it.
    #[error("tee.provider {provider}: found {found}, which this release does not drive yet")]
    NotDriven {
        /// The setting's value.
        provider: &'static str,
        /// The path that shows the TEE.
        found: String,
    },
    /// The simulation was asked for in a build that has none.
    #[error("tee.provider simulated: this build has no simulator (cargo feature `simulator`)")]
    NoSimulator,
    /// GPU evidence was asked for that this release cannot give.
    #[error("gpu.provider {0}: this release collects no GPU evidence; use `none` or `auto`")]
    NoGpuEvidence(&'static str),
    /// The software platform could not be built.
    #[error("the software TEE could not be built: {0}")]
    Simulator(String),
    /// The platform did not give a quote.
    #[error("the TEE gave no quote: {0}")]
    NoQuote(String),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The platform's own evidence does not hold.
    #[error("the TEE's own evidence does not verify: {0}")]
    SelfCheck(String),
}
