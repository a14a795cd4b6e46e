//! The report of Attested Confidential Inference: the keyset, what binds it, and the evidence as
//! the other reports have it.

use broker_core::Digest32;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body::{SignedHead, raw, to_json};
use super::evidence::Collected;
use super::{Document, Parts, ReportError, StatedModel};
use crate::evidence::Nonce32;
use crate::shapes;

pub(super) fn render(parts: &Parts, collected: &Collected) -> Result<Document, ReportError> {
    let identity = &collected.identity;
    let (stamp, lineage) = parts.keysets.of(identity);
    let ledger_head = collected.ledger.map(|head| SignedHead::of(parts, head)).transpose()?;
    let app_compose = parts.info.pointer("/tcb_info/app_compose").and_then(Value::as_str);
    let report = AciReport {
        api_version: "aci/1",
        workload_keyset_digest: identity.label(),
        attestation: Attestation {
            tee_type: "tdx",
            workload_keyset: raw(identity.keyset())?,
            report_data: Digest32(collected.report_data.first_half()).to_string(),
            source_provenance: SourceProvenance {
                repo_url: option_env!("TEE_SIDECAR_REPO_URL"),
                repo_commit: option_env!("TEE_SIDECAR_REPO_COMMIT"),
                image_digest: None,
                image_provenance: None,
            },
            evidence: Evidence {
                quote: hex::encode(&collected.quote.bytes),
                quote_report_data: collected.report_data.to_string(),
                event_log: &collected.quote.event_log,
                app_compose,
                info: &parts.info,
                vm_config: &collected.quote.vm_config,
                nvidia_payload: &collected.nvidia_payload,
                gpu_status: if parts.gpus.is_some() { "attested" } else { "none" },
                request_nonce: collected.chosen,
                ledger_head,
                key_lineage: lineage.as_deref(),
            },
        },
        service_capabilities: ServiceCapabilities {
            supported_e2ee_versions: [],
            serving: "direct",
        },
        simulated: parts.attester.platform().is_simulated().then_some(true),
    };
    let plain = Bytes::from(to_json(&report)?);
    Ok(Document {
        with_model: plain.clone(),
        plain,
        signature: None,
        model: StatedModel::Never,
        keyset: Some(stamp),
        tls: None,
    })
}

#[derive(Serialize, JsonSchema)]
pub(super) struct AciReport<'a> {
    api_version: &'static str,
    workload_keyset_digest: &'a str,
    attestation: Attestation<'a>,
    service_capabilities: ServiceCapabilities,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AciAttestation")]
struct Attestation<'a> {
    tee_type: &'static str,
    #[schemars(with = "shapes::AciDocument")]
    workload_keyset: Box<RawValue>,
    /// The statement's SHA-256: the first half of what the quote carries.
    report_data: String,
    source_provenance: SourceProvenance,
    evidence: Evidence<'a>,
}

/// What whoever built this binary says of its source. Nothing backs it but the measured
/// composition.
#[derive(Serialize, JsonSchema)]
struct SourceProvenance {
    repo_url: Option<&'static str>,
    repo_commit: Option<&'static str>,
    image_digest: Option<&'static str>,
    image_provenance: Option<&'static str>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AciEvidence")]
struct Evidence<'a> {
    /// Hex without 0x.
    quote: String,
    /// All 64 bytes.
    quote_report_data: String,
    /// JSON in a string.
    event_log: &'a str,
    /// The text that was measured; once more where verifiers of dstack's reports look.
    #[serde(skip_serializing_if = "Option::is_none")]
    app_compose: Option<&'a str>,
    #[schemars(with = "shapes::Object")]
    info: &'a Value,
    /// JSON in a string.
    vm_config: &'a str,
    /// JSON in a string, which clients post to NVIDIA unchanged.
    nvidia_payload: &'a str,
    gpu_status: &'static str,
    /// `null` in the report for everybody.
    #[schemars(with = "Option<shapes::Nonce>")]
    request_nonce: Option<Nonce32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger_head: Option<SignedHead>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::AciDocument>")]
    key_lineage: Option<&'a RawValue>,
}

#[derive(Serialize, JsonSchema)]
struct ServiceCapabilities {
    supported_e2ee_versions: [&'static str; 0],
    serving: &'static str,
}
