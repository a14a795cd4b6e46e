//! The software platform as a source of quotes.

use dcap_qvl::QuoteCollateralV3;

use super::{AttestError, AttestFuture, Attester, Platform};
use crate::evidence::simulator::{SimulatorError, SoftwarePlatform};
use crate::evidence::tdx::TrustRoot;
use crate::evidence::{Quote, ReportData};

impl Attester for SoftwarePlatform {
    fn platform(&self) -> Platform {
        Platform::Simulated
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        Box::pin(async move { Ok(self.quote_now(report_data)?) })
    }

    fn info(&self) -> serde_json::Value {
        Self::info(self).clone()
    }

    fn trust_root(&self) -> TrustRoot {
        Self::trust_root(self)
    }

    fn collateral(&self) -> Option<QuoteCollateralV3> {
        Some(self.own_collateral().clone())
    }
}

impl From<SimulatorError> for AttestError {
    fn from(error: SimulatorError) -> Self {
        Self::Simulator(error.to_string())
    }
}
