//! The other forms in which evidence is asked for: bound to the TLS key, bound both ways, 0G's.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Digest32, Signature, recover_text_signer};
use serde_json::Value;
use tee_sidecar::attest::{Platform, ReportError, ReportQuery, ReportService, choose_gpu};
use tee_sidecar::config::GpuProvider;
use tee_sidecar::evidence::nvidia::SpdmReport;
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::{Binding, Nonce32, ReportData};

use crate::support::{
    Fault, Faulty, NONCE, ask, nonce, quoted_report_data, service, service_with, signer, with_nonce,
};

const SPKI: Digest32 = Digest32([0x44; 32]);

fn with_gpu(tls_spki: Option<Digest32>) -> ReportService {
    let gpus = choose_gpu(GpuProvider::Simulated, Platform::Simulated).unwrap();
    service_with(Arc::new(SoftwarePlatform::new().unwrap()), gpus, tls_spki)
}

fn bound() -> ReportQuery {
    ReportQuery { binding: Some("v2".to_owned()), ..with_nonce(NONCE) }
}

fn gpu_nonce(report: &Value) -> (Nonce32, Nonce32) {
    let payload: Value = serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap();
    let stated = Nonce32::parse(payload["nonce"].as_str().unwrap()).unwrap();
    let evidence = payload["evidence_list"][0]["evidence"].as_str().unwrap();
    let spdm = SpdmReport::parse(&STANDARD.decode(evidence).unwrap()).unwrap();
    (stated, Nonce32::from_bytes(*spdm.nonce()))
}

#[tokio::test]
async fn a_report_with_gpus_holds_what_nvidias_service_takes() {
    let report = ask(&with_gpu(None), &with_nonce(NONCE)).await.unwrap();
    assert_eq!(report["gpu_status"], "attested");
    assert_eq!(gpu_nonce(&report), (nonce(), nonce()));
    let payload: Value = serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&payload), ["nonce", "evidence_list", "arch"]);
    assert_eq!(payload["arch"], "HOPPER");
    let item = &payload["evidence_list"][0];
    assert_eq!(keys(item), ["certificate", "evidence", "arch"]);
    assert_eq!(item["arch"], "HOPPER");
    let pem = STANDARD.decode(item["certificate"].as_str().unwrap()).unwrap();
    let pem = String::from_utf8(pem).unwrap();
    assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----").count(), 5);
    assert!(!pem.ends_with('\0'));
}

#[tokio::test]
async fn without_gpus_the_payload_is_an_empty_list_and_the_report_says_so() {
    let report = ask(&service(), &with_nonce(NONCE)).await.unwrap();
    assert_eq!(report["gpu_status"], "none");
    let payload: Value = serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload["evidence_list"], Value::Array(Vec::new()));
    assert_eq!(payload["arch"], "NONE");
}

#[tokio::test]
async fn the_tls_form_binds_the_key_that_it_names_and_only_that_form_names_it() {
    let service = with_gpu(Some(SPKI));
    let plain = ask(&service, &with_nonce(NONCE)).await.unwrap();
    assert_eq!(plain.get("tls_cert_fingerprint"), None);
    for query in [
        ReportQuery { include_tls_fingerprint: Some("true".to_owned()), ..with_nonce(NONCE) },
        ReportQuery { version: Some("2".to_owned()), ..with_nonce(NONCE) },
    ] {
        let report = ask(&service, &query).await.unwrap();
        let expected = ReportData::with_tls(signer().address(), &SPKI, &nonce());
        assert_eq!(quoted_report_data(&report), expected.as_bytes());
        assert_eq!(report["tls_cert_fingerprint"], SPKI.to_string());
    }
}

#[tokio::test]
async fn the_own_binding_covers_gpu_evidence_model_and_tls_key() {
    for tls_spki in [None, Some(SPKI)] {
        let report = ask(&with_gpu(tls_spki), &bound()).await.unwrap();
        let key = hex::decode(report["signing_public_key"].as_str().unwrap()).unwrap();
        let derived = Binding::gpu_nonce(&key, &nonce());
        assert_eq!(gpu_nonce(&report), (derived, derived));
        assert_ne!(derived, nonce());
        let expected = ReportData::bound(&Binding {
            algorithm: "ecdsa",
            public_key: &key,
            tls_spki,
            nonce: nonce(),
            nvidia_payload: report["nvidia_payload"].as_str().unwrap(),
            model: Some(Digest32::sha256(b"test/model:7b")),
            log_head: None,
        });
        assert_eq!(quoted_report_data(&report), expected.as_bytes());
        let binding = &report["binding"];
        assert_eq!(binding["version"], "v2");
        assert_eq!(binding["gpu_nonce"], derived.to_string());
        assert_eq!(binding["model_sha256"], Digest32::sha256(b"test/model:7b").to_string());
        assert_eq!(report.get("tls_cert_fingerprint").is_some(), tls_spki.is_some());
    }
    let other = ReportQuery { binding: Some("v3".to_owned()), ..bound() };
    let refused = ask(&with_gpu(None), &other).await.unwrap_err();
    assert!(matches!(refused, ReportError::BadParameter { parameter: "binding", .. }));
}

#[tokio::test]
async fn each_form_without_a_nonce_is_kept_for_itself() {
    let attester = Faulty::new(Fault::Nothing);
    let service = service_with(attester.clone(), None, Some(SPKI));
    let forms = [
        ReportQuery::default(),
        ReportQuery { version: Some("2".to_owned()), ..ReportQuery::default() },
        ReportQuery { binding: Some("v2".to_owned()), ..ReportQuery::default() },
    ];
    for _ in 0..3 {
        let mut seen = Vec::new();
        for form in &forms {
            seen.push(quoted_report_data(&ask(&service, form).await.unwrap()));
        }
        service.legacy_quote().await.unwrap();
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2]);
    }
    assert_eq!(attester.asked(), 4);
}

#[tokio::test]
async fn zero_gs_quote_has_its_fields_in_order_and_is_signed_to_the_byte() {
    let quote = with_gpu(None).legacy_quote().await.unwrap();
    let text = std::str::from_utf8(&quote.body).unwrap();
    let body: Value = serde_json::from_str(text).unwrap();
    let keys: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "quote",
        "event_log",
        "report_data",
        "vm_config",
        "tcb_info",
        "nvidia_payload",
        "simulated",
    ];
    assert_eq!(keys, expected);

    let address = signer().address().to_string();
    let report_data = STANDARD.decode(body["report_data"].as_str().unwrap()).unwrap();
    assert_eq!(report_data.len(), 64);
    let decoded = String::from_utf8(report_data.clone()).unwrap();
    assert_eq!(decoded.trim_end_matches('\0'), address);
    let bytes = hex::decode(body["quote"].as_str().unwrap()).unwrap();
    assert_eq!(&bytes[568..632], report_data);
    let tcb_info: Value = serde_json::from_str(body["tcb_info"].as_str().unwrap()).unwrap();
    assert!(tcb_info["app_compose"].is_string());
    let gpu_nonce = Digest32::keccak256(address.as_bytes()).to_string();
    assert_eq!(body["nvidia_payload"]["nonce"], gpu_nonce);

    let mut signature = [0; 65];
    hex::decode_to_slice(quote.signature.strip_prefix("0x").unwrap(), &mut signature).unwrap();
    let recovered = recover_text_signer(text, &Signature(signature)).unwrap();
    assert_eq!(recovered, signer().address());

    let bare = service().legacy_quote().await.unwrap();
    let bare: Value = serde_json::from_slice(&bare.body).unwrap();
    assert_eq!(bare.get("nvidia_payload"), None);
}
