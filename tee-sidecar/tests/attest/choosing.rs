//! Which evidence the settings lead to.

use std::fs;

use tee_sidecar::attest::{AttestError, GpuEvidence, Platform, choose, choose_gpu, choose_under};
use tee_sidecar::config::{GpuProvider, TeeProvider};

#[test]
fn a_machine_without_a_tee_is_refused_by_every_real_provider_and_told_what_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    for (provider, name, paths) in [
        (TeeProvider::Auto, "auto", vec!["/var/run/dstack.sock", "/sys/kernel/config/tsm/report"]),
        (TeeProvider::Dstack, "dstack", vec!["/var/run/dstack.sock", "/run/dstack/dstack.sock"]),
        (TeeProvider::Tdx, "tdx", vec!["/sys/kernel/config/tsm/report"]),
    ] {
        let refused = choose_under(root.path(), provider).err().unwrap();
        assert!(matches!(&refused, AttestError::NoTee { provider, .. } if *provider == name));
        let message = refused.to_string();
        assert!(paths.iter().all(|path| message.contains(path)), "{message}");
    }
}

#[test]
fn a_tee_that_this_release_does_not_drive_is_named_and_never_replaced_by_the_simulation() {
    for (path, providers) in [
        ("run/dstack/dstack.sock", [TeeProvider::Auto, TeeProvider::Dstack]),
        ("sys/kernel/config/tsm/report", [TeeProvider::Auto, TeeProvider::Tdx]),
    ] {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(path)).unwrap();
        for provider in providers {
            let refused = choose_under(root.path(), provider).err().unwrap();
            assert!(matches!(refused, AttestError::NotDriven { .. }), "{refused}");
            assert!(refused.to_string().contains(path), "{refused}");
        }
    }
}

#[test]
fn the_simulation_is_chosen_by_name() {
    let attester = choose(TeeProvider::Simulated).unwrap();
    assert_eq!(attester.platform(), Platform::Simulated);
    assert!(attester.platform().is_simulated());
    assert_eq!(serde_json::to_string(&attester.platform()).unwrap(), r#""simulated""#);
}

#[test]
fn gpu_evidence_is_none_or_refused() {
    let choose = |provider| choose_gpu(provider, Platform::Simulated);
    assert_eq!(choose(GpuProvider::None), Ok(GpuEvidence::None));
    assert_eq!(choose(GpuProvider::Auto), Ok(GpuEvidence::None));
    for (provider, name) in [(GpuProvider::Nvml, "nvml"), (GpuProvider::Simulated, "simulated")] {
        let refused = choose(provider).unwrap_err();
        assert_eq!(refused, AttestError::NoGpuEvidence(name));
        assert!(refused.to_string().contains(name));
    }
}
