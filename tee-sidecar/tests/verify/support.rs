//! A simulated machine whose reports a test can spoil, and the auditor who judges them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::keyset::ReceiptKey;
use broker_core::{Address, Clock, Digest32, LocalSigner, Signer, Timestamp};
use dcap_qvl::QuoteCollateralV3;
use serde_json::Value;
use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{Platform, ReportQuery, ReportService, choose_gpu};
use tee_sidecar::auditor::{Failure, Options, audit_file, exit_of};
use tee_sidecar::cli::Exit;
use tee_sidecar::config::GpuProvider;
use tee_sidecar::evidence::audit::{Audit, CheckResult};
use tee_sidecar::evidence::nvidia::GpuEvidence;
use tee_sidecar::evidence::simulator::{Knobs, SoftwarePlatform};
use tee_sidecar::evidence::{Nonce32, ReportData};
use tee_sidecar::identity::Identities;

/// A moment at which the software TEE's certificates hold.
pub(crate) const NOW_SECS: u64 = 1_790_000_000;

pub(crate) const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn nonce() -> Nonce32 {
    Nonce32::parse(NONCE).unwrap()
}

pub(crate) fn signer() -> LocalSigner {
    LocalSigner::from_secret(&[7; 32]).unwrap()
}

pub(crate) fn address() -> Address {
    signer().address()
}

pub(crate) struct Then;

impl Clock for Then {
    fn now(&self) -> Timestamp {
        Timestamp(NOW_SECS * 1000)
    }
}

/// A report of a machine in good order, less its copy.
pub(crate) fn report(binding: Option<&str>) -> Value {
    let query = ReportQuery {
        nonce: Some(NONCE.to_owned()),
        binding: binding.map(str::to_owned),
        ..ReportQuery::default()
    };
    let mut report: Value = serde_json::from_slice(&served_report(&query, None)).unwrap();
    // The copy would have to be spoiled in the same way.
    report.as_object_mut().unwrap().remove("all_attestations");
    report
}

/// The bytes that a machine in good order, with this TLS key, answers the query with.
pub(crate) fn served_report(query: &ReportQuery, tls_spki: Option<Digest32>) -> Vec<u8> {
    let reports = service(Arc::new(signer()), identities(2), tls_spki);
    runtime().block_on(reports.report(query)).unwrap().to_vec()
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Who signs receipts, by the byte that the key is made of.
pub(crate) fn identities(secret: u8) -> Arc<Identities> {
    let key = ReceiptKey::from_secret(&[secret; 32]);
    Arc::new(Identities::new(key, None, Then.now()))
}

/// A machine in good order.
pub(crate) fn service(
    signer: Arc<dyn Signer>,
    identities: Arc<Identities>,
    tls_spki: Option<Digest32>,
) -> ReportService {
    ReportService::new(ReportParts {
        attester: Arc::new(SoftwarePlatform::new().unwrap()),
        gpus: choose_gpu(GpuProvider::Simulated, Platform::Simulated).unwrap(),
        signer,
        identities,
        model: Box::new(|| Some("software".to_owned())),
        tls_spki,
        clock: Arc::new(Then),
    })
}

/// A quote of another platform over the right report data.
pub(crate) fn quote_of(knobs: Knobs, data: &ReportData) -> (String, QuoteCollateralV3) {
    let platform = SoftwarePlatform::with_knobs(knobs).unwrap();
    let quote = platform.quote_now(data).unwrap();
    (hex::encode(quote.bytes), platform.own_collateral().clone())
}

pub(crate) fn set_quote(report: &mut Value, quote: &str) {
    for field in ["intel_quote", "quote"] {
        report[field] = Value::from(quote);
    }
}

/// The payload's object, for a test to change.
pub(crate) fn payload(report: &Value) -> Value {
    serde_json::from_str(report["nvidia_payload"].as_str().unwrap()).unwrap()
}

pub(crate) fn set_payload(report: &mut Value, payload: &Value) {
    report["nvidia_payload"] = Value::from(payload.to_string());
}

pub(crate) fn item(gpu: &GpuEvidence) -> Value {
    serde_json::json!({
        "certificate": STANDARD.encode(&gpu.chain_pem),
        "evidence": STANDARD.encode(&gpu.report),
        "arch": gpu.arch,
    })
}

/// GPU evidence in a report whose quote is another machine's: only what is said of the GPU counts.
/// The nonce is what the GPU signed.
pub(crate) fn gpu_report(arch: &str, evidence: &[u8], chain: &[u8]) -> Value {
    let quote = std::fs::read(root().join("fixtures/tdx/tdx_quote_td15ex.bin")).unwrap();
    let nonce = hex::encode(&evidence[4..36]);
    let gpus = serde_json::json!({"nonce": nonce, "arch": arch, "evidence_list": [{
        "certificate": STANDARD.encode(chain),
        "evidence": STANDARD.encode(evidence),
        "arch": arch,
    }]});
    serde_json::json!({
        "intel_quote": hex::encode(quote),
        "signing_address": format!("0x{}", "00".repeat(20)),
        "request_nonce": nonce,
        "nvidia_payload": gpus.to_string(),
    })
}

/// A folder of files, and an auditor who allows simulated evidence.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
    pub(crate) options: Options,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let mut desk = Self::strict();
        desk.options.policy = Some(desk.file("policy.yaml", b"simulated: accept\n"));
        desk.options.at = Some(NOW_SECS);
        desk.options.nonce = Some(nonce());
        desk
    }

    /// With the default policy, at the present moment.
    pub(crate) fn strict() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), options: Options::default() }
    }

    /// A place for a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn collateral(mut self, collateral: &QuoteCollateralV3) -> Self {
        let text = serde_json::to_vec(collateral).unwrap();
        self.options.collateral = Some(self.file("collateral.json", &text));
        self
    }

    pub(crate) fn policy(mut self, text: &str) -> Self {
        self.options.policy = Some(self.file("policy.yaml", text.as_bytes()));
        self
    }

    pub(crate) fn judge(&self, report: &Value) -> Judged {
        self.judge_bytes(report.to_string().as_bytes())
    }

    pub(crate) fn judge_bytes(&self, report: &[u8]) -> Judged {
        Judged(audit_file(&self.file("report.json", report), &self.options))
    }
}

