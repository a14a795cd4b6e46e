//! Evidence for one document: collected in the order in which the layouts need it, then checked.

use std::future::Future;

use tokio::time::{Duration, timeout};

use super::form::Form;
use super::slots::{Line, Slot};
use super::{Parts, ReportError, ReportService, blocking};
use crate::attest::{AttestError, GpuError};
use crate::evidence::ledger_head::LedgerHead;
use crate::evidence::nvidia::{GpuEvidence, verify_gpu};
use crate::evidence::tdx::{InspectedQuote, inspect_quote};
use crate::evidence::{Binding, Nonce32, Quote, ReportData};
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
    pub(super) report_data: ReportData,
    pub(super) quote: Quote,
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
    let gpu_nonce = gpu_nonce(&service.0, form, nonce);
    let gpus = gpus(service, gpu_nonce, slot).await?;
    let (owner, slot) = (service.clone(), slot.clone());
    let (gpus, nvidia_payload, model, report_data) = blocking(move || {
        let _slot = slot;
        let nvidia_payload = super::body::nvidia_payload(&gpu_nonce, &gpus)?;
        let model = (owner.0.model)();
        let report_data = report_data(&owner.0, form, &nonce, &nvidia_payload, model.as_deref())?;
        Ok((gpus, nvidia_payload, model, report_data))
    })
    .await?;
    let quote = in_time(QUOTE_SECS_MAX, service.0.attester.quote(&report_data)).await??;
    // 0G's quote has no place for it.
    let ledger = match form {
        Form::Legacy => None,
        _ => {
            // Nobody chose the nonce of a report for everybody.
            let chosen = (line == Line::Nonced).then_some(nonce);
            service.0.ledger.read(&*service.0.clock, chosen).await
        }
    };
    Ok(Collected { nonce, gpu_nonce, gpus, nvidia_payload, model, report_data, quote, ledger })
}

fn gpu_nonce(parts: &Parts, form: Form, nonce: Nonce32) -> Nonce32 {
    match form {
        Form::Common | Form::Tls => nonce,
        Form::Bound => Binding::gpu_nonce(&public_key(parts), &nonce),
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

fn report_data(
    parts: &Parts,
    form: Form,
    nonce: &Nonce32,
    nvidia_payload: &str,
    model: Option<&str>,
) -> Result<ReportData, ReportError> {
    let address = parts.signer.address();
    Ok(match (form, parts.tls_spki) {
        (Form::Common, _) => ReportData::ecdsa_and_nonce(address, nonce),
        (Form::Tls, Some(spki)) => ReportData::with_tls(address, &spki, nonce),
        (Form::Tls, None) => return Err(ReportError::NoTls),
        (Form::Legacy, _) => ReportData::ascii_address(address),
        (Form::Bound, tls_spki) => ReportData::bound(&Binding {
            algorithm: "ecdsa",
            public_key: &public_key(parts),
            tls_spki,
            nonce: *nonce,
            nvidia_payload,
            model: model.map(|name| Digest32::sha256(name.as_bytes())),
            log_head: None,
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
