//! Reports over the production ways to a quote: dstack's guest agent and the kernel's interface.
//!
//! Both pin Intel's root. Where software quotes have to pass, a wrapper names another root and says
//! what is true then: that the platform is simulated.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use broker_core::{LocalSigner, Signer};
use dcap_qvl::QuoteCollateralV3;
use serde_json::{Value, json};
use tee_sidecar::attest::dstack::Agent;
use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{
    AttestError, AttestFuture, Attester, DstackAttester, Platform, ReportError, ReportQuery,
    ReportService, TsmAttester,
};
use tee_sidecar::evidence::audit::{Asked, Audit, CheckResult, Materials, Verdict, audit_report};
use tee_sidecar::evidence::policy::{GpuRules, Policy, Simulated};
use tee_sidecar::evidence::saved::parse_reports;
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::tdx::TrustRoot;
use tee_sidecar::evidence::{Nonce32, Quote, ReportData};
use tee_sidecar::keys::{self, KeySource};

use crate::fake_configfs::{FakeConfigfs, Script};
use crate::fake_dstack::{Answer, FakeAgent, KEY, good, good_json, ok, parse};
use crate::support::{
    FixedClock, NONCE, NOW_SECS, ask, identities, nonce, quoted_report_data, service_of, with_nonce,
};

/// A production attester under the software platform's root.
struct UnderSoftwareRoot<A>(A);

impl<A: Attester> Attester for UnderSoftwareRoot<A> {
    fn platform(&self) -> Platform {
        Platform::Simulated
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        self.0.quote(report_data)
    }

    fn info(&self) -> Value {
        self.0.info()
    }

    fn trust_root(&self) -> TrustRoot {
        SoftwarePlatform::new().unwrap().trust_root()
    }

    fn collateral(&self) -> Option<QuoteCollateralV3> {
        Some(SoftwarePlatform::new().unwrap().own_collateral().clone())
    }
}

/// An agent and its way here, for as long as a test runs.
struct Guest {
    _folder: tempfile::TempDir,
    agent: FakeAgent,
}

impl Guest {
    fn new(answer: Answer) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let agent = FakeAgent::start(&folder.path().join("dstack.sock"), answer);
        Self { _folder: folder, agent }
    }

    /// An agent whose answer to one call is changed.
    fn changed(call: &'static str, change: fn(&mut Value)) -> Self {
        Self::new(Box::new(move |called, asked| {
            let mut answer = good_json(called, asked);
            if called == call {
                change(&mut answer);
            }
            ok(&answer)
        }))
    }

    async fn attester(&self) -> DstackAttester {
        DstackAttester::connect(self.agent.socket()).await.unwrap()
    }

    async fn service(&self) -> ReportService {
        service_of(Arc::new(UnderSoftwareRoot(self.attester().await)))
    }
}

fn signed_by(attester: Arc<dyn Attester>, signer: Arc<dyn Signer>) -> ReportService {
    ReportService::new(ReportParts {
        attester,
        gpus: None,
        signer,
        identities: identities(),
        model: Box::new(|| None),
        tls_spki: None,
        clock: Arc::new(FixedClock),
    })
}

/// What an auditor says who chose this nonce, allows simulated evidence and asks for no GPU.
fn audit(report: &Value) -> Audit {
    let materials = Materials {
        now_secs: NOW_SECS,
        nonce: Some(nonce()),
        collateral: None,
        rims: &[],
        ocsp: &[],
        nras: None,
        tls_peer: None,
        asked: Asked::default(),
    };
    let policy = Policy {
        simulated: Simulated::Accept,
        gpu: GpuRules { required: false, ..GpuRules::default() },
        ..Policy::default()
    };
    let saved = parse_reports(report.to_string().as_bytes()).unwrap();
    audit_report(&saved[0], &materials, &policy)
}

fn result(audit: &Audit, check: &str) -> Option<CheckResult> {
    audit.findings.iter().find(|finding| finding.check == check).map(|finding| finding.result)
}

/// What the start and a report are refused for, which is the same.
async fn refusal(service: &ReportService) -> String {
    let at_start = service.self_check().await.unwrap_err();
    for query in [with_nonce(NONCE), ReportQuery::default()] {
        let refused = ask(service, &query).await.unwrap_err();
        assert_eq!(refused, ReportError::NoEvidence(at_start.clone()));
    }
    let AttestError::SelfCheck(cause) = at_start else { panic!("{at_start}") };
    cause
}

