//! Answers to clients who ask for evidence.
//!
//! A report with the client's nonce is always fresh: its own quote, its own GPU reports. Reports
//! without one are made once for everybody, refreshed in the background and kept for a while: they
//! say who signs here, not that the TEE is alive at this moment. Nothing is served that was not
//! checked first: it carries what was asked for, and its signatures and certificates hold.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use broker_core::{Clock, Digest32, LedgerReader, Signer};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{AttestError, Attester, GpuAttester, random_nonce};
use crate::evidence::{BadNonce, Nonce32};
use crate::identity::{Identities, Identity};
use crate::rate::{Rate, Rule};

mod aci;
mod body;
mod evidence;
mod form;
mod keysets;
mod ledger_head;
mod public;
mod query;
mod self_check;
pub(crate) mod shapes;
mod shelf;
mod slots;
mod tally;

use form::Form;
use keysets::{Keysets, Stamp};
use ledger_head::Heads;
pub use query::ReportQuery;
pub use tally::Making;

use shelf::Shelf;
use slots::{Line, Slot, Slots};
use tally::Tally;

/// The name of the served model, as soon as the engine has told it.
pub type ModelName = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Makes attestation reports. A clone is the same service.
#[derive(Clone)]
pub struct ReportService(Arc<Parts>);

/// What a report service is made of.
pub struct ReportParts {
    /// Makes quotes.
    pub attester: Arc<dyn Attester>,
    /// Makes GPU reports; none where no GPU is attested, which reports then say.
    pub gpus: Option<Arc<dyn GpuAttester>>,
    /// The key that the reports are about.
    pub signer: Arc<dyn Signer>,
    /// The keys that sign receipts.
    pub identities: Arc<Identities>,
    /// The model that it answers for.
    pub model: ModelName,
    /// SHA-256 of the SubjectPublicKeyInfo of the TLS key at start, where TLS ends in this TEE.
    pub tls_spki: Option<Digest32>,
    /// Certificates have to hold now.
    pub clock: Arc<dyn Clock>,
}

struct Parts {
    parts: ReportParts,
    /// The platform's own description, which does not change while it runs.
    info: serde_json::Value,
    shelf: Shelf,
    /// Reports with a nonce being made or waiting; more are refused.
    admitted: Semaphore,
    /// Reports with a nonce begun over time; more are refused.
    rate: Rate,
    /// Documents being made at one time.
    slots: Slots,
    /// Where the ledger's chain ends, once there is a ledger.
    ledger: Heads,
    /// What is shown of the keyset and its log, once they are there.
    keysets: Keysets,
    /// How it goes.
    tally: Tally,
    /// The TLS key of now.
    tls: RwLock<Option<Digest32>>,
}

