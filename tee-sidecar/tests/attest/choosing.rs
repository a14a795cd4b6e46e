//! Which evidence the settings lead to.

use tee_sidecar::attest::{AttestError, Platform, choose, choose_gpu, choose_under};
use tee_sidecar::config::{GpuProvider, TeeProvider};

#[tokio::test]
async fn a_machine_without_a_tee_is_refused_by_every_real_provider_and_told_what_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    for (provider, named, paths) in [
        (TeeProvider::Auto, "auto", vec!["/var/run/dstack.sock", "/sys/kernel/config/tsm/report"]),
        (TeeProvider::Dstack, "dstack", vec!["/var/run/dstack.sock", "/run/dstack/dstack.sock"]),
        (TeeProvider::Tdx, "tdx", vec!["/sys/kernel/config/tsm/report"]),
    ] {
        let refused = choose_under(root.path(), provider).await.err().unwrap();
        let told = matches!(&refused, AttestError::NoTee { provider, .. } if provider == &named);
        assert!(told, "{refused}");
        let message = refused.to_string();
        assert!(paths.iter().all(|path| message.contains(path)), "{message}");
    }
}

#[tokio::test]
async fn the_simulation_is_chosen_by_name() {
    let platform = choose(TeeProvider::Simulated).await.unwrap().attester.platform();
    assert_eq!(platform, Platform::Simulated);
    assert!(platform.is_simulated());
    assert_eq!(serde_json::to_string(&platform).unwrap(), r#""simulated""#);
}

#[test]
fn a_simulated_tee_has_no_gpu_unless_asked_for() {
    for provider in [GpuProvider::None, GpuProvider::Auto] {
        assert!(choose_gpu(provider, Platform::Simulated).unwrap().is_none());
    }
}
