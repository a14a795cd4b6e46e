//! The proof that a start owes itself: evidence that does not verify here verifies nowhere.

use broker_core::Digest32;

use super::evidence::{Collected, check, collect};
use super::{Form, ReportError, ReportService};
use crate::attest::{AttestError, random_nonce};
use crate::evidence::event_log::EventLog;
use crate::evidence::tdx::{InspectedQuote, TcbPolicy, TrustRoot, verify_quote};

impl ReportService {
    /// Collects evidence and holds it to what a client's verifier would, as far as this machine
    /// can: signatures and certificates, what the quote binds, the event log and the composition;
    /// the platform's state only where the platform has its own collateral. An error means that
    /// this process must not serve.
    pub async fn self_check(&self) -> Result<(), AttestError> {
        let nonce = random_nonce()?;
        let collected =
            collect(&self.0, Form::Common, nonce).await.map_err(|error| match error {
                ReportError::NoEvidence(cause) => cause,
                other => wrong(other),
            })?;
        let inspected = check(&self.0, &collected)?;
        if inspected.fields.debug {
            return Err(wrong("a debug TD: the host can read all of it"));
        }
        self.platform_state(&collected)?;
        self.composition(&collected, &inspected)?;
        if !inspected.cross_checked {
            tracing::warn!("quotes here have a version that the second parser cannot read");
        }
        Ok(())
    }

    fn platform_state(&self, collected: &Collected) -> Result<(), AttestError> {
        let root = self.0.attester.trust_root();
        if !self.is_simulated() && !matches!(root, TrustRoot::Intel) {
            return Err(wrong("only a simulated platform may have another root than Intel's"));
        }
        let Some(collateral) = self.0.attester.collateral() else {
            tracing::info!("signatures and certificates hold; the TCB is left to auditors");
            return Ok(());
        };
        let now_secs = self.0.clock.now().as_secs();
        let policy = TcbPolicy::default();
        let quote = &collected.quote.bytes;
        let under = |root| verify_quote(quote, &collateral, root, now_secs, &policy);
        if self.is_simulated() && under(&TrustRoot::Intel).is_ok() {
            return Err(wrong("a simulated quote passes under Intel's root"));
        }
        under(&root).map(drop).map_err(wrong)
    }

    /// A guest that keeps an event log keeps it right; a bare guest keeps none.
    fn composition(
        &self,
        collected: &Collected,
        inspected: &InspectedQuote,
    ) -> Result<(), AttestError> {
        let composition = self.0.info.pointer("/tcb_info/app_compose").and_then(|v| v.as_str());
        let log = EventLog::parse(&collected.quote.event_log).map_err(wrong)?;
        if log.is_empty() && composition.is_none() {
            tracing::info!("this guest keeps no event log: what runs in it is not measured");
            return Ok(());
        }
        let log = log.verify(&inspected.fields.rtmrs).map_err(wrong)?;
        let composition = composition.ok_or_else(|| wrong("no tcb_info.app_compose"))?;
        if log.payload("compose-hash") != Some(&Digest32::sha256(composition.as_bytes()).0[..]) {
            return Err(wrong("the composition is not the measured one"));
        }
        Ok(())
    }
}

fn wrong(cause: impl std::fmt::Display) -> AttestError {
    AttestError::SelfCheck(cause.to_string())
}
