//! Evidence for one document: collected in the order in which the layouts need it, then checked.

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Duration, timeout};

use super::form::Form;
use super::slots::{Line, Slot};
use super::{Parts, ReportError, ReportService, blocking};
use crate::attest::{AttestError, GpuError};
use crate::evidence::audit::{Asked, Materials, Verdict, audit_binding};
use crate::evidence::ledger_head::LedgerHead;
use crate::evidence::nvidia::{GpuEvidence, verify_gpu};
use crate::evidence::policy::Policy;
use crate::evidence::saved::parse_reports;
use crate::evidence::tdx::{InspectedQuote, QuoteFields, inspect_quote};
use crate::evidence::{Binding, Nonce32, Quote, ReportData};
use crate::identity::Identity;
use broker_core::Digest32;

/// All evidence of one document.
pub(super) struct Collected {
    pub(super) nonce: Nonce32,
    /// What the GPUs signed; in most forms the same.
    pub(super) gpu_nonce: Nonce32,
    pub(super) gpus: Vec<GpuEvidence>,
    /// The text that is served, to the byte.
    pub(super) nvidia_payload: String,
    /// As it was when the binding was made.
    pub(super) model: Option<String>,
    /// The TLS key, where the quote covers it.
    pub(super) tls: Option<Digest32>,
    pub(super) report_data: ReportData,
    pub(super) quote: Quote,
    /// Who signs receipts.
    pub(super) identity: Arc<Identity>,
    /// The nonce, where a client chose it.
    pub(super) chosen: Option<Nonce32>,
    /// The signed head of the receipts' log, where the form covers it.
    pub(super) log_head: Option<String>,
    /// Where the ledger ended meanwhile; `None` where it does not say.
    pub(super) ledger: Option<LedgerHead>,
}

/// The GPUs first: `binding=v2` quotes a hash of what they say.
pub(super) async fn collect(
    service: &ReportService,
    form: Form,
    nonce: Nonce32,
    line: Line,
    slot: &Slot,
) -> Result<Collected, ReportError> {
    // Nobody chose the nonce of a report for everybody.
    let chosen = (line == Line::Nonced).then_some(nonce);
    let identity = service.0.identities.at(service.0.clock.now());
    let covers_tls = matches!(form, Form::Tls | Form::Bound);
    let tls = service.0.tls_key().filter(|_| covers_tls);
    let subject = Subject { form, nonce, chosen, identity: identity.clone(), tls };
    let gpu_nonce = gpu_nonce(&service.0, &subject);
    let gpus = gpus(service, gpu_nonce, slot).await?;
    let (owner, slot) = (service.clone(), slot.clone());
    let (gpus, nvidia_payload, model, log_head, report_data) = blocking(move || {
        let _slot = slot;
        let nvidia_payload = super::body::nvidia_payload(&gpu_nonce, &gpus)?;
        let model = (owner.0.model)();
        let log_head = match form {
            Form::Bound => owner.0.keysets.head(&subject.identity)?,
            _ => None,
        };
        let said = (nvidia_payload.as_str(), model.as_deref(), log_head.as_deref());
        let report_data = report_data(&owner.0, &subject, said)?;
        Ok((gpus, nvidia_payload, model, log_head, report_data))
    })
    .await?;
    let quote = in_time(QUOTE_SECS_MAX, service.0.attester.quote(&report_data)).await??;
    // 0G's quote has no place for it.
    let ledger = match form {
        Form::Legacy => None,
        _ => service.0.ledger.read(&*service.0.clock, chosen).await,
    };
    Ok(Collected {
        nonce,
        gpu_nonce,
        gpus,
        nvidia_payload,
        model,
        tls,
        report_data,
        quote,
        identity,
        chosen,
        log_head,
        ledger,
    })
}

/// What a document is to be about.
struct Subject {
    form: Form,
    nonce: Nonce32,
    chosen: Option<Nonce32>,
    identity: Arc<Identity>,
    tls: Option<Digest32>,
}

fn gpu_nonce(parts: &Parts, subject: &Subject) -> Nonce32 {
    let nonce = subject.nonce;
    match subject.form {
        Form::Common | Form::Tls => nonce,
        Form::Bound => Binding::gpu_nonce(&public_key(parts), &nonce),
        // Without a nonce the GPUs vouch for the keyset, as the quote does.
        Form::Aci => subject.chosen.unwrap_or_else(|| {
            Nonce32::from_bytes(ReportData::aci(&subject.identity.digest(), None).first_half())
        }),
        // The nonce of 0G's broker, which is always the same.
        Form::Legacy => {
            let address = parts.signer.address().to_string();
            let Digest32(hash) = Digest32::keccak256(address.as_bytes());
            Nonce32::from_bytes(hash)
        }
    }
}

