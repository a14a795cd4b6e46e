//! Which GPU evidence the settings lead to.

use std::process::Command;

use tee_sidecar::attest::{AttestError, GpuError, Platform, choose_gpu, choose_gpu_from};
use tee_sidecar::config::GpuProvider;

use crate::support::{Driver, REPORT, nonce};

const REAL: [Platform; 2] = [Platform::Dstack, Platform::Tdx];

#[test]
fn automatic_finds_the_gpus_of_a_real_platform_and_none_beside_a_simulated_tee() {
    let driver = Driver::new(&[]);
    for platform in REAL {
        assert!(chosen(&driver, GpuProvider::Auto, platform).unwrap());
        assert!(!chosen(&driver, GpuProvider::None, platform).unwrap());
    }
    assert!(!chosen(&driver, GpuProvider::Auto, Platform::Simulated).unwrap());
    assert!(!chosen(&driver, GpuProvider::None, Platform::Simulated).unwrap());
    assert!(chosen(&driver, GpuProvider::Nvml, Platform::Simulated).unwrap());
}

#[test]
fn only_the_absence_of_the_library_is_no_gpu_and_only_for_automatic() {
    let driver = Driver::new(&[]);
    std::fs::remove_file(driver.library()).unwrap();
    assert!(!chosen(&driver, GpuProvider::Auto, Platform::Tdx).unwrap());
    let refused = chosen(&driver, GpuProvider::Nvml, Platform::Tdx).unwrap_err();
    assert!(matches!(refused, AttestError::Gpu(GpuError::NoLibrary(_))), "{refused:?}");
}

/// A machine that is still starting must not serve without GPU evidence for the rest of its life.
#[test]
fn a_driver_or_gpu_that_is_not_up_yet_is_an_error_that_says_what_to_do() {
    for (knob, expected) in
        [(("INIT_RC", "9"), GpuError::NoDriver), (("GPUS", "0"), GpuError::NoGpu)]
    {
        let driver = Driver::new(&[knob]);
        for provider in [GpuProvider::Auto, GpuProvider::Nvml] {
            let refused = chosen(&driver, provider, Platform::Tdx).unwrap_err();
            assert_eq!(refused, AttestError::Gpu(expected.clone()));
            assert!(refused.to_string().contains("set gpu.provider: none"), "{refused}");
        }
        driver.set(&[]);
        assert!(chosen(&driver, GpuProvider::Auto, Platform::Tdx).unwrap());
    }
}

#[test]
fn automatic_never_hides_a_gpu_that_is_not_confidential() {
    for (knobs, expected) in [
        (("CC", "off"), GpuError::ConfidentialComputingOff),
        (("CC", "unsupported"), GpuError::NotSupported),
        (("CC", "devtools"), GpuError::DevTools),
        (("CC", "notready"), GpuError::NotReady),
    ] {
        let driver = Driver::new(&[knobs]);
        for platform in REAL {
            let refused = chosen(&driver, GpuProvider::Auto, platform);
            assert_eq!(refused, Err(AttestError::Gpu(expected.clone())));
        }
    }
    let broken = Driver::new(&[]);
    std::fs::write(broken.library(), "not a library").unwrap();
    let refused = chosen(&broken, GpuProvider::Auto, Platform::Tdx).unwrap_err();
    assert!(matches!(refused, AttestError::Gpu(GpuError::BadLibrary(_))), "{refused:?}");
}

#[test]
fn a_simulated_gpu_is_never_put_beside_a_real_tee() {
    let driver = Driver::new(&[]);
    for platform in REAL {
        let refused = chosen(&driver, GpuProvider::Simulated, platform);
        assert_eq!(refused, Err(AttestError::Gpu(GpuError::SimulatedBesideRealTee)));
    }
    assert!(driver.calls().is_empty());
}

/// In a process of its own: where the loader looks is fixed when a process starts.
#[test]
fn the_library_is_found_by_nvidias_name_where_the_loader_looks() {
    let driver = Driver::new(&[("GPUS", "2")]);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "choosing::run_by_the_test_above", "--ignored"])
        .env("LD_LIBRARY_PATH", driver.folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(driver.count(REPORT), 2, "the test of that name did not run");
}

#[tokio::test]
#[ignore = "needs a library that the loader finds; another test runs this one"]
async fn run_by_the_test_above() {
    let attester = choose_gpu(GpuProvider::Auto, Platform::Dstack).unwrap().unwrap();
    assert_eq!(attester.evidence(nonce(1)).await.unwrap().len(), 2);
}

/// Whether there is a source of GPU evidence.
fn chosen(driver: &Driver, provider: GpuProvider, platform: Platform) -> Result<bool, AttestError> {
    Ok(choose_gpu_from(Some(driver.library()), provider, platform)?.is_some())
}
