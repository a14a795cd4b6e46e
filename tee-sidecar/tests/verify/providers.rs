//! Reports of other providers, as they are served.

use serde_json::{Value, json};
use tee_sidecar::attest::{Platform, choose_gpu};
use tee_sidecar::cli::Exit;
use tee_sidecar::config::GpuProvider;
use tee_sidecar::evidence::audit::CheckResult;
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::{Nonce32, ReportData};

use crate::support::{Desk, address, captured, root, set_quote};

/// The moment for which the result of NEAR's report is known.
const NEAR_SECS: u64 = 1_773_500_000;

fn near() -> Value {
    let document = std::fs::read(root().join("fixtures/near/near_report.json")).unwrap();
    serde_json::from_slice(&document).unwrap()
}

fn near_desk() -> Desk {
    let mut desk = Desk::strict();
    desk.options.at = Some(NEAR_SECS);
    let path = root().join("fixtures/tdx/tdx_quote_outdated_collateral.json");
    desk.options.collateral = Some(path);
    desk
}

#[test]
fn nears_report_of_eight_gpus_proves_offline_at_its_time() {
    let judged = near_desk().judge(&near());
    judged.proved();
    let proved = judged.checks(CheckResult::Proved);
    for check in ["quote.tcb", "report_data", "event_log", "gpu0.chain", "gpu7.fwid"] {
        let check = format!("model_attestations[0]: {check}");
        assert!(proved.contains(&check.as_str()), "{check}: {proved:?}");
    }
    assert!(!proved.iter().any(|check| check.contains("gpu8")));
}

/// As it was served: with the composition, and with the gateway's own report beside it.
#[test]
fn nears_whole_document_proves_its_composition_and_says_that_its_gateway_is_not_judged() {
    let Some(folder) = captured() else { return };
    let path = folder.join("reports/near_ecdsa_registry/near_report.json");
    let judged = near_desk().judge_bytes(&std::fs::read(path).unwrap());
    judged.proved();
    let proved = judged.checks(CheckResult::Proved);
    assert!(proved.contains(&"model_attestations[0]: compose"), "{proved:?}");
    let open = judged.checks(CheckResult::NotChecked);
    assert!(open.contains(&"gateway_attestation"), "{open:?}");
}

#[test]
fn nears_report_is_refuted_once_its_collateral_is_stale_and_by_any_foreign_nonce() {
    let mut desk = near_desk();
    desk.options.at = Some(NEAR_SECS + 30 * 86_400);
    desk.judge(&near()).refuted_by(&["model_attestations[0]: quote.tcb"]);
    let mut desk = near_desk();
    desk.options.nonce = Some(Nonce32::from_bytes([1; 32]));
    desk.judge(&near()).refuted_by(&["model_attestations[0]: nonce"]);
}

#[test]
fn without_collateral_the_platforms_state_is_missing() {
    let mut desk = near_desk();
    desk.options.collateral = None;
    let judged = desk.judge(&near());
    assert_eq!(judged.checks(CheckResult::Missing), ["model_attestations[0]: quote.tcb"]);
    assert_eq!(judged.exit(), Exit::Missing);
}

#[test]
fn one_gpu_of_eight_with_a_flipped_bit_refutes_the_report() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut document = near();
    let text = document["model_attestations"][0]["nvidia_payload"].as_str().unwrap();
    let mut gpus: Value = serde_json::from_str(text).unwrap();
    let evidence = gpus["evidence_list"][5]["evidence"].as_str().unwrap();
    let mut bytes = STANDARD.decode(evidence).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    gpus["evidence_list"][5]["evidence"] = Value::from(STANDARD.encode(bytes));
    document["model_attestations"][0]["nvidia_payload"] = Value::from(gpus.to_string());
    near_desk().judge(&document).refuted_by(&["model_attestations[0]: gpu5.signature"]);
}

#[test]
fn a_dstack_guests_own_answer_is_a_quote_of_no_key() {
    let Some(folder) = captured() else { return };
    let mut desk = Desk::strict();
    desk.options.at = Some(1_772_300_000);
    let path = folder.join("tdx/tdx_quote_outdated_collateral.json");
    desk.options.collateral = Some(path);
    let answer = std::fs::read(folder.join("tdx/dstack_getquote_report.json")).unwrap();
    let judged = desk.judge_bytes(&answer);
    assert_eq!(judged.exit(), Exit::Missing, "{:#?}", judged.0);
    assert_eq!(judged.checks(CheckResult::Refuted), Vec::<&str>::new());
    assert_eq!(judged.checks(CheckResult::Missing), ["report_data", "gpu"]);
    let proved = judged.checks(CheckResult::Proved);
    assert!(proved.contains(&"quote.tcb") && proved.contains(&"event_log"), "{proved:?}");
}

/// The form of 0G's broker: no nonce anywhere, the address inside the quote.
#[test]
fn a_0g_quote_proves_its_key_and_lacks_freshness() {
    let platform = SoftwarePlatform::new().unwrap();
    let quote = platform.quote_now(&ReportData::ascii_address(address())).unwrap();
    let mut report = json!({
        "event_log": quote.event_log,
        "vm_config": quote.vm_config,
        "tcb_info": platform.info()["tcb_info"].to_string(),
        "simulated": true,
    });
    set_quote(&mut report, &hex::encode(&quote.bytes));
    let gpus = choose_gpu(GpuProvider::Simulated, Platform::Simulated).unwrap();
    assert!(gpus.is_some());
    let mut desk = Desk::new().policy("{simulated: accept, gpu: {required: false}}");
    desk.options.nonce = None;
    let judged = desk.judge(&report);
    assert_eq!(judged.checks(CheckResult::Missing), ["nonce"], "{:#?}", judged.0);
    assert!(judged.checks(CheckResult::Proved).contains(&"report_data"));
    assert!(judged.checks(CheckResult::Proved).contains(&"compose"));
    assert_eq!(judged.exit(), Exit::Missing);
}

#[test]
fn what_is_no_report_is_malformed() {
    for document in [
        &b""[..],
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"\xff\xfe",
        br#"{"intel_quote": "zz"}"#,
        br#"{"intel_quote": 7}"#,
        br#"{"intel_quote": "00", "intel_quote": "00"}"#,
        br#"{"intel_quote": "00", "quote": "01"}"#,
        br#"{"model_attestations": [7]}"#,
        br#"{"intel_quote": "00", "request_nonce": "12"}"#,
        br#"{"intel_quote": "00", "nvidia_payload": "{}"}"#,
    ] {
        let judged = Desk::strict().judge_bytes(document);
        let shown = String::from_utf8_lossy(document);
        assert_eq!(judged.exit(), Exit::Malformed, "{shown}: {:?}", judged.0);
    }
    let empty = Desk::strict().judge_bytes(br#"{"intel_quote": ""}"#);
    assert_eq!(empty.exit(), Exit::Missing);
}
