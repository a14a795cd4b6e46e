//! Answers to clients who ask for evidence.
//!
//! A report with the client's nonce is always fresh. Reports without one are made once for
//! everybody and kept for a while: they say who signs here, not that the TEE is alive at this
//! moment.

use std::sync::Arc;

use broker_core::{Clock, Signer};
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Duration, Instant, timeout};

use super::{AttestError, Attester, GpuAttester, random_nonce};
use crate::evidence::tdx::{InspectedQuote, TrustRoot, inspect_quote};
use crate::evidence::{BadNonce, Nonce32, Quote, ReportData};

mod body;
mod query;
mod self_check;

use body::Rendered;
pub use query::ReportQuery;

/// The name of the served model, as soon as the engine has told it.
pub type ModelName = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Makes attestation reports.
pub struct ReportService {
    attester: Arc<dyn Attester>,
    signer: Arc<dyn Signer>,
    model: ModelName,
    gpu: Option<Arc<dyn GpuAttester>>,
    clock: Arc<dyn Clock>,
    /// The platform's own description, which does not change while it runs.
    info: serde_json::Value,
    root: TrustRoot,
    nonce_less: Mutex<Option<Kept>>,
    at_once: Semaphore,
    admitted: Semaphore,
}

impl ReportService {
    /// Reports of `signer`'s key and the model that it answers for, once that is known.
    pub fn new(
        attester: Arc<dyn Attester>,
        signer: Arc<dyn Signer>,
        model: ModelName,
        gpu: Option<Arc<dyn GpuAttester>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            info: attester.info(),
            root: attester.trust_root(),
            attester,
            signer,
            model,
            gpu,
            clock,
            nonce_less: Mutex::new(None),
            at_once: Semaphore::new(QUOTES_AT_ONCE_MAX),
            admitted: Semaphore::new(NONCED_REPORTS_MAX),
        }
    }

    /// True where the evidence proves nothing, and says so.
    pub fn is_simulated(&self) -> bool {
        self.attester.platform().is_simulated()
    }

    /// The report that `query` asks for, as JSON.
    pub async fn report(&self, query: &ReportQuery) -> Result<Bytes, ReportError> {
        let asked = query.read(self.signer.address())?;
        let rendered = match asked.nonce {
            Some(nonce) => {
                let _admitted = self.admitted.try_acquire().map_err(|_| ReportError::Busy)?;
                self.fresh(&nonce).await?
            }
            None => self.kept().await?,
        };
        Ok(if asked.names_model { rendered.with_model } else { rendered.plain })
    }

    /// The report without a client's nonce. One caller makes it while the others wait for the same.
    async fn kept(&self) -> Result<Rendered, ReportError> {
        let mut slot = self.nonce_less.lock().await;
        if let Some(kept) = slot.as_ref().filter(|kept| kept.holds()) {
            return kept.outcome.clone();
        }
        let outcome = match random_nonce() {
            Ok(nonce) => self.fresh(&nonce).await,
            Err(e) => Err(e.into()),
        };
        let lasting = outcome.is_ok() && (self.model)().is_some();
        *slot = Some(Kept { made: Instant::now(), lasting, outcome: outcome.clone() });
        outcome
    }

    async fn fresh(&self, nonce: &Nonce32) -> Result<Rendered, ReportError> {
        let report_data = ReportData::ecdsa_and_nonce(self.signer.address(), nonce);
        let permit = self.at_once.acquire().await.map_err(|_| ReportError::Busy)?;
        let quote = self.quote(&report_data).await?;
        drop(permit);
        body::render(self, nonce, &report_data, &quote)
    }

    /// A quote that was looked at before it is handed on: it carries what was asked to be bound,
    /// and both parsers read it alike. A quote of another request can never be served.
    async fn quote(&self, report_data: &ReportData) -> Result<Quote, AttestError> {
        let limit = Duration::from_secs(QUOTE_SECS_MAX);
        let work = async {
            let quote = self.attester.quote(report_data).await?;
            let InspectedQuote { fields, .. } = inspect_quote(&quote.bytes, &self.root)
                .map_err(|e| AttestError::NoQuote(e.to_string()))?;
            if &fields.report_data == report_data.as_bytes() {
                Ok(quote)
            } else {
                Err(AttestError::NoQuote("it carries another report data".to_owned()))
            }
        };
        let late = |_| AttestError::NoQuote(format!("not within {QUOTE_SECS_MAX} s"));
        timeout(limit, work).await.map_err(late)?
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The nonce has another form.
    #[error(transparent)]
    BadNonce(#[from] BadNonce),
    /// No such algorithm exists here.
    #[error("signing_algo is `ecdsa` or `ed25519`")]
    UnknownAlgorithm,
    /// The algorithm exists elsewhere; no key here uses it.
    #[error("this sidecar signs with ecdsa only; ed25519 is not offered")]
    AlgorithmNotOffered,
    /// A report bound to a TLS key was asked for where no TLS ends.
    #[error("no TLS ends in this TEE, so no report can bind a TLS key")]
    NoTls,
    /// A parameter has a value that means nothing.
    #[error("{parameter} is {rule}")]
    BadParameter {
        /// The parameter's name.
        parameter: &'static str,
        /// What it may be.
        rule: &'static str,
    },
    /// The signing address asked for is not ours.
    #[error("no key with this signing_address signs here")]
    OtherSigner,
    /// Too many reports are being made.
    #[error("too many attestation reports at once")]
    Busy,
    /// The TEE gives no evidence now. Never answered with an empty quote.
    #[error("no evidence can be given now")]
    NoEvidence(#[from] AttestError),
}

/// The last report without a client's nonce, or why there was none.
struct Kept {
    made: Instant,
    /// It is whole: no failure, and not before the engine told its model's name.
    lasting: bool,
    outcome: Result<Rendered, ReportError>,
}

impl Kept {
    fn holds(&self) -> bool {
        let secs = if self.lasting { KEPT_SECS_MAX } else { FAILURE_KEPT_SECS };
        self.made.elapsed() < Duration::from_secs(secs)
    }
}

/// How long a report without a client's nonce is served.
const KEPT_SECS_MAX: u64 = 300;

/// How long those who queue behind a failed attempt share its error, instead of each trying again.
const FAILURE_KEPT_SECS: u64 = 1;

/// Quotes being made at one time.
const QUOTES_AT_ONCE_MAX: usize = 4;

/// Reports with a nonce being made or waiting; more are refused.
const NONCED_REPORTS_MAX: usize = 64;

/// How long a TEE may take over one quote.
const QUOTE_SECS_MAX: u64 = 10;
