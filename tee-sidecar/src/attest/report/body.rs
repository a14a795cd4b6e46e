//! The documents: fields, types and order as the existing verifiers read them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Address, Digest32};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::evidence::{Collected, public_key};
use super::form::Form;
use super::{Document, Parts, ReportError, StatedModel};
use crate::attest::AttestError;
use crate::evidence::Nonce32;
use crate::evidence::ledger_head::LedgerHead;
use crate::evidence::nvidia::{Architecture, GpuEvidence};
use crate::shapes;

pub(super) fn render(
    parts: &Parts,
    form: Form,
    collected: &Collected,
) -> Result<Document, ReportError> {
    if form == Form::Legacy {
        let text = legacy(parts, collected)?;
        let signed = parts.signer.sign_text(&text);
        let signature = signed.map_err(|e| AttestError::SelfCheck(e.to_string()))?;
        let plain = Bytes::from(text);
        let signature = Some(signature.to_string());
        let model = StatedModel::Never;
        let with_model = plain.clone();
        let (keyset, tls) = (None, None);
        return Ok(Document { with_model, plain, signature, model, keyset, tls });
    }
    let quote = hex::encode(&collected.quote.bytes);
    let public_key = hex::encode(public_key(parts));
    let ledger_head = collected.ledger.map(|head| SignedHead::of(parts, head)).transpose()?;
    // Without a head the quote would not cover the keyset.
    let head = collected.log_head.as_deref();
    let (stamp, lineage) = parts.keysets.of(&collected.identity);
    let report = Report {
        signing_address: parts.signer.address(),
        signing_algo: "ecdsa",
        signing_public_key: &public_key,
        request_nonce: collected.nonce,
        intel_quote: &quote,
        quote: &quote,
        event_log: &collected.quote.event_log,
        info: &parts.info,
        vm_config: &collected.quote.vm_config,
        nvidia_payload: &collected.nvidia_payload,
        gpu_status: if parts.gpus.is_some() { "attested" } else { "none" },
        report_data: collected.report_data.to_string(),
        tls_cert_fingerprint: collected.tls.map(|spki| spki.to_string()),
        binding: (form == Form::Bound).then(|| Binding::of(collected)),
        model_name: collected.model.as_deref(),
        ledger_head: ledger_head.as_ref(),
        log_head: collected.log_head.as_deref().map(raw).transpose()?,
        workload_keyset: head.map(|_| raw(collected.identity.keyset())).transpose()?,
        key_lineage: head.and(lineage.as_deref()),
        simulated: parts.attester.platform().is_simulated().then_some(true),
    };
    let plain = Envelope { report: &report, all_attestations: [&report], model_attestations: None };
    let with_model = Envelope { model_attestations: Some([&report]), ..plain };
    Ok(Document {
        plain: Bytes::from(to_json(&plain)?),
        with_model: Bytes::from(to_json(&with_model)?),
        signature: None,
        model: collected.model.clone().map_or(StatedModel::Unknown, StatedModel::Name),
        keyset: head.map(|_| stamp),
        tls: collected.tls,
    })
}

/// What NVIDIA's attestation service takes, to be posted to it unchanged.
pub(super) fn nvidia_payload(nonce: &Nonce32, gpus: &[GpuEvidence]) -> Result<String, AttestError> {
    let evidence_list = gpus.iter().map(|gpu| NvidiaEvidence {
        certificate: STANDARD.encode(&gpu.chain_pem),
        evidence: STANDARD.encode(&gpu.report),
        arch: gpu.arch,
    });
    // The architecture as the device names it. Without a device nobody does: `NONE`, which is no
    // architecture of NVIDIA's, and never a guess. A string, since readers expect one.
    let arch = gpus.first().map_or_else(|| "NONE".to_owned(), |gpu| gpu.arch.to_string());
    to_json(&NvidiaPayload { nonce: *nonce, evidence_list: evidence_list.collect(), arch })
}

/// 0G's quote.
fn legacy(parts: &Parts, collected: &Collected) -> Result<String, AttestError> {
    let tcb_info = parts.info.get("tcb_info").map(Value::to_string).unwrap_or_default();
    let payload = RawValue::from_string(collected.nvidia_payload.clone());
    let payload = payload.map_err(|e| AttestError::NoQuote(e.to_string()))?;
    to_json(&LegacyQuote {
        quote: hex::encode(&collected.quote.bytes),
        event_log: &collected.quote.event_log,
        report_data: STANDARD.encode(collected.report_data.as_bytes()),
        vm_config: &collected.quote.vm_config,
        tcb_info,
        nvidia_payload: parts.gpus.is_some().then_some(&*payload),
        simulated: parts.attester.platform().is_simulated().then_some(true),
    })
}

