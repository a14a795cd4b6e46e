//! The proof that a start owes itself: evidence that does not verify here verifies nowhere.

use broker_core::Digest32;

use super::{AttestError, Quote, ReportData, ReportService};
use crate::evidence::event_log::EventLog;
use crate::evidence::tdx::{TcbPolicy, TrustRoot, VerifiedQuote, verify_quote};

impl ReportService {
    /// Makes a quote and holds it to everything that a client's verifier would. An error means that
    /// this process must not serve.
    pub async fn self_check(&self) -> Result<(), AttestError> {
        let nonce = super::random_nonce()?;
        let report_data = ReportData::ecdsa_and_nonce(self.signer.address(), &nonce);
        let quote = self.quote(&report_data).await?;
        let verified = self.verify_own(&quote).await?;
        if &verified.report_data != report_data.as_bytes() {
            return Err(wrong("it carries another report data"));
        }
        let log = EventLog::parse(&quote.event_log).map_err(wrong)?;
        let log = log.verify(&verified.rtmrs).map_err(wrong)?;
        let composition = self.info.pointer("/tcb_info/app_compose").and_then(|v| v.as_str());
        let composition = composition.ok_or_else(|| wrong("no tcb_info.app_compose"))?;
        if log.payload("compose-hash") != Some(&Digest32::sha256(composition.as_bytes()).0[..]) {
            return Err(wrong("the composition is not the measured one"));
        }
        if !verified.cross_checked {
            tracing::warn!("quotes here have a version that the second parser cannot read");
        }
        Ok(())
    }

    async fn verify_own(&self, quote: &Quote) -> Result<VerifiedQuote, AttestError> {
        let collateral = self.attester.collateral().ok_or_else(|| wrong("no collateral"))?;
        let now_secs = self.clock.now().as_secs();
        let policy = TcbPolicy::default();
        let under = |root| verify_quote(&quote.bytes, &collateral, root, now_secs, &policy);
        if self.is_simulated() && under(&TrustRoot::Intel).is_ok() {
            return Err(wrong("a simulated quote passes under Intel's root"));
        }
        if !self.is_simulated() && !matches!(self.root, TrustRoot::Intel) {
            return Err(wrong("only a simulated platform may have another root than Intel's"));
        }
        under(&self.root).map_err(wrong)
    }
}

fn wrong(cause: impl std::fmt::Display) -> AttestError {
    AttestError::SelfCheck(cause.to_string())
}
