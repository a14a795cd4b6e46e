//! Reports without a nonce: what is kept, how long, and what happens when no new one can be made.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tee_sidecar::attest::report::ReportParts;
use tee_sidecar::attest::{
    AttestError, AttestFuture, Attester, Platform, ReportQuery, ReportService,
};
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::tdx::TrustRoot;
use tee_sidecar::evidence::{Quote, ReportData};
use tokio::time::advance;

use crate::support::{Fault, Faulty, FixedClock, ask, identities, service_of, signer};

/// A platform that gives its first quote only.
struct Once {
    inner: SoftwarePlatform,
    asked: AtomicUsize,
}

impl Attester for Once {
    fn platform(&self) -> Platform {
        Platform::Simulated
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        let first = self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            if !first {
                return Err(AttestError::NoQuote("the test says so".to_owned()));
            }
            Ok(self.inner.quote_now(report_data)?)
        })
    }

    fn info(&self) -> serde_json::Value {
        self.inner.info().clone()
    }

    fn trust_root(&self) -> TrustRoot {
        self.inner.trust_root()
    }

    fn collateral(&self) -> Option<dcap_qvl::QuoteCollateralV3> {
        Some(self.inner.own_collateral().clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_tried_again_every_ten_seconds_only() {
    let inner = SoftwarePlatform::new().unwrap();
    let attester = Arc::new(Once { inner, asked: AtomicUsize::new(0) });
    let service = service_of(attester.clone());
    let any = ReportQuery::default();
    let first = service.report(&any).await.unwrap();
    advance(Duration::from_secs(151)).await;
    for _ in 0..1000 {
        assert_eq!(service.report(&any).await.unwrap(), first);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tries = attester.asked.load(Ordering::SeqCst) - 1;
    assert!((9..=11).contains(&tries), "{tries} in 100 seconds");
}

// An operator is woken by what goes on failing, not by one failure on a quiet night.
#[tokio::test(start_paused = true)]
async fn a_failed_report_is_tried_again_where_nobody_asks_and_what_works_is_left_alone() {
    let attester = Faulty::new(Fault::First);
    let service = service_of(attester.clone());
    let trying = tokio::spawn(service.clone().try_again());
    service.report(&ReportQuery::default()).await.unwrap_err();
    assert!(service.making().failing_since.is_some());
    let began = tokio::time::Instant::now();
    while service.making().failing_since.is_some() {
        assert!(began.elapsed() < Duration::from_secs(200), "{:?}", service.making());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((attester.asked(), service.making().made), (2, 1));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(attester.asked(), 2, "quotes for nobody");
    trying.abort();
}

/// A service whose engine tells what is put there.
fn telling(attester: Arc<Faulty>) -> (ReportService, Arc<Mutex<Option<String>>>) {
    let name = Arc::new(Mutex::new(None));
    let told = name.clone();
    let service = ReportService::new(ReportParts {
        attester,
        gpus: None,
        signer: signer(),
        identities: identities(),
        model: Box::new(move || told.lock().unwrap().clone()),
        tls_spki: None,
        clock: Arc::new(FixedClock),
    });
    (service, name)
}

#[tokio::test(start_paused = true)]
async fn a_report_without_the_models_name_lives_until_the_name_is_known() {
    let attester = Faulty::new(Fault::Nothing);
    let (service, name) = telling(attester.clone());
    let any = ReportQuery::default();
    for _ in 0..14 {
        assert!(ask(&service, &any).await.unwrap().get("model_name").is_none());
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(attester.asked(), 1);
    *name.lock().unwrap() = Some("the/model".to_owned());
    assert_eq!(ask(&service, &any).await.unwrap()["model_name"], "the/model");
    assert_eq!(attester.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_names_another_model_than_the_engine_is_never_served() {
    let attester = Faulty::new(Fault::Nothing);
    let (service, name) = telling(attester.clone());
    let any = ReportQuery::default();
    for model in ["old", "new"] {
        *name.lock().unwrap() = Some(model.to_owned());
        assert_eq!(ask(&service, &any).await.unwrap()["model_name"], model);
        service.legacy_quote().await.unwrap();
    }
    assert_eq!(attester.asked(), 3, "0G's quote names no model");
    // An engine that is away for a while has told nothing else.
    *name.lock().unwrap() = None;
    assert_eq!(ask(&service, &any).await.unwrap()["model_name"], "new");
    assert_eq!(attester.asked(), 3);
}
