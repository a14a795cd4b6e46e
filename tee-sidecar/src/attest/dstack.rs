//! Quotes of a guest under dstack: its guest agent makes them.

use std::path::PathBuf;
use std::sync::Arc;

use dcap_qvl::QuoteCollateralV3;
use serde_json::Value;

use super::{AttestError, AttestFuture, Attester, Platform};
use crate::evidence::tdx::TrustRoot;
use crate::evidence::{Quote, ReportData};

mod agent;
mod answers;
mod redact;

pub use agent::Agent;
pub use answers::AgentKey;

/// The guest agent as a source of quotes.
pub struct DstackAttester {
    agent: Arc<Agent>,
    info: Value,
}

impl DstackAttester {
    /// The agent that listens at `socket`, with what it says of the guest, which does not change
    /// while the guest runs.
    ///
    /// # Errors
    /// The agent does not answer, or with something else.
    pub async fn connect(socket: PathBuf) -> Result<Self, AttestError> {
        Self::over(Arc::new(Agent::new(socket)?)).await
    }

    /// [`DstackAttester::connect`] with an agent at hand.
    ///
    /// # Errors
    /// As there.
    pub async fn over(agent: Arc<Agent>) -> Result<Self, AttestError> {
        let info = agent.info().await?;
        Ok(Self { agent, info })
    }

    /// The agent, which gives keys too.
    pub fn agent(&self) -> Arc<Agent> {
        self.agent.clone()
    }
}

impl Attester for DstackAttester {
    fn platform(&self) -> Platform {
        Platform::Dstack
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        Box::pin(self.agent.quote(report_data))
    }

    fn info(&self) -> Value {
        self.info.clone()
    }

    fn trust_root(&self) -> TrustRoot {
        TrustRoot::Intel
    }

    fn collateral(&self) -> Option<QuoteCollateralV3> {
        None
    }
}
