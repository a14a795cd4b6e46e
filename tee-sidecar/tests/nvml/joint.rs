//! Attestation reports over the production way to the GPUs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tee_sidecar::attest::{
    AttestError, GpuError, GpuLimits, NvmlAttester, ReportError, ReportQuery,
};
use tee_sidecar::evidence::audit::{CheckResult, Verdict};
use tee_sidecar::evidence::nvidia::Architecture;
use tee_sidecar::evidence::{Nonce32, ReportData};
use tokio::time::{self, timeout};

use crate::software::{
    Node, UnderSoftwareRoot, address, ask, audit, gpu_nonces, query, quoted_report_data,
    service_over,
};
use crate::support::{REPORT, nonce};

/// A report whose quote and GPUs carry this nonce and no other.
fn assert_carries(report: &serde_json::Value, nonce: Nonce32, gpus: usize) {
    assert_eq!(gpu_nonces(report), vec![*nonce.as_bytes(); gpus]);
    let bound = ReportData::ecdsa_and_nonce(address(), &nonce);
    assert_eq!(quoted_report_data(report), bound.as_bytes());
    assert_eq!(report["request_nonce"], nonce.to_string());
    assert_eq!(report["gpu_status"], "attested");
}

fn gpu_error(refused: ReportError) -> GpuError {
    match refused {
        ReportError::NoEvidence(AttestError::Gpu(error)) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn reports_of_one_and_of_eight_gpus_are_accepted_by_an_auditor_with_each_requests_nonce() {
    for arch in [Architecture::Hopper, Architecture::Blackwell] {
        for count in [1, 8] {
            let node = Node::new(count, arch);
            let service = node.service();
            service.self_check().await.unwrap();
            for nonce in [nonce(1), nonce(2)] {
                let report = ask(&service, nonce).await.unwrap();
                assert_carries(&report, nonce, usize::from(count));
                let audit = audit(&report, nonce);
                assert_eq!(audit.verdict(), Verdict::Proved, "{audit:#?}");
                let last = format!("gpu{}.chain", count - 1);
                let proved = |check: &str| {
                    let mut all = audit.findings.iter();
                    all.any(|f| f.check == check && f.result == CheckResult::Proved)
                };
                assert!(proved(&last) && proved("quote.tcb"), "{audit:#?}");
            }
        }
    }
}

#[tokio::test]
async fn a_report_judged_by_another_nonce_is_refuted() {
    let node = Node::new(2, Architecture::Hopper);
    let service = node.service();
    let report = ask(&service, nonce(1)).await.unwrap();
    assert_eq!(audit(&report, nonce(2)).verdict(), Verdict::Refuted);
}

#[tokio::test]
async fn under_binding_v2_the_gpus_answer_the_keys_own_nonce_and_the_auditor_follows() {
    let node = Node::new(2, Architecture::Blackwell);
    let service = node.service();
    let bound = ReportQuery { binding: Some("v2".to_owned()), ..query(nonce(3)) };
    let report = serde_json::from_slice(&service.report(&bound).await.unwrap()).unwrap();
    assert!(!gpu_nonces(&report).contains(nonce(3).as_bytes()));
    let audit = audit(&report, nonce(3));
    assert_eq!(audit.verdict(), Verdict::Proved, "{audit:#?}");
}

/// A GPU that certifies itself.
#[tokio::test]
async fn nvidias_root_refuses_software_at_the_start_and_in_every_report() {
    for arch in [Architecture::Hopper, Architecture::Blackwell] {
        let node = Node::new(1, arch);
        let service = service_over(Arc::new(node.driver.start().unwrap()));
        let at_start = service.self_check().await.unwrap_err();
        let AttestError::Gpu(GpuError::SelfCheck { index: 0, cause }) = &at_start else {
            panic!("{at_start}");
        };
        assert!(cause.contains("chain does not end in the pinned root"), "{cause}");
        for query in [query(nonce(1)), query(nonce(2)), ReportQuery::default()] {
            let refused = service.report(&query).await.unwrap_err();
            assert_eq!(refused, ReportError::NoEvidence(at_start.clone()));
        }
    }
}

#[tokio::test]
async fn canned_evidence_gives_no_report_and_no_start() {
    let node = Node::new(2, Architecture::Hopper);
    let service = node.service();
    for mode in ["canned", "stale"] {
        node.set(&[]);
        ask(&service, nonce(1)).await.unwrap();
        node.set(&[("MODE", mode)]);
        let refused = gpu_error(ask(&service, nonce(2)).await.unwrap_err());
        assert_eq!(refused, GpuError::OtherNonce(0), "{mode}");
    }
    node.set(&[("MODE", "canned")]);
    let refused = service.self_check().await.unwrap_err();
    assert_eq!(refused, AttestError::Gpu(GpuError::OtherNonce(0)));
}

/// The device is whoever holds the key: another one's certificates do not help.
#[tokio::test]
async fn a_report_signed_by_another_key_than_the_certified_one_is_never_served() {
    let node = Node::new(2, Architecture::Hopper);
    let service = node.service();
    node.set(&[("KEY_LABEL", "another key")]);
    let refused = gpu_error(ask(&service, nonce(1)).await.unwrap_err());
    assert!(matches!(refused, GpuError::SelfCheck { index: 0, .. }), "{refused}");
    assert!(refused.to_string().contains("sign"), "{refused}");
}

/// A1.
#[tokio::test]
async fn after_a_hundred_cancelled_reports_the_next_one_carries_its_own_nonce() {
    let node = Node::new(2, Architecture::Hopper);
    let service = node.service();
    node.set(&[("HANG_CALL", REPORT), ("HANG_MS", "25")]);
    for fill in 0..100 {
        let asked = query(nonce(fill));
        let cut = timeout(Duration::from_micros(u64::from(fill) * 200), service.report(&asked));
        let cut = cut.await;
        assert!(cut.is_err(), "request {fill} was not cut off but answered: {cut:?}");
        if fill % 40 == 39 {
            refill_the_rate().await;
        }
    }
    node.set(&[]);
    let report = loop {
        match ask(&service, nonce(200)).await {
            Err(ReportError::NoEvidence(AttestError::Gpu(GpuError::Busy(_)))) => {
                time::sleep(Duration::from_millis(5)).await;
            }
            other => break other.unwrap(),
        }
    };
    assert_carries(&report, nonce(200), 2);
    assert_eq!(audit(&report, nonce(200)).verdict(), Verdict::Proved);
    assert!(!node.driver.calls().iter().any(|line| line == "OVERLAP"));
}

/// Lets the time pass that reports with a nonce are rationed by.
async fn refill_the_rate() {
    time::pause();
    time::advance(Duration::from_secs(20)).await;
    time::resume();
}

#[tokio::test]
async fn a_mode_that_is_switched_off_is_told_in_the_report_until_it_is_switched_back() {
    let node = Node::new(2, Architecture::Hopper);
    let service = node.service();
    ask(&service, nonce(1)).await.unwrap();
    for (mode, expected) in [
        ("off", GpuError::ConfidentialComputingOff),
        ("devtools", GpuError::DevTools),
        ("notready", GpuError::NotReady),
    ] {
        node.set(&[("CC", mode)]);
        let refused = ask(&service, nonce(2)).await.unwrap_err();
        assert!(refused.to_string().contains(&expected.to_string()), "{refused}");
        assert_eq!(gpu_error(refused), expected);
        node.set(&[]);
        assert_carries(&ask(&service, nonce(3)).await.unwrap(), nonce(3), 2);
    }
}

/// On one thread, as a server's: what waits for the driver holds up nothing beside it.
#[tokio::test(flavor = "current_thread")]
async fn while_the_driver_hangs_reports_fail_in_time_and_all_other_work_goes_on() {
    let node = Node::new(1, Architecture::Hopper);
    let gpus = NvmlAttester::start_within(SHORT, Some(node.driver.library())).unwrap();
    let service = service_over(Arc::new(UnderSoftwareRoot(gpus)));
    let released = node.driver.folder().join("released");
    node.set(&[("HANG_CALL", REPORT), ("HANG_UNTIL", released.to_str().unwrap())]);

    let ticks = Arc::new(AtomicUsize::new(0));
    let counted = ticks.clone();
    let ticking = tokio::spawn(async move {
        loop {
            time::sleep(Duration::from_millis(5)).await;
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let began = Instant::now();
    let (first, second) = tokio::join!(ask(&service, nonce(1)), ask(&service, nonce(2)));
    assert!(began.elapsed() < SHORT.request * 8, "{:?}", began.elapsed());
    for refused in [first, second] {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("its last call still hangs"), "{refused}");
        assert!(matches!(gpu_error(refused), GpuError::Hangs(_)));
    }
    let ticked = ticks.load(Ordering::SeqCst);
    assert!(ticked >= 20, "only {ticked} ticks in {:?}", began.elapsed());
    ticking.abort();

    std::fs::write(released, "").unwrap();
    let served = timeout(Duration::from_secs(20), async {
        loop {
            if let Ok(report) = ask(&service, nonce(3)).await {
                return report;
            }
            time::sleep(Duration::from_millis(150)).await;
        }
    });
    assert_carries(&served.await.unwrap(), nonce(3), 1);
}

const SHORT: GpuLimits =
    GpuLimits { call: Duration::from_millis(600), request: Duration::from_millis(1500) };
