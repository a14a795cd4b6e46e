//! Which evidence the settings lead to.

use std::fs;
use std::path::Path;

use serde_json::json;
use tee_sidecar::attest::{AttestError, Platform, choose, choose_gpu, choose_under};
use tee_sidecar::config::{GpuProvider, TeeProvider};
use tee_sidecar::keys::KeySource;

use crate::fake_configfs::{FakeConfigfs, Script};
use crate::fake_dstack::{FakeAgent, ok};

const SOCKETS: [&str; 4] = [
    "var/run/dstack.sock",
    "run/dstack.sock",
    "var/run/dstack/dstack.sock",
    "run/dstack/dstack.sock",
];
const CONFIGFS: &str = "sys/kernel/config/tsm/report";

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
async fn each_of_dstacks_sockets_is_found_and_the_first_that_is_there_is_taken() {
    for (position, socket) in SOCKETS.iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let agent = FakeAgent::good(&root.path().join(socket));
        for later in &SOCKETS[position + 1..] {
            fs::create_dir_all(root.path().join(later)).unwrap();
        }
        for provider in [TeeProvider::Auto, TeeProvider::Dstack] {
            let tee = choose_under(root.path(), provider).await.unwrap();
            assert_eq!(tee.attester.platform(), Platform::Dstack);
            assert!(matches!(tee.keys, KeySource::Dstack(_)));
        }
        assert_eq!(agent.calls().len(), 2, "one Info each");
    }
}

#[tokio::test]
async fn an_agent_that_is_there_and_does_not_work_is_never_passed_over() {
    let spoil: [fn(&Path); 5] = [
        |path| fs::create_dir(path).unwrap(),
        |path| fs::write(path, b"").unwrap(),
        |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        |path| drop(FakeAgent::start(path, Box::new(|_, _| ok(&json!({"error": "broken"}))))),
    ];
    for spoil in spoil {
        let root = tempfile::tempdir().unwrap();
        let broken = root.path().join(SOCKETS[0]);
        fs::create_dir_all(broken.parent().unwrap()).unwrap();
        spoil(&broken);
        let good = FakeAgent::good(&root.path().join(SOCKETS[1]));
        let _kernel = FakeConfigfs::start(&root.path().join(CONFIGFS), &[]);
        for provider in [TeeProvider::Auto, TeeProvider::Dstack] {
            let refused = choose_under(root.path(), provider).await.err().unwrap();
            let named = matches!(&refused, AttestError::Dstack { socket, .. } if socket == &broken);
            assert!(named, "{refused}");
        }
        assert!(good.calls().is_empty());
    }
}

#[tokio::test]
async fn a_bare_tdx_guest_is_found_when_there_is_no_agent_and_its_keys_are_born() {
    let root = tempfile::tempdir().unwrap();
    let provider = Script::Provider("tdx_guest");
    let kernel = FakeConfigfs::start(&root.path().join(CONFIGFS), &[provider; 2]);
    for provider in [TeeProvider::Auto, TeeProvider::Tdx] {
        let tee = choose_under(root.path(), provider).await.unwrap();
        assert_eq!(tee.attester.platform(), Platform::Tdx);
        assert!(matches!(tee.keys, KeySource::Born));
    }
    kernel.assert_empty();
}

#[tokio::test]
async fn a_named_provider_looks_at_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let agent = FakeAgent::good(&root.path().join(SOCKETS[2]));
    let refused = choose_under(root.path(), TeeProvider::Tdx).await.err().unwrap();
    assert!(matches!(refused, AttestError::NoTee { provider: "tdx", .. }), "{refused}");
    assert!(agent.calls().is_empty());

    let root = tempfile::tempdir().unwrap();
    let kernel = FakeConfigfs::start(&root.path().join(CONFIGFS), &[]);
    let refused = choose_under(root.path(), TeeProvider::Dstack).await.err().unwrap();
    assert!(matches!(refused, AttestError::NoTee { provider: "dstack", .. }), "{refused}");
    assert_eq!(kernel.most_at_once(), 0);
}

#[tokio::test]
async fn the_kernel_of_another_tee_is_an_error_and_not_no_tee() {
    let root = tempfile::tempdir().unwrap();
    let provider = Script::Provider("sev_guest");
    let kernel = FakeConfigfs::start(&root.path().join(CONFIGFS), &[provider; 2]);
    for provider in [TeeProvider::Auto, TeeProvider::Tdx] {
        let refused = choose_under(root.path(), provider).await.err().unwrap();
        assert_eq!(refused, AttestError::TsmProvider("sev_guest".to_owned()));
    }
    kernel.assert_empty();
}

#[tokio::test]
async fn an_image_that_is_too_old_is_told_so() {
    let root = tempfile::tempdir().unwrap();
    let old = root.path().join("var/run/tappd.sock");
    let agent = FakeAgent::good(&old);
    for provider in [TeeProvider::Auto, TeeProvider::Dstack] {
        let refused = choose_under(root.path(), provider).await.err().unwrap();
        assert!(matches!(&refused, AttestError::OldAgent { socket, .. } if socket == &old));
        let message = refused.to_string();
        assert!(message.contains("tappd.sock") && message.contains("too old"), "{message}");
    }
    let refused = choose_under(root.path(), TeeProvider::Tdx).await.err().unwrap();
    assert!(matches!(refused, AttestError::NoTee { .. }), "{refused}");
    assert!(agent.calls().is_empty());

    let provider = Script::Provider("tdx_guest");
    let _kernel = FakeConfigfs::start(&root.path().join(CONFIGFS), &[provider]);
    let tee = choose_under(root.path(), TeeProvider::Auto).await.unwrap();
    assert_eq!(tee.attester.platform(), Platform::Tdx);
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