impl Parts {
    /// The key that new connections end at, where TLS ends in this TEE.
    fn tls_key(&self) -> Option<Digest32> {
        *self.tls.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::Deref for Parts {
    type Target = ReportParts;

    fn deref(&self) -> &ReportParts {
        &self.parts
    }
}

impl ReportService {
    /// Reports made of these parts. Needs a running tokio runtime when it is asked.
    pub fn new(parts: ReportParts) -> Self {
        Self(Arc::new(Parts {
            info: parts.attester.info(),
            tls: RwLock::new(parts.tls_spki),
            parts,
            shelf: Shelf::default(),
            admitted: Semaphore::new(NONCED_REPORTS_MAX),
            rate: Rate::new(
                Rule { burst: NONCED_REPORTS_BURST, per_sec: NONCED_REPORTS_PER_SEC },
                Rule { burst: NONCED_REPORTS_BURST / 4, per_sec: NONCED_REPORTS_PER_SEC / 4 },
            ),
            slots: Slots::default(),
            ledger: Heads::default(),
            keysets: Keysets::default(),
            tally: Tally::default(),
        }))
    }

    /// From now on reports show where the ledger ends. Called once; a later one changes nothing.
    pub fn show_ledger(&self, reader: Arc<dyn LedgerReader>) {
        self.0.ledger.show(reader);
    }

    /// From now on reports with `binding=v2` show the head of the receipts' log, which `head` signs
    /// as this identity; nothing where it cannot be told. Called on a thread that may block. Called
    /// once; a later one changes nothing.
    pub fn show_log(&self, head: impl Fn(&Identity) -> Option<String> + Send + Sync + 'static) {
        self.0.keysets.show_log(Box::new(head));
    }

    /// From now on reports that bind this keyset show how it stands to the one before it.
    pub(super) fn show_lineage(&self, keyset: Digest32, document: Box<RawValue>) {
        self.0.keysets.show_lineage(keyset, document);
    }

    /// How the making of reports went so far.
    pub fn making(&self) -> Making {
        self.0.tally.read()
    }

    /// While no report can be made, tries again each minute: nobody may ask for one all night, and
    /// what failed once would seem to fail still. Never resolves.
    pub async fn try_again(self) {
        loop {
            tokio::time::sleep(TRIED_AGAIN_AFTER).await;
            if self.making().failing_since.is_some() {
                // Counted and logged as every attempt.
                let _made = self.fresh(Form::Common).await;
            }
        }
    }

    /// From now on reports bind this TLS key. Those that are being made bind the one before.
    pub fn bind_tls(&self, spki: Digest32) {
        *self.0.tls.write().unwrap_or_else(PoisonError::into_inner) = Some(spki);
    }

    /// True where the evidence proves nothing, and says so.
    pub fn is_simulated(&self) -> bool {
        self.0.attester.platform().is_simulated()
    }

    /// The report that `query` asks for, as JSON.
    pub async fn report(&self, query: &ReportQuery) -> Result<Bytes, ReportError> {
        self.report_for(query, None).await
    }

    /// [`ReportService::report`] for this peer, who may begin a quarter of all reports with a
    /// nonce; in the line for slow GPUs all are equal. A peer is an IPv4 address or an IPv6 /64;
    /// loopback ones have no limit of their own. Behind a proxy all clients are one peer: limiting
    /// each of them is the proxy's to do.
    pub async fn report_for(
        &self,
        query: &ReportQuery,
        peer: Option<IpAddr>,
    ) -> Result<Bytes, ReportError> {
        let asked = query.read(self.0.signer.address(), self.0.tls_key().is_some())?;
        let document = self.answer(asked.form, asked.nonce, peer).await?;
        Ok(if asked.names_model { document.with_model } else { document.plain })
    }

    /// The report of Attested Confidential Inference. `nonce` as the query has it: 64 lower-case
    /// hex digits, or none for the report that everybody gets.
    pub async fn aci_report_for(
        &self,
        nonce: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Bytes, ReportError> {
        let nonce = nonce.map(Nonce32::parse_lower).transpose()?;
        Ok(self.answer(Form::Aci, nonce, peer).await?.plain)
    }

    async fn answer(
        &self,
        form: Form,
        nonce: Option<Nonce32>,
        peer: Option<IpAddr>,
    ) -> Result<Document, ReportError> {
        let Some(nonce) = nonce else { return shelf::kept(self, form).await };
        let _admitted = self.0.admitted.try_acquire().map_err(|_| ReportError::Busy)?;
        self.0.rate.take(peer).map_err(|_| ReportError::Busy)?;
        self.document(form, nonce, Line::Nonced).await
    }

    /// 0G's quote of the signing key, which has no nonce, and its signature.
    pub async fn legacy_quote(&self) -> Result<SignedQuote, ReportError> {
        let document = shelf::kept(self, Form::Legacy).await?;
        let signature = document.signature.ok_or(ReportError::Busy)?;
        Ok(SignedQuote { body: document.plain, signature })
    }

    /// A document for everybody, of which nobody chose the nonce.
    async fn fresh(&self, form: Form) -> Result<Document, ReportError> {
        self.document(form, random_nonce()?, Line::Shelf).await
    }

    /// One attempt, logged where it fails: those who share its outcome do not log it again.
    async fn document(
        &self,
        form: Form,
        nonce: Nonce32,
        line: Line,
    ) -> Result<Document, ReportError> {
        let slot = self.0.slots.enter(line).await?;
        let made = self.made(form, nonce, line, slot).await;
        if let Err(cause @ (ReportError::NoEvidence(_) | ReportError::CheckFailed)) = &made {
            self.0.tally.failed(self.0.clock.now());
            tracing::error!(%cause, ?form, ?line, "no evidence");
        }
        if made.is_ok() {
            self.0.tally.made(self.0.clock.now());
        }
        made
    }

    async fn made(
        &self,
        form: Form,
        nonce: Nonce32,
        line: Line,
        slot: Slot,
    ) -> Result<Document, ReportError> {
        let collected = evidence::collect(self, form, nonce, line, &slot).await?;
        let service = self.clone();
        blocking(move || {
            // Held to the end, also for callers who have left.
            let _slot = slot;
            let inspected = evidence::check(&service.0, &collected)?;
            let document = match form {
                Form::Aci => aci::render(&service.0, &collected)?,
                _ => body::render(&service.0, form, &collected)?,
            };
            if document.keyset.is_some() {
                evidence::check_document(&service.0, &document.plain, &inspected.fields)?;
            }
            Ok(document)
        })
        .await
    }
}

/// Does work off the server's threads: encoding and checking eight GPUs takes tens of milliseconds,
/// in which they would write no stream's bytes.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReportError> + Send + 'static,
) -> Result<T, ReportError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ReportError::CheckFailed)?
}

/// 0G's quote.
#[derive(Clone, Debug)]
pub struct SignedQuote {
    /// The body to the byte.
    pub body: Bytes,
    /// The signing key's signature over the body, `0x` and hex.
    pub signature: String,
}

/// One document in its two forms, made together so that both can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Document {
    plain: Bytes,
    /// With `model_attestations`, for clients that name a model.
    with_model: Bytes,
    /// Over `plain`, where the form has one.
    signature: Option<String>,
    model: StatedModel,
    /// Where it binds a keyset.
    keyset: Option<Stamp>,
    /// Where it binds a TLS key.
    tls: Option<Digest32>,
}

/// What a document says of the served model.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StatedModel {
    /// Nothing, as its form has no place for it.
    Never,
    /// Nothing, as the engine had not told yet.
    Unknown,
    /// This name.
    Name(String),
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
    /// A fault of our own, not the TEE's.
    #[error("the evidence could not be encoded or checked: a fault of the sidecar's own")]
    CheckFailed,
    /// The TEE gives no evidence now. Never answered with an empty quote.
    #[error("no evidence can be given now: {0}")]
    NoEvidence(#[from] AttestError),
}

/// How long after a failed report another is tried where nobody asks for one.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Reports with a nonce being made or waiting. Where reports are fast, this many are made in a
/// second or two; a node of eight GPUs takes seconds for one, and most of them are refused when
/// they have waited for long enough.
const NONCED_REPORTS_MAX: usize = 64;

/// Reports with a nonce that may come at once.
const NONCED_REPORTS_BURST: u32 = 64;

/// Reports with a nonce for each second after that: a quote alone costs the machine tens of
/// milliseconds. It bounds the quotes, not the GPUs, whose turns are what is waited for.
const NONCED_REPORTS_PER_SEC: u32 = 8;