/// What came out.
pub(crate) struct Judged(pub(crate) Result<Audit, Failure>);

impl Judged {
    pub(crate) fn exit(&self) -> Exit {
        exit_of(&self.0)
    }

    /// Every check that ended so.
    pub(crate) fn checks(&self, result: CheckResult) -> Vec<&str> {
        let findings = &self.0.as_ref().unwrap().findings;
        let ended = findings.iter().filter(|finding| finding.result == result);
        ended.map(|finding| finding.check.as_str()).collect()
    }

    /// Every check of the GPUs and their manifests that ended so.
    pub(crate) fn of_gpu(&self, result: CheckResult) -> Vec<&str> {
        let of_gpu = |check: &&str| check.starts_with("gpu") || check.starts_with("rim");
        self.checks(result).into_iter().filter(of_gpu).collect()
    }

    /// The details of every finding of this check that ended so, a line each.
    pub(crate) fn details(&self, check: &str, result: CheckResult) -> String {
        let findings = &self.0.as_ref().unwrap().findings;
        let ended = findings.iter().filter(|one| one.check == check && one.result == result);
        ended.map(|finding| format!("{}\n", finding.detail)).collect()
    }

    /// Fails unless exactly these checks refuted the report, and the end says so.
    pub(crate) fn refuted_by(&self, checks: &[&str]) {
        assert_eq!(self.checks(CheckResult::Refuted), checks, "{:#?}", self.0);
        assert_eq!(self.exit(), Exit::Refuted);
    }

    pub(crate) fn proved(&self) {
        assert_eq!(self.exit(), Exit::Done, "{:#?}", self.0);
    }
}

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder with captured evidence, which is not part of the project; or nothing after saying
/// that the test was skipped. In CI a skip is a failure.
#[allow(clippy::disallowed_methods, reason = "tests read where their evidence is")]
pub(crate) fn captured() -> Option<PathBuf> {
    use std::io::Write as _;
    let variable = "SIDECAR_EVIDENCE_DIR";
    let named = std::env::var(variable).unwrap_or_else(|_| "../shared/evidence".to_owned());
    let folder = root().join(named);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{variable}: no {}", folder.display());
    let line = format!("\nSKIPPED: {variable}: no folder {}\n", folder.display());
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}
