//! Captured evidence of NVIDIA's devices, each with the result that is known of it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::Nonce32;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{Desk, Judged, captured, gpu_report};

#[test]
fn gpus_of_both_generations_prove_all_that_is_asked_of_them() {
    let Some(folder) = captured() else { return };
    for (name, arch) in [("h100_580", "HOPPER"), ("gb100_575", "BLACKWELL")] {
        let (evidence, chain) = saved(&folder, name);
        all_proved(&desk().judge(&gpu_report(arch, &evidence, &chain)), name);
    }
    let (evidence, chain) = listed(&folder, "hopper_evidence.json");
    assert_eq!(hex::encode(&evidence[4..36]), PPCIE_NONCE);
    all_proved(&desk().judge(&gpu_report("HOPPER", &evidence, &chain)), "hopper_evidence");
}

#[test]
fn an_old_report_without_firmware_identity_is_said_to_have_none() {
    let Some(folder) = captured() else { return };
    let (evidence, chain) = saved(&folder, "h100_535");
    let judged = desk().judge(&gpu_report("HOPPER", &evidence, &chain));
    nothing_wrong(&judged, "h100_535");
    assert!(judged.of_gpu(CheckResult::NotChecked).contains(&"gpu0.fwid"), "{:#?}", judged.0);
    let proved = judged.of_gpu(CheckResult::Proved);
    assert_eq!(proved, ["gpu0.nonce", "gpu0.signature", "gpu0.chain", "gpu0.arch"]);
}

#[test]
fn a_gpu_presented_as_another_generation_is_refused() {
    let Some(folder) = captured() else { return };
    for (name, arch) in [("h100_580", "BLACKWELL"), ("gb100_575", "HOPPER")] {
        let (evidence, chain) = saved(&folder, name);
        let judged = desk().judge(&gpu_report(arch, &evidence, &chain));
        assert_eq!(judged.of_gpu(CheckResult::Refuted), ["gpu0.arch"], "{name}: {:#?}", judged.0);
    }
}

#[test]
fn a_switch_is_no_gpu_whatever_it_is_called() {
    let Some(folder) = captured() else { return };
    let (evidence, chain) = listed(&folder, "switch_evidence_ls10.json");
    for (arch, check) in [("HOPPER", "gpu0.arch"), ("BLACKWELL", "gpu0.arch"), ("LS10", "gpu.arch")]
    {
        let judged = desk().judge(&gpu_report(arch, &evidence, &chain));
        let refuted = judged.of_gpu(CheckResult::Refuted);
        assert!(refuted.contains(&check), "{arch}: {:#?}", judged.0);
        assert_eq!(judged.exit(), Exit::Refuted);
    }
}

#[test]
fn a_report_under_the_certificates_of_another_device_is_not_signed() {
    let Some(folder) = captured() else { return };
    let bad = unhexed(&folder.join("nvidia/negative/h100_bad_signature.hex"));
    let (_, chain) = saved(&folder, "h100_535");
    let judged = desk().judge(&gpu_report("HOPPER", &bad, &chain));
    let refuted = judged.of_gpu(CheckResult::Refuted);
    assert!(refuted.contains(&"gpu0.signature"), "{:#?}", judged.0);

    let (evidence, _) = saved(&folder, "h100_580");
    let judged = desk().judge(&gpu_report("HOPPER", &evidence, &chain));
    let refuted = judged.of_gpu(CheckResult::Refuted);
    assert!(refuted.contains(&"gpu0.signature"), "{:#?}", judged.0);
}

#[test]
fn one_flipped_bit_of_what_is_signed_or_of_the_signature_breaks_the_signature() {
    let Some(folder) = captured() else { return };
    for (name, arch) in [("h100_580", "HOPPER"), ("gb100_575", "BLACKWELL")] {
        let (evidence, chain) = saved(&folder, name);
        // The version that is asked for, and the signature's last byte.
        for (position, check) in [(36, "gpu0"), (evidence.len() - 1, "gpu0.signature")] {
            let mut flipped = evidence.clone();
            flipped[position] ^= 1;
            let judged = desk().judge(&gpu_report(arch, &flipped, &chain));
            let wrong = [CheckResult::Refuted, CheckResult::Malformed].map(|r| judged.of_gpu(r));
            let wrong = wrong.concat();
            assert!(wrong.iter().any(|one| one.starts_with(check)), "{name}: {:#?}", judged.0);
        }
    }
}

#[test]
fn evidence_of_another_nonce_than_the_auditors_is_refused() {
    let Some(folder) = captured() else { return };
    let (evidence, chain) = saved(&folder, "gb100_575");
    let mut report = gpu_report("BLACKWELL", &evidence, &chain);
    let own = Nonce32::from_bytes([3; 32]);
    report["request_nonce"] = Value::from(own.to_string());
    let mut desk = desk();
    desk.options.nonce = Some(own);
    let judged = desk.judge(&report);
    let refuted = judged.of_gpu(CheckResult::Refuted);
    assert_eq!(refuted, ["gpu.nonce", "gpu0.nonce"], "{:#?}", judged.0);
}

fn desk() -> Desk {
    let mut desk = Desk::strict();
    desk.options.at = Some(DEVICE_CHAIN_SECS);
    desk
}

fn all_proved(judged: &Judged, name: &str) {
    nothing_wrong(judged, name);
    let checks = ["nonce", "signature", "chain", "arch", "fwid"].map(|what| format!("gpu0.{what}"));
    assert_eq!(judged.of_gpu(CheckResult::Proved), checks, "{name}");
}

fn nothing_wrong(judged: &Judged, name: &str) {
    for result in [CheckResult::Refuted, CheckResult::Missing, CheckResult::Malformed] {
        assert_eq!(judged.of_gpu(result), Vec::<&str>::new(), "{name}: {:#?}", judged.0);
    }
}

/// A report in hex, and its chain.
fn saved(folder: &Path, name: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = folder.join("nvidia/evidence");
    let chain = std::fs::read(folder.join(format!("{name}_chain.pem"))).unwrap();
    (unhexed(&folder.join(format!("{name}_report.hex"))), chain)
}

fn unhexed(path: &Path) -> Vec<u8> {
    hex::decode(std::fs::read_to_string(path).unwrap().trim()).unwrap()
}

/// The one entry of a list as NVIDIA's tools write it.
fn listed(folder: &Path, name: &str) -> (Vec<u8>, Vec<u8>) {
    let text = std::fs::read(folder.join("nvidia/evidence").join(name)).unwrap();
    let list: Value = serde_json::from_slice(&text).unwrap();
    let field = |field: &str| STANDARD.decode(list[0][field].as_str().unwrap()).unwrap();
    (field("evidence"), field("certificate"))
}

/// The moment for which the results of all device chains are known.
const DEVICE_CHAIN_SECS: u64 = 1_761_307_200;

/// What the GPU of `hopper_evidence.json` signed.
const PPCIE_NONCE: &str = "e97b23a1718095a0e9e35edca810768c70a6a5a389b705e753b197912bc11576";
