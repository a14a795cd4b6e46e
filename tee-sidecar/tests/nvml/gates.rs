//! GPUs that may not give evidence, each refused with its own words.

use tee_sidecar::attest::{GpuAttester as _, GpuError};

use crate::support::{CERTIFICATE, Driver, REPORT, nonce};

/// Every refusal comes at the start, and anew when what was fine at the start is so no more.
#[tokio::test]
async fn gpus_in_another_mode_are_refused_at_the_start_and_at_every_request() {
    for (knobs, expected) in refusals() {
        let refused = Driver::new(&knobs).start().err();
        assert_eq!(refused.as_ref(), Some(&expected), "{knobs:?}");

        let driver = Driver::new(&[]);
        let attester = driver.start().unwrap();
        assert!(attester.evidence(nonce(1)).await.is_ok());
        driver.set(&knobs);
        assert_eq!(attester.evidence(nonce(2)).await, Err(expected), "{knobs:?}");
        assert_eq!(driver.count(REPORT), 1, "{knobs:?}: no report was asked for");
        driver.set(&[]);
        assert!(attester.evidence(nonce(3)).await.is_ok(), "{knobs:?}");
    }
}

fn refusals() -> Vec<(Vec<(&'static str, &'static str)>, GpuError)> {
    let unknown =
        |gpu, name: &str| GpuError::UnknownArchitecture { gpu, architecture: name.to_owned() };
    let mixed = |text: &str| GpuError::MixedArchitectures(text.to_owned());
    vec![
        (vec![("GPUS", "0")], GpuError::NoGpu),
        (vec![("GPUS", "17")], GpuError::TooManyGpus { count: 17, max: 16 }),
        (vec![("GPUS", "4294967295")], GpuError::TooManyGpus { count: u32::MAX, max: 16 }),
        (vec![("CC", "unsupported")], GpuError::NotSupported),
        (vec![("CC", "off")], GpuError::ConfidentialComputingOff),
        (vec![("CC", "devtools")], GpuError::DevTools),
        (vec![("CC", "notready")], GpuError::NotReady),
        (vec![("CC", "notprod")], GpuError::NotProduction),
        (vec![("CC", "notprod+notready")], GpuError::NotReady),
        (vec![("CC", "ppcie+devtools")], GpuError::DevTools),
        (vec![("CC", "ppcie+notready")], GpuError::NotReady),
        (vec![("CC", "ppcie"), ("GPUS", "2"), ("ARCH", "9,10")], mixed(TWO)),
        (vec![("ARCH", "11")], unknown(0, "11")),
        (vec![("ARCH", "8")], unknown(0, "Ada")),
        (vec![("GPUS", "3"), ("ARCH", "9,9,4294967295")], unknown(2, "Unknown")),
        (vec![("GPUS", "2"), ("ARCH", "9,10")], mixed(TWO)),
        (
            vec![("GPUS", "3"), ("ARCH", "10,10,9")],
            mixed("GPU 0 BLACKWELL, GPU 1 BLACKWELL, GPU 2 HOPPER"),
        ),
    ]
}

/// Hopper GPUs behind NVSwitches: the feature reads as off, and the mode as protected PCIe.
#[tokio::test]
async fn a_node_in_protected_pcie_mode_is_attested() {
    let driver = Driver::new(&[("GPUS", "8"), ("CC", "ppcie")]);
    let evidence = driver.start().unwrap().evidence(nonce(1)).await.unwrap();
    assert_eq!(evidence.len(), 8);
    assert_eq!(driver.count(REPORT), 8);
}

/// Readiness is taken away between two of the gates.
#[test]
fn gpus_that_are_ready_no_more_are_never_called_other_than_production() {
    for ready in ["1,0", "1,0,0", "0,1"] {
        let refused = Driver::new(&[("READY", ready)]).start().err();
        assert_eq!(refused, Some(GpuError::NotReady), "{ready}");
    }
    let refused = Driver::new(&[("READY", "1"), ("CC", "notprod")]).start().err();
    assert_eq!(refused, Some(GpuError::NotProduction));
}

#[test]
fn a_driver_that_is_not_loaded_is_told_from_one_that_fails() {
    let refused = |code| Driver::new(&[("INIT_RC", code)]).start().err().unwrap();
    assert_eq!(refused("9"), GpuError::NoDriver);
    let other = refused("18");
    assert!(matches!(other, GpuError::Driver { gpu: None, call: "nvmlInit_v2", .. }), "{other:?}");
    assert!(other.to_string().contains("version mismatch"), "{other}");
}

#[test]
fn a_missing_library_is_told_from_one_that_is_not_nvidias() {
    let driver = Driver::new(&[]);
    std::fs::remove_file(driver.library()).unwrap();
    let missing = driver.start().err().unwrap();
    assert!(matches!(missing, GpuError::NoLibrary(_)), "{missing:?}");
    std::fs::write(driver.library(), "not a library").unwrap();
    let broken = driver.start().err().unwrap();
    assert!(matches!(broken, GpuError::BadLibrary(_)), "{broken:?}");
    let another = Driver::without("nvmlInit_v2").start().err().unwrap();
    assert!(matches!(another, GpuError::BadLibrary(_)), "{another:?}");
    for error in [missing, broken, another] {
        assert!(error.to_string().contains("libnvidia-ml.so.1"), "{error}");
    }
}

#[test]
fn a_library_without_a_function_is_refused_at_the_start_by_the_functions_name() {
    for function in [
        "nvmlDeviceGetCount_v2",
        "nvmlDeviceGetHandleByIndex_v2",
        "nvmlDeviceGetArchitecture",
        "nvmlSystemGetConfComputeSettings",
        "nvmlSystemGetConfComputeState",
        "nvmlSystemGetConfComputeGpusReadyState",
        REPORT,
        CERTIFICATE,
    ] {
        let refused = Driver::without(function).start().err();
        assert_eq!(refused, Some(GpuError::NoSymbol(function)));
    }
}

const TWO: &str = "GPU 0 HOPPER, GPU 1 BLACKWELL";
