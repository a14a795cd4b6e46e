//! Callers who go and drivers that do not answer.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tee_sidecar::attest::{GpuAttester as _, GpuError, GpuLimits, NvmlAttester};
use tokio::time::timeout;

use crate::support::{Driver, REPORT, nonce};

/// A1.
#[tokio::test]
async fn after_a_hundred_cancelled_requests_the_next_one_carries_its_own_nonce() {
    let driver = Driver::new(&[]);
    let attester = driver.start().unwrap();
    for fill in 0..100 {
        let cancelled = timeout(Duration::from_micros(fill * 20), attester.evidence(nonce(1)));
        drop(cancelled.await);
    }
    // What was begun for those who went away is in nobody's way.
    let evidence = loop {
        match attester.evidence(nonce(2)).await {
            Err(GpuError::Busy(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            other => break other.unwrap(),
        }
    };
    assert_eq!(evidence[0].report[4..36], [2; 32]);
}

#[tokio::test]
async fn a_request_whose_caller_has_gone_is_never_begun() {
    let held = Held::new(GpuLimits::default());
    held.begin(nonce(1)).await;
    for _ in 0..60 {
        held.cancel(nonce(2)).await;
    }
    held.release();
    let evidence = held.attester.evidence(nonce(3)).await.unwrap();
    assert_eq!(evidence[0].report[4..36], [3; 32]);
    assert_eq!(held.driver.count(REPORT), 2, "{:?}", held.driver.calls());
}

#[tokio::test]
async fn more_requests_than_may_wait_are_refused_at_once() {
    let held = Held::new(GpuLimits::default());
    held.begin(nonce(1)).await;
    let mut waiting: Vec<_> = (0..64).map(|_| held.attester.evidence(nonce(2))).collect();
    for one in &mut waiting {
        assert!(timeout(Duration::ZERO, one).await.is_err());
    }
    assert_eq!(held.attester.evidence(nonce(3)).await, Err(GpuError::Busy(64)));
    held.release();
    for served in futures_util::future::join_all(waiting).await {
        assert_eq!(served.unwrap()[0].report[4..36], [2; 32]);
    }
}

#[tokio::test]
async fn those_who_have_gone_take_nobodys_place_in_the_queue() {
    let held = Held::new(GpuLimits::default());
    held.begin(nonce(1)).await;
    for _ in 0..200 {
        held.cancel(nonce(2)).await;
    }
    let staying = held.attester.evidence(nonce(3));
    held.release();
    assert_eq!(staying.await.unwrap()[0].report[4..36], [3; 32]);
    assert_eq!(held.driver.count(REPORT), 2, "{:?}", held.driver.calls());
}

/// Eight GPUs, of which only the first had begun when the caller went away.
#[tokio::test]
async fn a_request_whose_caller_goes_ends_between_two_gpus() {
    let held = Held::with(GpuLimits::default(), &[("GPUS", "8")]);
    held.begin(nonce(1)).await;
    held.release();
    assert_eq!(held.attester.evidence(nonce(2)).await.unwrap().len(), 8);
    assert_eq!(held.driver.count(REPORT), 1 + 8, "{:?}", held.driver.calls());
}

/// The second is told that it was never begun, and not that the driver hangs: it does not.
#[tokio::test]
async fn a_request_whose_time_is_up_in_the_queue_is_told_so() {
    let driver = Driver::new(&[("GPUS", "16"), ("HANG_CALL", REPORT), ("HANG_MS", "150")]);
    let attester = NvmlAttester::start_within(SHORT, Some(driver.library())).unwrap();
    let asked = (attester.evidence(nonce(1)), attester.evidence(nonce(2)));
    let (first, second) = tokio::join!(asked.0, asked.1);
    assert!(matches!(first, Err(GpuError::Late(_))), "{first:?}");
    assert!(matches!(second, Err(GpuError::NoTurn(_))), "{second:?}");
}

#[tokio::test]
async fn a_hung_call_fails_its_request_in_time_and_later_ones_at_once_until_it_returns() {
    let held = Held::new(SHORT);
    let refused = held.attester.evidence(nonce(1)).await;
    assert!(matches!(refused, Err(GpuError::Hangs(_))), "{refused:?}");

    let began = Instant::now();
    for _ in 0..100 {
        let refused = held.attester.evidence(nonce(2)).await;
        assert!(matches!(refused, Err(GpuError::Hangs(_))), "{refused:?}");
    }
    assert!(began.elapsed() < SHORT.request, "each waited by itself");
    assert_eq!(held.driver.count(REPORT), 1);

    held.release();
    let served = timeout(Duration::from_secs(20), async {
        loop {
            if let Ok(evidence) = held.attester.evidence(nonce(3)).await {
                return evidence;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!(served.await.unwrap()[0].report[4..36], [3; 32]);
}

#[tokio::test]
async fn a_driver_that_answers_too_slowly_is_not_called_hung() {
    let driver = Driver::new(&[("GPUS", "16"), ("HANG_CALL", REPORT), ("HANG_MS", "150")]);
    let attester = NvmlAttester::start_within(SHORT, Some(driver.library())).unwrap();
    let refused = attester.evidence(nonce(1)).await;
    assert!(matches!(refused, Err(GpuError::Late(_))), "{refused:?}");
}

#[test]
fn a_start_that_hangs_fails_in_time() {
    let driver = Driver::new(&[("HANG_CALL", "nvmlInit_v2")]);
    let began = Instant::now();
    let refused = NvmlAttester::start_within(SHORT, Some(driver.library())).err();
    assert!(matches!(refused, Some(GpuError::Hangs(_))), "{refused:?}");
    assert!(began.elapsed() < SHORT.request * 10);
    // The thread that was left behind ends by itself.
    driver.set(&[]);
    driver.await_calls("nvmlShutdown", 1);
}

/// With the runtime's own pool of blocking threads this would wait for ever.
#[test]
fn neither_the_attester_nor_the_runtime_waits_for_a_hung_call_when_it_ends() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let held = Held::new(SHORT);
    let refused = runtime.block_on(held.attester.evidence(nonce(1)));
    assert!(matches!(refused, Err(GpuError::Hangs(_))), "{refused:?}");
    let Held { driver, attester, released } = held;
    let began = Instant::now();
    drop(attester);
    drop(runtime);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(driver.count("nvmlShutdown"), 0);
    std::fs::write(released, "").unwrap();
    driver.await_calls("nvmlShutdown", 1);
}

#[tokio::test]
async fn the_thread_ends_with_its_attester() {
    let driver = Driver::new(&[]);
    let attester = driver.start().unwrap();
    assert!(attester.evidence(nonce(1)).await.is_ok());
    assert_eq!(driver.count("nvmlShutdown"), 0);
    drop(attester);
    driver.await_calls("nvmlShutdown", 1);
}

/// A driver that hangs in its first report until it is released.
struct Held {
    driver: Driver,
    attester: NvmlAttester,
    released: PathBuf,
}

impl Held {
    fn new(limits: GpuLimits) -> Self {
        Self::with(limits, &[])
    }

    fn with(limits: GpuLimits, knobs: &[(&str, &str)]) -> Self {
        let driver = Driver::new(&[]);
        let released = driver.folder().join("released");
        let until = released.to_str().unwrap();
        driver.set(&[knobs, &[("HANG_CALL", REPORT), ("HANG_UNTIL", until)]].concat());
        let attester = NvmlAttester::start_within(limits, Some(driver.library())).unwrap();
        Self { driver, attester, released }
    }

    /// Asks, waits until the driver has been called, and goes away.
    async fn begin(&self, nonce: tee_sidecar::evidence::Nonce32) {
        let mut asked = self.attester.evidence(nonce);
        assert!(timeout(Duration::ZERO, &mut asked).await.is_err());
        self.driver.await_calls(REPORT, 1);
    }

    /// Asks, and goes away.
    async fn cancel(&self, nonce: tee_sidecar::evidence::Nonce32) {
        let answered = timeout(Duration::ZERO, self.attester.evidence(nonce)).await;
        assert!(answered.is_err(), "{answered:?}");
    }

    fn release(&self) {
        std::fs::write(&self.released, "").unwrap();
    }
}

const SHORT: GpuLimits =
    GpuLimits { call: Duration::from_millis(600), request: Duration::from_millis(1500) };