#[tokio::test]
async fn intels_root_refuses_an_agents_software_quotes_at_the_start_and_in_every_report() {
    let guest = Guest::new(Box::new(good));
    let cause = refusal(&service_of(Arc::new(guest.attester().await))).await;
    assert!(cause.contains("certificates"), "{cause}");
}

#[tokio::test]
async fn an_agents_evidence_arrives_whole_under_the_key_that_it_gave() {
    let guest = Guest::new(Box::new(good));
    let attester = guest.attester().await;
    let source = KeySource::Dstack(attester.agent());
    let signer = keys::signer(&source, Path::new("never-read")).await.unwrap();
    let service = signed_by(Arc::new(UnderSoftwareRoot(attester)), signer);
    service.self_check().await.unwrap();
    let report = ask(&service, &with_nonce(NONCE)).await.unwrap();

    let vouched = LocalSigner::from_secret(&KEY).unwrap().address();
    assert_eq!(report["signing_address"], vouched.to_string());
    let bound = ReportData::ecdsa_and_nonce(vouched, &nonce());
    assert_eq!(quoted_report_data(&report), bound.as_bytes());

    let platform = SoftwarePlatform::new().unwrap();
    let quote = platform.quote_now(&bound).unwrap();
    assert_eq!(report["event_log"], quote.event_log);
    assert_eq!(report["vm_config"], quote.vm_config);
    assert_eq!(report["info"]["vm_config"], quote.vm_config);
    assert!(report["info"]["tcb_info"].is_object());
    assert_eq!(report["info"]["tcb_info"], platform.info()["tcb_info"]);
    assert_eq!(report["info"]["compose_hash"], platform.info()["compose_hash"]);

    let audit = audit(&report);
    assert_eq!(audit.verdict(), Verdict::Proved, "{audit:#?}");
    for check in ["quote.tcb", "report_data", "event_log", "compose", "td.mr_config_id"] {
        assert_eq!(result(&audit, check), Some(CheckResult::Proved), "{check}: {audit:#?}");
    }
}

/// A replay, from an agent that says the right thing beside it.
#[tokio::test]
async fn a_quote_over_other_report_data_than_the_agent_says_is_caught() {
    let guest = Guest::changed("GetQuote", |answer| {
        let other = ReportData::ecdsa_and_nonce(
            LocalSigner::from_secret(&[7; 32]).unwrap().address(),
            &Nonce32::from_bytes([9; 32]),
        );
        let quote = SoftwarePlatform::new().unwrap().quote_now(&other).unwrap();
        answer["quote"] = Value::from(hex::encode(quote.bytes));
    });
    let cause = refusal(&guest.service().await).await;
    assert!(cause.contains("another report data"), "{cause}");
}

#[tokio::test]
async fn a_log_or_a_composition_that_was_not_measured_stops_the_start() {
    let no_log: fn(&mut Value) = |answer| answer["event_log"] = Value::from("[]");
    let other_composition: fn(&mut Value) = |answer| {
        let tcb_info = json!({"app_compose": "services: {mine: {}}"}).to_string();
        answer["tcb_info"] = Value::from(tcb_info);
    };
    for (call, change) in [("GetQuote", no_log), ("Info", other_composition)] {
        let guest = Guest::changed(call, change);
        let refused = guest.service().await.self_check().await.unwrap_err();
        assert!(matches!(refused, AttestError::SelfCheck(_)), "{call}: {refused}");
    }
}