/// The report, and itself again in the lists where gateways would put many.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[schemars(rename = "AttestationReportWithLists")]
pub(super) struct Envelope<'a> {
    #[serde(flatten)]
    report: &'a Report<'a>,
    all_attestations: [&'a Report<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    model_attestations: Option<[&'a Report<'a>; 1]>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AttestationReport")]
struct Report<'a> {
    #[schemars(with = "shapes::Address")]
    signing_address: Address,
    /// `ecdsa`
    signing_algo: &'static str,
    /// 128 hex digits: x and y, without the 04 in front.
    signing_public_key: &'a str,
    /// The nonce that the evidence was made for.
    #[schemars(with = "shapes::Nonce")]
    request_nonce: Nonce32,
    /// Hex without 0x.
    intel_quote: &'a str,
    /// The same again, under the name that dstack's proxy uses.
    quote: &'a str,
    /// JSON in a string: one verifier takes nothing else.
    event_log: &'a str,
    #[schemars(with = "shapes::Object")]
    info: &'a Value,
    /// JSON in a string.
    vm_config: &'a str,
    /// JSON in a string, which clients post to NVIDIA unchanged.
    nvidia_payload: &'a str,
    /// Tells a machine without attested GPUs from one whose evidence went missing.
    gpu_status: &'static str,
    /// Base64.
    report_data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<Binding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_head: Option<&'a SignedHead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::LogHead>")]
    log_head: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::AciDocument>")]
    workload_keyset: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::AciDocument>")]
    key_lineage: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

/// The parts of the `binding=v2` that stand nowhere else in the report.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReportBinding")]
struct Binding {
    version: &'static str,
    algorithm: &'static str,
    #[schemars(with = "shapes::Nonce")]
    gpu_nonce: Nonce32,
    nvidia_payload_sha256: String,
    model_sha256: Option<String>,
    log_head_sha256: Option<String>,
}

impl Binding {
    fn of(collected: &Collected) -> Self {
        let sha256 = |text: &str| Digest32::sha256(text.as_bytes()).to_string();
        Self {
            version: "v2",
            algorithm: "ecdsa",
            gpu_nonce: collected.gpu_nonce,
            nvidia_payload_sha256: sha256(&collected.nvidia_payload),
            model_sha256: collected.model.as_deref().map(sha256),
            log_head_sha256: collected.log_head.as_deref().map(sha256),
        }
    }
}

/// Where the ledger ended, under the attested key's signature.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LedgerHead")]
pub(super) struct SignedHead {
    entries: u64,
    /// Entries behind them that have no place in the chain yet.
    unlinked: u64,
    /// 64 hex digits.
    head: String,
    /// Only where somebody chose it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Nonce>")]
    nonce: Option<Nonce32>,
    /// Milliseconds since 1970.
    at: u64,
    /// `0x` and hex: EIP-191 over [`LedgerHead::text`].
    signature: String,
    #[schemars(with = "shapes::Address")]
    signing_address: Address,
}

impl SignedHead {
    pub(super) fn of(parts: &Parts, head: LedgerHead) -> Result<Self, AttestError> {
        let signed = parts.signer.sign_text(&head.text());
        let signature = signed.map_err(|e| AttestError::SelfCheck(e.to_string()))?;
        Ok(Self {
            entries: head.entries,
            unlinked: head.unlinked,
            head: head.head.to_string(),
            nonce: head.nonce,
            at: head.at,
            signature: signature.to_string(),
            signing_address: parts.signer.address(),
        })
    }
}

#[derive(Serialize)]
struct NvidiaPayload {
    nonce: Nonce32,
    evidence_list: Vec<NvidiaEvidence>,
    arch: String,
}

#[derive(Serialize)]
struct NvidiaEvidence {
    /// Base64 of the PEM text.
    certificate: String,
    /// Base64 of the SPDM request and response.
    evidence: String,
    arch: Architecture,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct LegacyQuote<'a> {
    quote: String,
    event_log: &'a str,
    /// Base64.
    report_data: String,
    vm_config: &'a str,
    /// JSON in a string.
    tcb_info: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Object>")]
    nvidia_payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

/// A document of ours inside another.
pub(super) fn raw(text: &str) -> Result<Box<RawValue>, AttestError> {
    RawValue::from_string(text.to_owned()).map_err(|e| AttestError::NoQuote(e.to_string()))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, AttestError> {
    serde_json::to_string(value).map_err(|e| AttestError::NoQuote(e.to_string()))
}
