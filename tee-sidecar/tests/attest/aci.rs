//! Reports of Attested Confidential Inference as they are made, and the keysets that are kept.

use std::sync::{Arc, Mutex};

use broker_core::keyset::{Keyset, ReceiptKey};
use broker_core::log::LogHead;
use broker_core::statement::Author;
use broker_core::{
    Clock, Digest32, KeptKind, Ledger as _, LedgerHandle, LedgerReader, LocalSigner, MemoryLedger,
    Signer, Timestamp, spawn_writer,
};
use serde_json::{Value, json};
use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{KeepError, KeysetKeeper, ReportError, ReportQuery, ReportService};
use tee_sidecar::evidence::ReportData;
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::identity::Identities;

use crate::support::{
    Fault, Faulty, FixedClock, NONCE, NOW_SECS, identities, nonce, service, service_of, signer,
    with_nonce,
};

async fn ask(service: &ReportService, nonce: Option<&str>) -> Result<Value, ReportError> {
    let bytes = service.aci_report_for(nonce, None).await?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn quoted(report: &Value) -> Vec<u8> {
    let quote = report["attestation"]["evidence"]["quote"].as_str().unwrap();
    hex::decode(quote).unwrap()[568..632].to_vec()
}

#[tokio::test]
async fn the_report_has_the_shape_of_the_specification_and_binds_keyset_and_nonce() {
    let digest = identities().at(FixedClock.now()).digest();
    for (asked, nonce) in [(Some(NONCE), Some(nonce())), (None, None)] {
        let report = ask(&service(), asked).await.unwrap();
        let expected = [
            "api_version",
            "workload_keyset_digest",
            "attestation",
            "service_capabilities",
            "simulated",
        ];
        assert_eq!(keys(&report), expected);
        assert_eq!(report["api_version"], "aci/1");
        assert_eq!(report["simulated"], true);
        let capabilities = json!({"supported_e2ee_versions": [], "serving": "direct"});
        assert_eq!(report["service_capabilities"], capabilities);
        let attestation = &report["attestation"];
        let expected =
            ["tee_type", "workload_keyset", "report_data", "source_provenance", "evidence"];
        assert_eq!(keys(attestation), expected);
        let provenance = ["repo_url", "repo_commit", "image_digest", "image_provenance"];
        assert_eq!(keys(&attestation["source_provenance"]), provenance);
        let keyset = Keyset::parse(attestation["workload_keyset"].to_string().as_bytes()).unwrap();
        assert_eq!(keyset.digest(), digest);
        assert_eq!(report["workload_keyset_digest"], format!("sha256:{digest}"));
        let data = ReportData::aci(&digest, nonce.as_ref());
        assert_eq!(quoted(&report), data.as_bytes());
        assert_eq!(attestation["report_data"], hex::encode(data.first_half()));
        assert_eq!(attestation["evidence"]["request_nonce"], json!(asked));
    }
}

#[tokio::test]
async fn only_a_nonce_of_64_lower_case_digits_is_taken() {
    let attester = Faulty::new(Fault::Nothing);
    let service = service_of(attester.clone());
    let upper = NONCE.to_uppercase();
    for bad in [upper.as_str(), "", &NONCE[1..], &"z".repeat(64), &format!("{NONCE}00")] {
        let refused = ask(&service, Some(bad)).await.unwrap_err();
        assert!(matches!(refused, ReportError::BadNonce(_)), "{bad:?}: {refused}");
    }
    assert_eq!(attester.asked(), 0);
}

#[tokio::test]
async fn without_a_nonce_one_report_is_kept_for_everybody() {
    let attester = Faulty::new(Fault::Nothing);
    let service = service_of(attester.clone());
    let first = service.aci_report_for(None, None).await.unwrap();
    assert_eq!(service.aci_report_for(None, None).await.unwrap(), first);
    assert_eq!(attester.asked(), 1);
    let fresh = service.aci_report_for(Some(NONCE), None).await.unwrap();
    assert_ne!(fresh, first);
    assert_eq!(attester.asked(), 2);
}

#[tokio::test]
async fn a_quote_over_something_else_is_never_served() {
    let service = service_of(Faulty::new(Fault::OtherReportData));
    for nonce in [Some(NONCE), None] {
        assert!(matches!(ask(&service, nonce).await, Err(ReportError::NoEvidence(_))));
    }
}

fn head(at: u64) -> LogHead {
    let (log, root) = (Digest32([0x5e; 32]), Digest32([0xab; 32]));
    LogHead { log, size: 7, root, at: Timestamp(at) }
}

#[tokio::test]
async fn a_head_that_no_key_of_the_keyset_signed_is_never_served() {
    let bound = ReportQuery { binding: Some("v2".to_owned()), ..with_nonce(NONCE) };
    let good = service();
    good.show_log(|identity| Some(head(1).sign(identity.author())));
    let report: Value = serde_json::from_slice(&good.report(&bound).await.unwrap()).unwrap();
    let signed = report["log_head"].to_string();
    let identity = identities().at(FixedClock.now());
    assert_eq!(signed, head(1).sign(identity.author()));
    let hash = Digest32::sha256(signed.as_bytes()).to_string();
    assert_eq!(report["binding"]["log_head_sha256"], hash);
    assert_eq!(report["workload_keyset"].to_string(), identity.keyset());
    assert_eq!(report["all_attestations"][0]["log_head"], report["log_head"]);

    let silent = service();
    silent.show_log(|_| None);
    let report: Value = serde_json::from_slice(&silent.report(&bound).await.unwrap()).unwrap();
    assert!(report.get("log_head").is_none() && report.get("workload_keyset").is_none());

    let other = service();
    other.show_log(|identity| {
        let key = ReceiptKey::from_secret(&[3; 32]);
        Some(head(1).sign(Author { key: &key, keyset: identity.digest() }))
    });
    assert_eq!(other.report(&bound).await, Err(ReportError::CheckFailed));
    let broken = service();
    broken.show_log(|_| Some("no head".to_owned()));
    assert_eq!(broken.report(&bound).await, Err(ReportError::CheckFailed));
    // Other forms have no head, and need none.
    broken.report(&with_nonce(NONCE)).await.unwrap();
    ask(&broken, Some(NONCE)).await.unwrap();
}

/// A clock that a test moves.
#[derive(Clone)]
struct Moved(Arc<Mutex<u64>>);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.lock().unwrap() * 1000)
    }
}

