//! A TDX platform in software: keys, certificates, collateral and quotes that the production
//! verifier accepts under this platform's own root, and never under Intel's.
//!
//! It stands in for hardware in tests and on a developer's machine. Its keys follow from public
//! labels: anyone can make its quotes, and everything it serves says `simulated`.

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::quote::QEReportCertificationData;

use super::verify::{TcbStatus, TrustRoot};
use super::{AttestError, AttestFuture, Attester, Platform, Quote, ReportData};

mod collateral;
mod key;
mod machine;
mod pki;
mod quote;
mod sgx_extension;

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
    pub fn new() -> Result<Self, AttestError> {
        Self::with_knobs(Knobs::default())
    }

    /// A platform with something wrong.
    pub fn with_knobs(knobs: Knobs) -> Result<Self, AttestError> {
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

    /// A quote at once.
    pub fn quote_now(&self, report_data: &ReportData) -> Result<Quote, AttestError> {
        let (certified, machine) = (&self.certified, &self.machine);
        let bytes = quote::build(&self.pki, certified, machine, report_data, self.knobs.debug)?;
        Ok(Quote {
            bytes,
            event_log: self.machine.event_log_json.clone(),
            vm_config: self.machine.vm_config.clone(),
        })
    }
}

impl Attester for SoftwarePlatform {
    fn platform(&self) -> Platform {
        Platform::Simulated
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        Box::pin(async move { self.quote_now(report_data) })
    }

    fn info(&self) -> serde_json::Value {
        self.machine.info.clone()
    }

    fn trust_root(&self) -> TrustRoot {
        TrustRoot::Test(self.pki.root_der.clone())
    }

    fn collateral<'a>(&'a self, _quote: &'a Quote) -> AttestFuture<'a, QuoteCollateralV3> {
        Box::pin(async move { Ok(self.collateral.clone()) })
    }
}

fn failed(cause: impl std::fmt::Display) -> AttestError {
    AttestError::Simulator(cause.to_string())
}
