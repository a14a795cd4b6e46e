//! Many who ask at once, of a node whose GPUs take seconds: what is waited for, by whom, how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tee_sidecar::attest::{
    AttestFuture, Attester, GpuAttester, GpuFuture, Platform, ReportError, ReportQuery,
    ReportService,
};
use tee_sidecar::evidence::nvidia::{Architecture, GpuRoot};
use tee_sidecar::evidence::simulator::{SoftwareGpu, SoftwarePlatform};
use tee_sidecar::evidence::tdx::TrustRoot;
use tee_sidecar::evidence::{Nonce32, Quote, ReportData};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Fault, Faulty, NONCE, ask, service_of, service_with, with_nonce};

/// GPUs that answer one call after the other, whether its caller waits or not.
struct OneByOne {
    gpu: Arc<SoftwareGpu>,
    thread: Arc<Mutex<()>>,
    each: Duration,
    begun: AtomicUsize,
}

impl OneByOne {
    fn new(secs: u64) -> Arc<Self> {
        let gpu = Arc::new(SoftwareGpu::new(Architecture::Hopper).unwrap());
        let each = Duration::from_secs(secs);
        Arc::new(Self { gpu, thread: Arc::default(), each, begun: AtomicUsize::new(0) })
    }
}

impl GpuAttester for OneByOne {
    fn evidence(&self, nonce: Nonce32) -> GpuFuture<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let (gpu, thread, each) = (self.gpu.clone(), self.thread.clone(), self.each);
        let call = tokio::spawn(async move {
            let _turn = thread.lock().await;
            sleep(each).await;
            vec![SoftwareGpu::evidence(&gpu, &nonce).unwrap()]
        });
        Box::pin(async move { Ok(call.await.unwrap()) })
    }

    fn trust_root(&self) -> GpuRoot {
        self.gpu.trust_root()
    }
}

fn node(gpus: &Arc<OneByOne>) -> ReportService {
    service_with(Arc::new(SoftwarePlatform::new().unwrap()), Some(gpus.clone()), None)
}

/// Eight requests a second, each with a nonce of its own; how many got a report.
async fn storm(service: &ReportService, secs: u64) -> usize {
    let ends = Instant::now() + Duration::from_secs(secs);
    let mut asked = tokio::task::JoinSet::new();
    let mut number = 0_u64;
    while Instant::now() < ends {
        number += 1;
        let (service, query) = (service.clone(), with_nonce(&format!("{number:064x}")));
        asked.spawn(async move { service.report(&query).await });
        sleep(Duration::from_millis(125)).await;
    }
    let outcomes = asked.join_all().await;
    assert!(outcomes.iter().all(|o| o.is_ok() || *o == Err(ReportError::Busy)), "never late");
    outcomes.iter().filter(|outcome| outcome.is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn under_a_storm_the_gpus_still_make_one_report_after_the_other() {
    let gpus = OneByOne::new(8);
    let good = storm(&node(&gpus), 240).await;
    assert!((28..=34).contains(&good), "{good} reports of at most 30 and what was waiting");
    assert!(gpus.begun.load(Ordering::SeqCst) <= good + 1, "none is made for nobody");
}

#[tokio::test(start_paused = true)]
async fn the_shelf_is_served_at_once_and_renewed_through_a_storm() {
    let gpus = OneByOne::new(8);
    let service = node(&gpus);
    let any = ReportQuery::default();
    let first = service.report(&any).await.unwrap();
    service.legacy_quote().await.unwrap();
    sleep(Duration::from_secs(140)).await;
    let stormed = service.clone();
    let storm = tokio::spawn(async move { storm(&stormed, 400).await });
    for _ in 0..390 {
        let asked = Instant::now();
        service.report(&any).await.unwrap();
        service.legacy_quote().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(service.report(&any).await.unwrap() != first, "renewed");
    storm.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn callers_who_left_while_they_waited_are_never_begun() {
    let gpus = OneByOne::new(8);
    let service = node(&gpus);
    let queries: Vec<_> = (0..60).map(|n| with_nonce(&format!("{n:064x}"))).collect();
    let all = futures_util::future::join_all(queries.iter().map(|query| service.report(query)));
    assert!(timeout(Duration::from_secs(1), all).await.is_err());
    ask(&service, &with_nonce(NONCE)).await.unwrap();
    assert_eq!(gpus.begun.load(Ordering::SeqCst), 2, "the first of them, and the one who stayed");
}

#[tokio::test(start_paused = true)]
async fn a_greedy_peer_leaves_reports_for_others() {
    let service = service_of(Faulty::new(Fault::Nothing));
    let ask = async |peer: &str, number: u8| {
        let query = with_nonce(&hex::encode([number; 32]));
        service.report_for(&query, Some(peer.parse().unwrap())).await
    };
    let mut got = 0;
    for number in 0..100 {
        got += usize::from(ask("198.51.100.7", number).await.is_ok());
    }
    assert_eq!(got, 16);
    assert_eq!(ask("198.51.100.7", 100).await, Err(ReportError::Busy));
    ask("198.51.100.8", 100).await.unwrap();
}

/// What the platform does wrong, once or always.
struct Odd {
    inner: Arc<Faulty>,
    quote: fn(usize) -> Duration,
    root: fn() -> Option<TrustRoot>,
}

impl Attester for Odd {
    fn platform(&self) -> Platform {
        self.inner.platform()
    }

    fn quote<'a>(&'a self, report_data: &'a ReportData) -> AttestFuture<'a, Quote> {
        Box::pin(async move {
            let quote = self.inner.quote(report_data).await?;
            sleep((self.quote)(self.inner.asked())).await;
            Ok(quote)
        })
    }

    fn info(&self) -> serde_json::Value {
        self.inner.info()
    }

    fn trust_root(&self) -> TrustRoot {
        (self.root)().unwrap_or_else(|| self.inner.trust_root())
    }

    fn collateral(&self) -> Option<dcap_qvl::QuoteCollateralV3> {
        self.inner.collateral()
    }
}

fn odd(quote: fn(usize) -> Duration, root: fn() -> Option<TrustRoot>) -> ReportService {
    service_of(Arc::new(Odd { inner: Faulty::new(Fault::Slow(2)), quote, root }))
}

#[tokio::test(start_paused = true)]
async fn a_maker_that_panics_while_nobody_waits_stops_nobody_later() {
    let service =
        odd(|asked| if asked == 1 { panic!("of the test") } else { Duration::ZERO }, || None);
    let any = ReportQuery::default();
    assert!(timeout(Duration::from_millis(1), service.report(&any)).await.is_err());
    sleep(Duration::from_secs(5)).await;
    service.report(&any).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_is_not_called_a_failure_of_the_tee() {
    let service = odd(|_| Duration::ZERO, || panic!("of the test"));
    for query in [with_nonce(NONCE), ReportQuery::default()] {
        let refused = ask(&service, &query).await.unwrap_err();
        assert_eq!(refused, ReportError::CheckFailed);
        assert!(refused.public_text().contains("could not be checked"));
    }
}