/// One ledger, on which sidecars start one after the other.
struct Books {
    ledger: LedgerHandle,
    reader: Arc<dyn LedgerReader>,
    clock: Moved,
}

impl Books {
    fn new() -> Self {
        let ledger = MemoryLedger::new();
        let reader = ledger.reader().unwrap();
        let clock = Moved(Arc::new(Mutex::new(NOW_SECS)));
        let ledger = spawn_writer(Box::new(ledger), Arc::new(clock.clone()));
        Self { ledger, reader, clock }
    }

    /// A start with keys of these bytes.
    async fn start(&self, receipts: u8, signer: u8) -> KeysetKeeper {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let signer: Arc<dyn Signer> = Arc::new(LocalSigner::from_secret(&[signer; 32]).unwrap());
        let key = ReceiptKey::from_secret(&[receipts; 32]);
        let identities = Arc::new(Identities::new(key, None, clock.now()));
        let reports = ReportService::new(ReportParts {
            attester: Arc::new(SoftwarePlatform::new().unwrap()),
            gpus: None,
            signer: signer.clone(),
            identities: identities.clone(),
            model: Box::new(|| None),
            tls_spki: None,
            clock: clock.clone(),
        });
        let (ledger, reader) = (self.ledger.clone(), self.reader.clone());
        let keeper = KeysetKeeper { reports, identities, signer, ledger, reader, clock };
        keeper.keep().await.unwrap();
        keeper
    }

    fn kept(&self, kind: KeptKind, name: &Digest32) -> Option<Value> {
        let kept = self.reader.kept(kind, name).unwrap()?;
        Some(serde_json::from_slice(&kept.body).unwrap())
    }

    fn keysets(&self) -> usize {
        self.reader.kept_last(KeptKind::Keyset, 100).unwrap().len()
    }
}

fn now_of(keeper: &KeysetKeeper) -> Digest32 {
    keeper.identities.at(keeper.clock.now()).digest()
}

async fn lineage(keeper: &KeysetKeeper) -> Value {
    let report = ask(&keeper.reports, Some(NONCE)).await.unwrap();
    report["attestation"]["evidence"]["key_lineage"].clone()
}

