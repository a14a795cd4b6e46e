//! How each seed is made.

use std::path::PathBuf;

use broker_core::{Digest32, LocalSigner, Signer as _};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tee_evidence::Nonce32;
use tee_evidence::nvidia::{Architecture, GpuEvidence};
use tee_evidence::simulator::{SoftwareGpu, SoftwarePlatform};
use x509_cert::der::Encode as _;

use super::Seeds;
use crate::gpu::sample;
use crate::nras::service::{good_answer, gpu_claims, header, jwks};
use crate::ocsp::made_up::{Responder, extension};
use crate::rim::signed::{self, Signer};
use crate::support::report_data;

pub(super) fn seeds() -> Seeds {
    let quote = SoftwarePlatform::new().unwrap().quote_now(&report_data()).unwrap();
    let exchange =
        |model: &str| [b"request\0response\0", signed_exchange(model).as_bytes()].concat();
    let of_gpu = |version: &str| format!("{}\n{}", header(), gpu_claims(version, 0)).into_bytes();
    let (responder, content) = (Responder::new(), signed::good());
    // The only one that is refused: no change by chance makes an extension critical.
    let critical = Responder::editing(|data| {
        data.response_extensions = Some(vec![extension(false)]);
        data.responses[0].single_extensions = Some(vec![extension(true)]);
    });
    let seeds = [
        ("answer/two_parts", exchange("")),
        ("answer/with_a_model", exchange("qwen2.5:7b:")),
        ("claims/version_2", of_gpu("2.0")),
        ("claims/version_3", of_gpu("3.0")),
        ("event_log/simulated", quote.event_log.into_bytes()),
        ("nras/one_gpu_version_2", good_answer("2.0", 1).to_string().into_bytes()),
        ("nras/two_gpus_version_3", good_answer("3.0", 2).to_string().into_bytes()),
        ("nras/key_set", jwks().to_string().into_bytes()),
        ("ocsp/good", responder.good()),
        ("ocsp/refused_signed_part", critical.data().to_der().unwrap()),
        ("ocsp/signed_part", responder.data().to_der().unwrap()),
        ("quote/signed_version_5", as_version_5(&quote.bytes)),
        ("quote/simulated_version_4", quote.bytes),
        ("report/plain", shortened(REPORT).to_string().into_bytes()),
        ("report/version_2", shortened(REPORT_V2).to_string().into_bytes()),
        ("report/listed", listed().to_string().into_bytes()),
        ("rim/signed", Signer::new().sign(&content).into_bytes()),
        ("rim/content", content.into_bytes()),
        ("spdm/hopper", of_software(Architecture::Hopper)),
        ("spdm/blackwell", of_software(Architecture::Blackwell)),
        ("spdm/published_hopper", joined(&sample())),
    ];
    seeds.map(|(name, content)| (PathBuf::from(name), content)).into()
}

fn signed_exchange(model: &str) -> String {
    let (request, response) = (Digest32::sha256(b"request"), Digest32::sha256(b"response"));
    let text = format!("{model}{request}:{response}");
    let signer = LocalSigner::from_secret(&[7; 32]).unwrap();
    let signature = signer.sign_text(&text).unwrap().to_string();
    let address = signer.address();
    json!({
        "text": text, "signature": signature, "signing_address": address, "signing_algo": "ecdsa",
        "simulated": true,
    })
    .to_string()
}

/// Version 5 says of which type and length the body is. Anyone can sign it: the software platform's
/// keys are hashes of labels.
fn as_version_5(quote: &[u8]) -> Vec<u8> {
    let (header, rest) = quote.split_at(48);
    let (body, rest) = rest.split_at(584);
    // Behind the body: the length of what follows, which begins with the signature.
    let (length, rest) = rest.split_at(4);
    let mut header = header.to_vec();
    header[0] = 5;
    let (body_type, body_bytes) = (2_u16.to_le_bytes(), 584_u32.to_le_bytes());
    let signed = [&header, &body_type[..], &body_bytes, body].concat();
    let key = SigningKey::from_slice(&Sha256::digest("tee-sidecar simulator: attestation"));
    let signature: Signature = key.unwrap().sign(&signed);
    [&signed, length, &signature.to_bytes(), &rest[64..]].concat()
}

/// A committed report without what it says twice: the fuzzer takes documents of 32 KiB at most.
fn shortened(report: &str) -> Value {
    let mut report: Value = serde_json::from_str(report).unwrap();
    for field in ["all_attestations", "quote"] {
        report.as_object_mut().unwrap().shift_remove(field).unwrap();
    }
    report
}

/// As a gateway has it, and the list of events as a list.
fn listed() -> Value {
    let mut report = shortened(REPORT);
    report["event_log"] = serde_json::from_str(report["event_log"].as_str().unwrap()).unwrap();
    json!({ "model_attestations": [report] })
}

fn of_software(architecture: Architecture) -> Vec<u8> {
    let gpu = SoftwareGpu::new(architecture).unwrap();
    joined(&gpu.evidence(&Nonce32::from_bytes([0x5c; 32])).unwrap())
}

/// One byte for the architecture, the report, the certificates.
fn joined(evidence: &GpuEvidence) -> Vec<u8> {
    let architecture = u8::from(evidence.arch == Architecture::Blackwell);
    [&[architecture], &evidence.report[..], &evidence.chain_pem].concat()
}

/// The same taken apart.
pub(crate) fn gpu_evidence(joined: &[u8]) -> Option<GpuEvidence> {
    let (architecture, rest) = joined.split_first()?;
    let at = rest.windows(PEM_BEGIN.len()).position(|window| window == PEM_BEGIN)?;
    let arch = if architecture & 1 == 0 { Architecture::Hopper } else { Architecture::Blackwell };
    Some(GpuEvidence { arch, report: rest[..at].to_vec(), chain_pem: rest[at..].to_vec() })
}

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const REPORT: &str = include_str!("../../../../../fixtures/simulated/report.json");
const REPORT_V2: &str = include_str!("../../../../../fixtures/simulated/report_v2.json");
