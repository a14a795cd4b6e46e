//! Evidence that the signing key lives in a TEE: where it comes from, and the reports of it.
//!
//! An [`Attester`] makes quotes over [`ReportData`], a [`GpuAttester`] makes GPU reports over a
//! nonce, and [`ReportService`] answers clients with both. What evidence has to hold is not decided
//! here but in [`crate::evidence`], which the auditor's command uses too.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use dcap_qvl::QuoteCollateralV3;
use serde::Serialize;

use crate::evidence::nvidia::GpuEvidence;
use crate::evidence::tdx::TrustRoot;
use crate::evidence::{Nonce32, Quote, ReportData};

mod choose;
pub mod dstack;
mod error;
mod gpu;
mod lineage;
pub mod report;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod tsm;
mod worker;

pub use choose::{Tee, choose, choose_under};
pub use dstack::DstackAttester;
pub use error::{AttestError, GpuError};
pub use gpu::{GpuAttester, GpuLimits, NvmlAttester, choose_gpu, choose_gpu_from};
pub use lineage::{KeepError, KeysetKeeper};
pub use report::{Making, ReportError, ReportQuery, ReportService};
pub use tsm::TsmAttester;

/// Makes quotes.
pub trait Attester: Send + Sync {
    /// Which platform this is.
    fn platform(&self) -> Platform;

    /// A quote over `report_data`. Callers check that it carries it. The future may be dropped at
    /// any time; the next call is not touched by what this one left behind.
    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote>;

    /// What the guest knows of itself: an object with `tcb_info` (an object with `app_compose`) and
    /// `vm_config`, as clients of dstack read it. A guest that knows nothing of itself has an empty
    /// `tcb_info`.
    fn info(&self) -> serde_json::Value;

    /// Where the certificates of this platform's quotes end.
    fn trust_root(&self) -> TrustRoot;

    /// The TCB levels, identities and revocations that one of this platform's quotes is verified
    /// against, where the platform has them itself. Hardware has not: there the start proves
    /// signatures and certificates, and the TCB is the auditor's to judge.
    fn collateral(&self) -> Option<QuoteCollateralV3>;
}

/// A future that an evidence source returns.
pub type AttestFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, AttestError>> + Send + 'a>>;

/// A future that a source of GPU evidence returns.
pub type GpuFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<GpuEvidence>, GpuError>> + Send + 'a>>;

/// Which kind of platform makes the quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Platform {
    /// A TDX guest under dstack: the guest agent makes quotes and keeps keys.
    Dstack,
    /// A bare TDX guest: the kernel makes quotes.
    Tdx,
    /// The software platform: proves nothing, says so everywhere.
    Simulated,
}

impl Platform {
    /// True where the evidence proves nothing.
    pub const fn is_simulated(self) -> bool {
        matches!(self, Self::Simulated)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dstack => "dstack",
            Self::Tdx => "tdx",
            Self::Simulated => "simulated",
        })
    }
}

/// A nonce that nobody chose.
pub fn random_nonce() -> Result<Nonce32, AttestError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| AttestError::Random(e.to_string()))?;
    Ok(Nonce32::from_bytes(bytes))
}
