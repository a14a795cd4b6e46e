//! What evidence holds, and that nothing else passes for it.

use futures_util::future::join_all;
use tee_sidecar::attest::{GpuAttester as _, GpuError};
use tee_sidecar::evidence::nvidia::{Architecture, GpuRoot};

use crate::support::{CERTIFICATE, Driver, REPORT, nonce};

/// A4.
#[tokio::test]
async fn every_gpu_is_attested_in_the_drivers_order_with_the_architecture_it_has() {
    for (count, number, arch) in
        [(1, "9", Architecture::Hopper), (8, "9", Architecture::Hopper), (8, "10", BLACKWELL)]
    {
        let driver = Driver::new(&[("GPUS", &count.to_string()), ("ARCH", number)]);
        let evidence = driver.start().unwrap().evidence(nonce(7)).await.unwrap();
        assert_eq!(evidence.len(), count);
        for (index, gpu) in evidence.iter().enumerate() {
            assert_eq!(gpu.arch, arch);
            assert_eq!(gpu.report.len(), 4117);
            assert_eq!(gpu.report[4..36], [7; 32]);
            assert_eq!(usize::from(gpu.report[36]), index, "the made-up reports are numbered");
            let chain = std::str::from_utf8(&gpu.chain_pem).unwrap();
            assert!(chain.contains(&format!("leaf+of+GPU+{index}\n")), "{chain}");
        }
    }
}

#[tokio::test]
async fn report_and_chain_are_handed_on_byte_for_byte() {
    let driver = Driver::new(&[]);
    let (report, chain) = (driver.folder().join("report"), driver.folder().join("chain"));
    let mut bytes: Vec<u8> = (0..4000_u32).flat_map(u32::to_le_bytes).take(8192).collect();
    bytes[4..36].fill(9);
    std::fs::write(&report, &bytes).unwrap();
    let text = "-----BEGIN CERTIFICATE-----\r\nnot+read+here\r\n-----END CERTIFICATE-----\n\0";
    std::fs::write(&chain, text).unwrap();
    let (report, chain) = (report.to_str().unwrap(), chain.to_str().unwrap());
    driver.set(&[("REPORT", report), ("CHAIN", chain), ("MODE", "canned")]);
    let attester = driver.start().unwrap();
    let evidence = attester.evidence(nonce(9)).await.unwrap();
    assert_eq!(evidence[0].report, bytes);
    assert_eq!(evidence[0].chain_pem, text.as_bytes());
    assert_eq!(attester.trust_root(), GpuRoot::Nvidia);
}

/// A9: the same report for everybody.
#[tokio::test]
async fn a_canned_report_over_another_nonce_is_noticed() {
    let driver = Driver::new(&[("GPUS", "2"), ("MODE", "canned")]);
    let refused = driver.start().unwrap().evidence(nonce(7)).await.unwrap_err();
    assert_eq!(refused, GpuError::OtherNonce(0));
}

/// A1, in the driver instead of in us.
#[tokio::test]
async fn a_report_over_the_nonce_of_the_call_before_is_noticed() {
    let driver = Driver::new(&[("MODE", "stale")]);
    let attester = driver.start().unwrap();
    assert!(attester.evidence(nonce(1)).await.is_ok());
    assert_eq!(attester.evidence(nonce(2)).await.unwrap_err(), GpuError::OtherNonce(0));
    assert!(attester.evidence(nonce(2)).await.is_ok());
}

#[tokio::test]
async fn an_impossible_size_is_an_error_that_names_the_gpu_and_the_next_request_is_served() {
    let driver = Driver::new(&[]);
    let attester = driver.start().unwrap();
    for (knob, sizes, gpu, call) in [
        ("REPORT_SIZE", "4294967295", 0, REPORT),
        ("REPORT_SIZE", "8193", 0, REPORT),
        ("REPORT_SIZE", "4117,8193", 1, REPORT),
        ("REPORT_SIZE", "35", 0, REPORT),
        ("REPORT_SIZE", "4117,0", 1, REPORT),
        ("CEC_SIZE", "4097", 0, REPORT),
        ("CHAIN_SIZE", "5121", 0, CERTIFICATE),
        ("CHAIN_SIZE", "400,4294967295", 1, CERTIFICATE),
        ("CHAIN_SIZE", "0", 0, CERTIFICATE),
    ] {
        driver.set(&[("GPUS", "2"), (knob, sizes)]);
        let refused = attester.evidence(nonce(7)).await.unwrap_err();
        assert_eq!(refused, GpuError::ImpossibleSize { gpu, call }, "{knob} {sizes}");
        driver.set(&[("GPUS", "2")]);
        assert_eq!(attester.evidence(nonce(8)).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn an_error_of_the_driver_names_the_gpu_and_the_function() {
    let driver = Driver::new(&[("GPUS", "3"), ("REPORT_RC", "0,0,15")]);
    let refused = driver.start().unwrap().evidence(nonce(7)).await.unwrap_err();
    let named = matches!(refused, GpuError::Driver { gpu: Some(2), call: REPORT, .. });
    assert!(named, "{refused:?}");
    assert!(refused.to_string().starts_with("GPU 2: nvmlDeviceGetConfCompute"), "{refused}");
}

#[tokio::test]
async fn many_requests_at_once_are_served_one_after_another_each_with_its_own_nonce() {
    let driver = Driver::new(&[("GPUS", "2")]);
    let attester = driver.start().unwrap();
    let served = join_all((0..48).map(|fill| attester.evidence(nonce(fill)))).await;
    for (fill, evidence) in (0..48).zip(served) {
        let evidence = evidence.unwrap();
        assert!(evidence.iter().all(|gpu| gpu.report[4..36] == [fill; 32]));
    }
    let calls = driver.calls();
    assert!(!calls.iter().any(|line| line == "OVERLAP"));
    let of_gpus = calls.iter().filter_map(|line| line.strip_prefix(REPORT)?.get(1..2));
    assert_eq!(of_gpus.collect::<String>(), "01".repeat(48));
}

const BLACKWELL: Architecture = Architecture::Blackwell;
