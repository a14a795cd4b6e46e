//! A TDX platform and a GPU in software: keys, certificates, collateral, quotes and reports that
//! the production verifier accepts under their own roots, and never under Intel's or NVIDIA's.
//!
//! They stand in for hardware in tests and on a developer's machine. Their keys follow from public
//! labels: anyone can make their evidence, and everything they serve says `simulated`.

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::quote::QEReportCertificationData;

use crate::tdx::{TcbStatus, TrustRoot};
use crate::{Quote, ReportData};

mod collateral;
mod gpu;
mod key;
mod machine;
mod pki;
mod quote;
mod sgx_extension;

pub use gpu::{GPU_KEY_LABEL, SoftwareGpu};
use machine::Machine;
use pki::Pki;

/// The software platform. Certificates are made once; a quote costs one signature.
pub struct SoftwarePlatform {
    pki: Pki,
    certified: QEReportCertificationData,
    machine: Machine,
    collateral: QuoteCollateralV3,
    knobs: Knobs,
}

/// What a test may make wrong with a platform.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The state that the platform's collateral gives it.
    pub tcb_status: TcbStatus,
    /// Whether the host may look into the TD.
    pub debug: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { tcb_status: TcbStatus::UpToDate, debug: false }
    }
}

impl SoftwarePlatform {
    /// A platform in good order.
    pub fn new() -> Result<Self, SimulatorError> {
        Self::with_knobs(Knobs::default())
    }

    /// A platform with something wrong.
    pub fn with_knobs(knobs: Knobs) -> Result<Self, SimulatorError> {
        let pki = Pki::new()?;
        let collateral = collateral::sign(&pki, knobs.tcb_status)?;
        let certified = quote::certify_key(&pki)?;
        Ok(Self { pki, certified, machine: Machine::new()?, collateral, knobs })
    }

    /// The root that this platform's quotes verify under.
    pub fn root_ca_der(&self) -> &[u8] {
        &self.pki.root_der
    }

    /// The platform key's public half, as an uncompressed point.
    pub fn pck_public_key(&self) -> [u8; 65] {
        self.pki.pck.point()
    }

    /// What this platform's quotes verify against; valid from 2020 to 2099.
    pub const fn own_collateral(&self) -> &QuoteCollateralV3 {
        &self.collateral
    }

    /// Where the certificates of this platform's quotes end.
    pub fn trust_root(&self) -> TrustRoot {
        TrustRoot::Test(self.pki.root_der.clone())
    }

    /// What the simulated guest agent says of itself.
    pub const fn info(&self) -> &serde_json::Value {
        &self.machine.info
    }

    /// A quote at once.
    pub fn quote_now(&self, report_data: &ReportData) -> Result<Quote, SimulatorError> {
        let (certified, machine) = (&self.certified, &self.machine);
        let bytes = quote::build(&self.pki, certified, machine, report_data, self.knobs.debug)?;
        Ok(Quote {
            bytes,
            event_log: self.machine.event_log_json.clone(),
            vm_config: self.machine.vm_config.clone(),
        })
    }
}

/// The software platform could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the software TEE could not be built: {0}")]
pub struct SimulatorError(String);

fn failed(cause: impl std::fmt::Display) -> SimulatorError {
    SimulatorError(cause.to_string())
}