#[tokio::test]
async fn an_agent_that_hangs_costs_an_error_in_time_and_is_asked_again() {
    let hangs = Arc::new(AtomicBool::new(false));
    let seen = hangs.clone();
    let guest = Guest::new(Box::new(move |call, asked| {
        if seen.load(Ordering::SeqCst) {
            std::thread::sleep(PATIENCE * 10);
        }
        good(call, asked)
    }));
    let agent = Agent::new(guest.agent.socket()).unwrap().with_patience(PATIENCE);
    let attester = DstackAttester::over(Arc::new(agent)).await.unwrap();
    let service = service_of(Arc::new(UnderSoftwareRoot(attester)));
    ask(&service, &with_nonce(NONCE)).await.unwrap();

    hangs.store(true, Ordering::SeqCst);
    let began = Instant::now();
    let refused = ask(&service, &with_nonce(NONCE)).await.unwrap_err();
    assert!(began.elapsed() < PATIENCE * 5, "{:?}", began.elapsed());
    assert!(refused.to_string().contains("GetQuote: no answer within"), "{refused}");
    hangs.store(false, Ordering::SeqCst);
    ask(&service, &with_nonce(NONCE)).await.unwrap();
}

/// A kernel whose quotes are the software platform's.
struct Bare {
    _folder: tempfile::TempDir,
    kernel: FakeConfigfs,
}

impl Bare {
    fn new(scripts: &[Script], quote: fn(&[u8]) -> Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kernel = FakeConfigfs::start_with(&folder.path().join("report"), scripts, quote);
        Self { _folder: folder, kernel }
    }

    fn attester(&self) -> TsmAttester {
        TsmAttester::with_patience(self.kernel.base(), Duration::from_secs(30)).unwrap()
    }
}

fn software_quote(report_data: &[u8]) -> Vec<u8> {
    SoftwarePlatform::new().unwrap().quote_now(&parse(report_data)).unwrap().bytes
}

#[tokio::test]
async fn intels_root_refuses_a_kernels_software_quotes_at_the_start_and_in_every_report() {
    let bare = Bare::new(&[], software_quote);
    let cause = refusal(&service_of(Arc::new(bare.attester()))).await;
    assert!(cause.contains("certificates"), "{cause}");
    bare.kernel.assert_empty();
}

#[tokio::test]
async fn a_bare_guest_is_proved_without_a_log_and_the_auditor_says_what_was_not_checked() {
    let bare = Bare::new(&[], software_quote);
    let mut signers = Vec::new();
    for _start in 0..2 {
        let signer = keys::signer(&KeySource::Born, Path::new("never-read")).await.unwrap();
        let service = signed_by(Arc::new(UnderSoftwareRoot(bare.attester())), signer.clone());
        service.self_check().await.unwrap();
        let report = ask(&service, &with_nonce(NONCE)).await.unwrap();
        assert_eq!(report["event_log"], "[]");
        assert_eq!(report["vm_config"], "");
        assert_eq!(report["info"], json!({"tcb_info": {}, "vm_config": ""}));
        let bound = ReportData::ecdsa_and_nonce(signer.address(), &nonce());
        assert_eq!(quoted_report_data(&report), bound.as_bytes());

        let audit = audit(&report);
        assert_eq!(audit.verdict(), Verdict::Proved, "{audit:#?}");
        for check in ["event_log", "compose"] {
            assert_eq!(result(&audit, check), Some(CheckResult::NotChecked), "{check}: {audit:#?}");
        }
        signers.push(report["signing_address"].clone());
    }
    assert_ne!(signers[0], signers[1], "a key of one start outlived it");
    bare.kernel.assert_empty();
}

#[tokio::test]
async fn a_kernels_quote_over_other_report_data_is_caught() {
    let bare = Bare::new(&[], |report_data| {
        let mut other = report_data.to_vec();
        other[63] ^= 1;
        software_quote(&other)
    });
    let service = service_of(Arc::new(UnderSoftwareRoot(bare.attester())));
    let cause = refusal(&service).await;
    assert!(cause.contains("another report data"), "{cause}");
}

#[tokio::test]
async fn a_kernel_that_hangs_costs_an_error_in_time() {
    let bare = Bare::new(&[Script::Slow(PATIENCE * 5)], software_quote);
    let attester = TsmAttester::with_patience(bare.kernel.base(), PATIENCE).unwrap();
    let service = service_of(Arc::new(UnderSoftwareRoot(attester)));
    let began = Instant::now();
    let refused = ask(&service, &with_nonce(NONCE)).await.unwrap_err();
    assert!(began.elapsed() < PATIENCE * 4, "{:?}", began.elapsed());
    assert!(refused.to_string().contains("its last call still hangs"), "{refused}");
    bare.kernel.assert_empty();
}

const PATIENCE: Duration = Duration::from_secs(1);
