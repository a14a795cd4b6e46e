//! Writes what the software TEE's evidence is compared with: the roots and collateral that are
//! built into the verifier, and the reports and the signed answer in `fixtures/simulated`. The same
//! bytes each time; `tests/verify/fixtures.rs` holds the committed files to that.
//!
//! `cargo run -p tee-sidecar --features simulator --example software_fixtures -- FOLDER` writes
//! below FOLDER, which is the top of the repository when the committed files are to be renewed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a tool for developers")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::keyset::ReceiptKey;
use broker_core::{Clock, Digest32, LocalSigner, Signer, Timestamp, signed_text};
use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{Platform, ReportQuery, ReportService, choose_gpu};
use tee_sidecar::config::GpuProvider;
use tee_sidecar::evidence::nvidia::Architecture;
use tee_sidecar::evidence::simulator::{SoftwareGpu, SoftwarePlatform};
use tee_sidecar::identity::Identities;

/// The nonce of the reports.
const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const REQUEST: &str =
    r#"{"model":"software","messages":[{"role":"user","content":"Who are you?"}]}"#;
const RESPONSE: &str = r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"Nobody."}}]}"#;

/// 2026-09-21; the software TEE's certificates and collateral hold from 2020 to 2099.
struct Then;

impl Clock for Then {
    fn now(&self) -> Timestamp {
        Timestamp(1_790_000_000_000)
    }
}

fn main() {
    let folder = std::env::args_os().nth(1).expect("usage: software_fixtures FOLDER");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let files = runtime.block_on(files());
    for (name, bytes) in files {
        let path = Path::new(&folder).join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        println!("{}", path.display());
    }
}

async fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let platform = SoftwarePlatform::new().unwrap();
    let gpu = SoftwareGpu::new(Architecture::Hopper).unwrap();
    let collateral = serde_json::to_string(platform.own_collateral()).unwrap();
    let roots = Path::new("tee-sidecar/evidence/src/roots");
    let fixtures = Path::new("fixtures/simulated");
    let signer: Arc<dyn Signer> = Arc::new(LocalSigner::from_secret(&[7; 32]).unwrap());
    let text =
        signed_text(&Digest32::sha256(REQUEST.as_bytes()), &Digest32::sha256(RESPONSE.as_bytes()));
    let signature = serde_json::json!({
        "text": text,
        "signature": signer.sign_text(&text).unwrap().to_string(),
        "signing_address": signer.address().to_string(),
        "signing_algo": "ecdsa",
        "simulated": true,
    });
    let key = ReceiptKey::from_secret(&[2; 32]);
    let reports = ReportService::new(ReportParts {
        attester: Arc::new(platform),
        gpus: choose_gpu(GpuProvider::Simulated, Platform::Simulated).unwrap(),
        signer,
        identities: Arc::new(Identities::new(key, None, Then.now())),
        model: Box::new(|| Some("software".to_owned())),
        tls_spki: None,
        clock: Arc::new(Then),
    });
    let query = ReportQuery { nonce: Some(NONCE.to_owned()), ..ReportQuery::default() };
    let plain = reports.report(&query).await.unwrap();
    let bound = ReportQuery { binding: Some("v2".to_owned()), ..query };
    let bound = reports.report(&bound).await.unwrap();
    vec![
        (
            roots.join("software_tdx_root.der"),
            SoftwarePlatform::new().unwrap().root_ca_der().into(),
        ),
        (roots.join("software_gpu_root.der"), gpu.root_der().into()),
        (roots.join("software_collateral.json"), collateral.into()),
        (fixtures.join("report.json"), plain.to_vec()),
        (fixtures.join("report_v2.json"), bound.to_vec()),
        (fixtures.join("request.json"), REQUEST.into()),
        (fixtures.join("response.json"), RESPONSE.into()),
        (fixtures.join("signature.json"), signature.to_string().into()),
    ]
}
