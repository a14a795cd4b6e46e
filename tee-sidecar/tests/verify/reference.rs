//! NVIDIA's reference measurements and revocation answers beside a whole report.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{Desk, captured, gpu_report};

fn golden(folder: &Path) -> Value {
    let read = |name: &str| std::fs::read(folder.join("nvidia/h100_golden").join(name)).unwrap();
    gpu_report("HOPPER", &read("report.bin"), &read("chain.pem"))
}

/// The moment at which manifests and their revocation answers hold.
const RIM_SECS: u64 = 1_761_307_200;
/// The moment at which the device's revocation answers hold.
const DEVICE_SECS: u64 = 1_755_777_600;

fn desk(at: u64, rims: &[PathBuf], ocsp: &[PathBuf]) -> Desk {
    let mut desk = Desk::strict();
    desk.options.at = Some(at);
    desk.options.rims = rims.to_vec();
    desk.options.ocsp = ocsp.to_vec();
    desk
}

fn rims(folder: &Path) -> [PathBuf; 2] {
    ["NV_GPU_DRIVER_GH100_550.90.07.xml", "NV_GPU_VBIOS_1010_0200_882_96009F0001.xml"]
        .map(|name| folder.join("nvidia/h100_golden").join(name))
}

fn ocsp(folder: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| folder.join("nvidia/h100_golden/ocsp").join(name)).collect()
}

#[test]
fn all_measurements_of_a_real_gpu_are_nvidias() {
    let Some(folder) = captured() else { return };
    let judged = desk(RIM_SECS, &rims(&folder), &[]).judge(&golden(&folder));
    assert_eq!(judged.of_gpu(CheckResult::Refuted), Vec::<&str>::new(), "{:#?}", judged.0);
    let proved = judged.of_gpu(CheckResult::Proved);
    for check in ["gpu0.signature", "gpu0.chain", "gpu0.fwid", "rim0", "rim1", "gpu0.rim"] {
        assert!(proved.contains(&check), "{proved:?}");
    }
    let findings = &judged.0.as_ref().unwrap().findings;
    let compared = findings.iter().find(|finding| finding.check == "gpu0.rim").unwrap();
    assert_eq!(compared.detail, "32 measurements match, 1 do not apply");
}

#[test]
fn manifests_that_are_expired_tampered_or_of_another_driver_prove_nothing() {
    let Some(folder) = captured() else { return };
    let expired = desk(1_795_305_600, &rims(&folder), &[]).judge(&golden(&folder));
    assert_eq!(expired.of_gpu(CheckResult::Refuted), ["rim0", "rim1"]);
    assert_eq!(expired.of_gpu(CheckResult::Missing), ["gpu0.rim"]);
    for (name, at) in [("rim_bad_signature.xml", RIM_SECS), ("rim_535_tampered.xml", RIM_SECS)] {
        let rim = folder.join("nvidia/negative").join(name);
        let judged = desk(at, &[rim], &[]).judge(&golden(&folder));
        assert_eq!(judged.of_gpu(CheckResult::Refuted), ["rim0"], "{name}");
    }
    let other = folder.join("nvidia/negative/rim_good_550.144.03.xml");
    let judged = desk(RIM_SECS, &[other], &[]).judge(&golden(&folder));
    assert_eq!(judged.of_gpu(CheckResult::Missing), ["gpu0.rim"]);
}

#[test]
fn revocation_answers_hold_at_their_own_times_and_have_to_be_about_every_certificate() {
    let Some(folder) = captured() else { return };
    let device = ["gpu_certificate_l2.b64", "gpu_certificate_l3.b64", "gpu_certificate_l4.b64"];
    let all = ocsp(&folder, &device);
    let judged = desk(DEVICE_SECS, &[], &all).judge(&golden(&folder));
    assert!(judged.of_gpu(CheckResult::Proved).contains(&"gpu0.ocsp"), "{:#?}", judged.0);
    assert_eq!(judged.of_gpu(CheckResult::Refuted), Vec::<&str>::new());
    assert_eq!(judged.of_gpu(CheckResult::Missing), Vec::<&str>::new());

    let stale = desk(RIM_SECS, &[], &all).judge(&golden(&folder));
    assert_eq!(stale.of_gpu(CheckResult::Refuted), ["gpu0.ocsp"; 3]);
    // Answers about another device's certificates: whoever brought them expected that device.
    let manifests = ocsp(&folder, &["gpu_rim_l2.b64"]);
    let foreign = desk(RIM_SECS, &[], &manifests).judge(&golden(&folder));
    assert!(foreign.checks(CheckResult::Missing).contains(&"ocsp0"), "{:#?}", foreign.0);
    let some = desk(DEVICE_SECS, &[], &all[..2]).judge(&golden(&folder));
    assert_eq!(some.of_gpu(CheckResult::Missing), ["gpu0.ocsp"]);

    let manifests =
        ["gpu_rim_l2.b64", "gpu_driver_rim_l3.b64", "gpu_driver_rim_l4.b64", "gpu_vbios_l4.b64"];
    let judged = desk(RIM_SECS, &rims(&folder), &ocsp(&folder, &manifests)).judge(&golden(&folder));
    let proved = judged.of_gpu(CheckResult::Proved);
    assert!(proved.contains(&"rim0.ocsp") && proved.contains(&"rim1.ocsp"), "{:#?}", judged.0);
    assert_eq!(judged.of_gpu(CheckResult::Refuted), Vec::<&str>::new());
    assert_eq!(judged.of_gpu(CheckResult::Missing), Vec::<&str>::new());
}

#[test]
fn nvidias_old_verdict_cannot_be_checked_with_todays_keys() {
    let Some(folder) = captured() else { return };
    let mut desk = desk(1_749_602_000, &[], &[]);
    let answer = folder.join("nvidia/h100_golden/nras_v4_claims3_detached_eat.json");
    let keys = desk.file("jwks.json", br#"{"keys":[]}"#);
    desk.options.nras = Some((answer, keys));
    let judged = desk.judge(&golden(&folder));
    assert!(judged.checks(CheckResult::Refuted).contains(&"nras"), "{:#?}", judged.0);
}
