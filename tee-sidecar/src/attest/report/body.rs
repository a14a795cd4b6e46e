//! The report's JSON: fields, types and order as the existing verifiers read them.

use broker_core::Address;
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{AttestError, Nonce32, Quote, ReportData, ReportError, ReportService};

/// One report in its two forms, made together so that both can be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) plain: Bytes,
    /// With `model_attestations`, for clients that name a model.
    pub(super) with_model: Bytes,
}

pub(super) fn render(
    service: &ReportService,
    nonce: &Nonce32,
    report_data: &ReportData,
    quote: &Quote,
) -> Result<Rendered, ReportError> {
    let quote_hex = hex::encode(&quote.bytes);
    let public_key = service.signer.public_key().serialize_uncompressed();
    let report = Report {
        signing_address: service.signer.address(),
        signing_algo: "ecdsa",
        signing_public_key: hex::encode(public_key.split_at(1).1),
        request_nonce: *nonce,
        intel_quote: &quote_hex,
        quote: &quote_hex,
        event_log: &quote.event_log,
        info: &service.info,
        vm_config: &quote.vm_config,
        nvidia_payload: to_json(&NvidiaPayload::of(*nonce))?,
        gpu_status: "none",
        report_data: report_data.to_string(),
        model_name: (service.model)(),
        simulated: service.is_simulated().then_some(true),
    };
    let plain = Envelope { report: &report, all_attestations: [&report], model_attestations: None };
    let with_model = Envelope { model_attestations: Some([&report]), ..plain };
    Ok(Rendered {
        plain: Bytes::from(to_json(&plain)?),
        with_model: Bytes::from(to_json(&with_model)?),
    })
}

/// The report, and itself again in the lists where gateways would put many.
#[derive(Clone, Copy, Serialize)]
struct Envelope<'a> {
    #[serde(flatten)]
    report: &'a Report<'a>,
    all_attestations: [&'a Report<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    model_attestations: Option<[&'a Report<'a>; 1]>,
}

#[derive(Serialize)]
struct Report<'a> {
    signing_address: Address,
    signing_algo: &'static str,
    /// 128 hex digits: x and y, without the 04 in front.
    signing_public_key: String,
    request_nonce: Nonce32,
    /// Hex without 0x.
    intel_quote: &'a str,
    /// The same again, under the name that dstack's proxy uses.
    quote: &'a str,
    /// JSON in a string: one verifier takes nothing else.
    event_log: &'a str,
    info: &'a Value,
    /// JSON in a string.
    vm_config: &'a str,
    /// JSON in a string, which clients post to NVIDIA unchanged.
    nvidia_payload: String,
    /// Tells a machine without attested GPUs from one whose evidence went missing.
    gpu_status: &'static str,
    report_data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulated: Option<bool>,
}

/// What NVIDIA's service verifies.
#[derive(Serialize)]
struct NvidiaPayload {
    nonce: Nonce32,
    evidence_list: [(); 0],
    /// The architecture as the device names it. Without a device nobody does: `NONE`, which is no
    /// architecture of NVIDIA's, and never a guess such as `HOPPER`. A string, since readers expect
    /// one.
    arch: &'static str,
}

impl NvidiaPayload {
    const fn of(nonce: Nonce32) -> Self {
        Self { nonce, evidence_list: [], arch: "NONE" }
    }
}

fn to_json(value: &impl Serialize) -> Result<String, AttestError> {
    serde_json::to_string(value).map_err(|e| AttestError::NoQuote(e.to_string()))
}