#[tokio::test]
async fn a_restart_with_the_same_secret_has_the_same_keyset_and_its_line_goes_on() {
    let books = Books::new();
    let first = books.start(1, 7).await;
    let shown = lineage(&first).await;
    assert_eq!((&shown["state"], &shown["previous"]), (&json!("first"), &Value::Null));
    let name = now_of(&first);
    assert_eq!(books.kept(KeptKind::Lineage, &name), Some(shown.clone()));
    let report = books.kept(KeptKind::Report, &name).unwrap();
    assert_eq!(report["attestation"]["evidence"]["key_lineage"], shown);
    assert_eq!(quoted(&report), ReportData::aci(&name, None).as_bytes());
    let keyset = books.kept(KeptKind::Keyset, &name).unwrap();
    assert_eq!(keyset, report["attestation"]["workload_keyset"]);

    let again = books.start(1, 7).await;
    assert_eq!(now_of(&again), name);
    assert_eq!(lineage(&again).await, shown);
    assert_eq!(books.keysets(), 1);

    let other_receipts = books.start(2, 7).await;
    let shown = lineage(&other_receipts).await;
    assert_eq!(shown["state"], "holds");
    assert_eq!(shown["previous"], format!("sha256:{name}"));
    let statement = shown["statement"].as_str().unwrap();
    let expected = format!("tee-sidecar.keyset.v1:{}:{name}:", now_of(&other_receipts));
    assert!(statement.starts_with(&expected), "{statement}");
    assert_eq!(shown["signing_address"], signer().address().to_string());
}

#[tokio::test]
async fn another_secret_breaks_the_line_and_the_next_restart_holds_again() {
    let books = Books::new();
    books.start(1, 7).await;
    let other = books.start(2, 8).await;
    let shown = lineage(&other).await;
    assert_eq!(shown["state"], "broken");
    let again = books.start(2, 8).await;
    assert_eq!(lineage(&again).await, shown, "a restart mends nothing");
    assert_eq!(lineage(&books.start(3, 8).await).await["state"], "holds");
    assert_eq!(books.keysets(), 3);
}

#[tokio::test]
async fn a_kept_statement_of_another_signer_is_not_shown_as_ours() {
    let books = Books::new();
    books.start(1, 8).await;
    // The same keyset under another signer: what is kept stays, what is shown is our own.
    let ours = books.start(1, 7).await;
    assert_eq!(lineage(&ours).await["signing_address"], signer().address().to_string());
    let kept = books.kept(KeptKind::Lineage, &now_of(&ours)).unwrap();
    assert_ne!(kept["signing_address"], signer().address().to_string());
}

#[tokio::test(start_paused = true)]
async fn the_next_quarters_keyset_is_kept_when_its_time_comes_and_no_old_report_is_served() {
    let books = Books::new();
    let keeper = books.start(1, 7).await;
    let first = now_of(&keeper);
    let running = tokio::spawn(keeper.clone().run());
    tokio::task::yield_now().await;
    *books.clock.0.lock().unwrap() += 90 * 24 * 60 * 60;
    let second = now_of(&keeper);
    assert_ne!(first, second);
    // Due is not kept: until its report is there, receipts are signed under the old one.
    let signing = || keeper.identities.signing().digest();
    assert_eq!((signing(), books.kept(KeptKind::Keyset, &second)), (first, None));
    let report = ask(&keeper.reports, None).await.unwrap();
    assert_eq!(report["workload_keyset_digest"], format!("sha256:{second}"));
    while signing() == first {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(signing(), second);
    assert!(books.kept(KeptKind::Keyset, &second).is_some(), "signs under what is not kept");
    let kept = books.kept(KeptKind::Report, &second).unwrap();
    assert_eq!(kept["attestation"]["evidence"]["key_lineage"]["state"], "holds");
    assert_eq!(ask(&keeper.reports, None).await.unwrap(), kept);
    running.abort();
}

#[tokio::test]
async fn no_keyset_signs_that_no_report_attests() {
    let books = Books::new();
    let keeper = books.start(1, 7).await;
    let first = now_of(&keeper);
    let signing = || keeper.identities.signing().digest();
    // The quarter turns while the report is made: it attests another one than was asked for.
    let ahead = Moved(Arc::new(Mutex::new(NOW_SECS + 90 * 24 * 60 * 60)));
    let early = KeysetKeeper { clock: Arc::new(ahead), ..keeper.clone() };
    let next = now_of(&early);
    assert_ne!(next, first);
    assert!(matches!(early.keep().await, Err(KeepError::Turned)));
    assert_eq!((signing(), books.kept(KeptKind::Keyset, &next)), (first, None));
    // Receipts of an ended keyset are worth nothing, which exchanges ask before they begin.
    let ends = keeper.identities.signing().not_after();
    for (secs, ended) in [(ends - 1, false), (ends, true)] {
        assert_eq!(keeper.identities.has_ended(Timestamp(secs * 1000)), ended);
    }
}