/// The GPUs' clock starts when it is our turn, and their turn ends when they have answered, also
/// when the caller has left meanwhile: the next one would only wait behind the same driver.
async fn gpus(
    service: &ReportService,
    nonce: Nonce32,
    slot: &Slot,
) -> Result<Vec<GpuEvidence>, ReportError> {
    let Some(source) = service.0.gpus.clone() else { return Ok(Vec::new()) };
    let turn = service.0.slots.gpus(slot).await?;
    let call = tokio::spawn(async move {
        let _turn = turn;
        in_time(GPU_SECS_MAX, source.evidence(nonce)).await
    });
    let stopped = |_| AttestError::from(GpuError::Panicked);
    Ok(call.await.map_err(stopped)??.map_err(AttestError::from)?)
}

/// `said` are the GPU payload, the model's name and the log's signed head.
fn report_data(
    parts: &Parts,
    subject: &Subject,
    said: (&str, Option<&str>, Option<&str>),
) -> Result<ReportData, ReportError> {
    let address = parts.signer.address();
    let (nonce, (nvidia_payload, model, head)) = (&subject.nonce, said);
    let sha256 = |text: &str| Digest32::sha256(text.as_bytes());
    Ok(match (subject.form, subject.tls) {
        (Form::Common, _) => ReportData::ecdsa_and_nonce(address, nonce),
        (Form::Tls, Some(spki)) => ReportData::with_tls(address, &spki, nonce),
        (Form::Tls, None) => return Err(ReportError::NoTls),
        (Form::Legacy, _) => ReportData::ascii_address(address),
        (Form::Aci, _) => ReportData::aci(&subject.identity.digest(), subject.chosen.as_ref()),
        (Form::Bound, tls_spki) => ReportData::bound(&Binding {
            algorithm: "ecdsa",
            public_key: &public_key(parts),
            tls_spki,
            nonce: *nonce,
            nvidia_payload,
            model: model.map(sha256),
            log_head: head.map(sha256),
        }),
    })
}

/// Nothing is handed on that does not carry what was asked to be bound, or whose signatures and
/// certificates do not hold: evidence of another request can never be served.
pub(super) fn check(parts: &Parts, collected: &Collected) -> Result<InspectedQuote, AttestError> {
    let now_secs = parts.clock.now().as_secs();
    let root = parts.attester.trust_root();
    let inspected = inspect_quote(&collected.quote.bytes, &root, now_secs)
        .map_err(|e| AttestError::SelfCheck(e.to_string()))?;
    if &inspected.fields.report_data != collected.report_data.as_bytes() {
        return Err(AttestError::SelfCheck("the quote carries another report data".to_owned()));
    }
    if let Some(source) = &parts.gpus {
        let (root, nonce) = (source.trust_root(), collected.gpu_nonce.as_bytes());
        if collected.gpus.is_empty() {
            return Err(GpuError::NoGpu.into());
        }
        for (index, gpu) in collected.gpus.iter().enumerate() {
            verify_gpu(gpu, nonce, &root, now_secs)
                .map_err(|e| GpuError::SelfCheck { index, cause: e.to_string() })?;
        }
    }
    Ok(inspected)
}

/// A document that binds a keyset is read again as an auditor reads it: what it says has to be what
/// its quote carries.
pub(super) fn check_document(
    parts: &Parts,
    document: &[u8],
    quote: &QuoteFields,
) -> Result<(), ReportError> {
    let materials = Materials {
        now_secs: parts.clock.now().as_secs(),
        nonce: None,
        collateral: None,
        rims: &[],
        ocsp: &[],
        nras: None,
        tls_peer: None,
        asked: Asked::default(),
    };
    let reports = parse_reports(document).map_err(|error| {
        tracing::error!(%error, "a report of ours cannot be read");
        ReportError::CheckFailed
    })?;
    for report in &reports {
        let audit = audit_binding(report, &materials, &Policy::default(), quote);
        if audit.verdict() != Verdict::Proved {
            tracing::error!(findings = ?audit.findings, "a report of ours does not hold");
            return Err(ReportError::CheckFailed);
        }
    }
    Ok(())
}

/// x and y.
pub(super) fn public_key(parts: &Parts) -> Vec<u8> {
    let uncompressed = parts.signer.public_key().serialize_uncompressed();
    uncompressed.split_at(1).1.to_vec()
}

async fn in_time<T>(secs: u64, work: impl Future<Output = T>) -> Result<T, AttestError> {
    timeout(Duration::from_secs(secs), work).await.map_err(|_| AttestError::Late(secs))
}

/// How long a TEE may take over one quote.
const QUOTE_SECS_MAX: u64 = 10;

/// How long all GPUs of a node may take over their reports.
const GPU_SECS_MAX: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::GpuLimits;
    use crate::attest::tsm::TSM_ANSWER_SECS_MAX;

    #[test]
    fn a_source_that_hangs_says_so_before_the_report_gives_up_on_it() {
        assert!(GpuLimits::default().request < Duration::from_secs(GPU_SECS_MAX));
        assert!(GpuLimits::default().call < GpuLimits::default().request);
        const { assert!(TSM_ANSWER_SECS_MAX < QUOTE_SECS_MAX) };
    }
}
