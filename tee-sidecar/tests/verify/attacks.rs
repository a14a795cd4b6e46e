//! The attack table: a report that proves, one thing changed, and the check that has to notice.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use broker_core::Address;
use serde_json::{Value, json};
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;
use tee_sidecar::evidence::nvidia::Architecture;
use tee_sidecar::evidence::simulator::{Knobs, SoftwareGpu};
use tee_sidecar::evidence::tdx::TcbStatus;
use tee_sidecar::evidence::{Binding, Nonce32, ReportData};

use crate::support::{
    Desk, NONCE, NOW_SECS, address, item, nonce, payload, quote_of, report, root, set_payload,
    set_quote,
};

type Edit = fn(&mut Value);

fn right_data() -> ReportData {
    ReportData::ecdsa_and_nonce(address(), &nonce())
}

fn other_nonce() -> Nonce32 {
    Nonce32::from_bytes([9; 32])
}

#[test]
fn without_an_attack_both_bindings_prove() {
    for binding in [None, Some("v2")] {
        let judged = Desk::new().judge(&report(binding));
        judged.proved();
        assert_eq!(judged.checks(CheckResult::Malformed), Vec::<&str>::new());
    }
}

#[test]
fn simulated_evidence_is_refused_unless_it_is_allowed() {
    let mut desk = Desk::new().policy("{}");
    desk.judge(&report(None)).refuted_by(&["simulated"]);
    desk.options.policy = None;
    desk.judge(&report(None)).refuted_by(&["simulated"]);
}

#[test]
fn simulated_evidence_that_denies_it_ends_at_no_root_that_counts() {
    let mut report = report(None);
    report.as_object_mut().unwrap().remove("simulated");
    let judged = Desk::new().judge(&report);
    assert_eq!(judged.exit(), Exit::Refuted);
    let refuted = judged.checks(CheckResult::Refuted);
    assert!(refuted.contains(&"quote.signature") && refuted.contains(&"gpu0.chain"), "{refuted:?}");
}

#[test]
fn a_forged_or_swapped_key_is_not_the_quotes() {
    let mut report = report(None);
    report["signing_address"] = Value::from(Address([0xab; 20]).to_string());
    Desk::new().judge(&report).refuted_by(&["signing_public_key", "report_data"]);
    report.as_object_mut().unwrap().remove("signing_public_key");
    Desk::new().judge(&report).refuted_by(&["report_data"]);
}

#[test]
fn a_public_key_of_another_address_is_noticed() {
    let mut report = report(None);
    report["signing_public_key"] = Value::from("07".repeat(64));
    Desk::new().judge(&report).refuted_by(&["signing_public_key"]);
}

#[test]
fn a_replayed_report_answers_another_nonce() {
    let mut desk = Desk::new();
    desk.options.nonce = Some(other_nonce());
    desk.judge(&report(None)).refuted_by(&["nonce"]);
    desk.judge(&report(Some("v2"))).refuted_by(&["nonce"]);
}

#[test]
fn a_replayed_quote_under_the_right_nonce_is_noticed() {
    let mut replayed = report(None);
    let stale = ReportData::ecdsa_and_nonce(address(), &other_nonce());
    set_quote(&mut replayed, &quote_of(Knobs::default(), &stale).0);
    Desk::new().judge(&replayed).refuted_by(&["report.report_data", "report_data"]);
}

#[test]
fn another_machines_quote_binds_another_key() {
    let mut relayed = report(None);
    let theirs = ReportData::ecdsa_and_nonce(Address([3; 20]), &nonce());
    set_quote(&mut relayed, &quote_of(Knobs::default(), &theirs).0);
    Desk::new().judge(&relayed).refuted_by(&["report.report_data", "report_data"]);
}

#[test]
fn gpu_evidence_of_another_moment_is_noticed() {
    let mut stale = report(None);
    let mut gpus = payload(&stale);
    let gpu = SoftwareGpu::new(Architecture::Hopper).unwrap();
    gpus["evidence_list"] = json!([item(&gpu.evidence(&other_nonce()).unwrap())]);
    set_payload(&mut stale, &gpus);
    Desk::new().judge(&stale).refuted_by(&["gpu0.nonce"]);
}

/// The weakness of the common layout, and what the own binding is for: a genuine GPU elsewhere can
/// answer the nonce.
#[test]
fn another_gpus_fresh_evidence_passes_the_common_layout_and_not_the_own_binding() {
    let gpu = SoftwareGpu::new(Architecture::Blackwell).unwrap();
    let swapped = |report: &Value, nonce: &Nonce32| {
        let mut swapped = report.clone();
        let evidence = json!([item(&gpu.evidence(nonce).unwrap())]);
        let list = json!({"nonce": nonce, "evidence_list": evidence, "arch": "BLACKWELL"});
        set_payload(&mut swapped, &list);
        swapped
    };
    Desk::new().judge(&swapped(&report(None), &nonce())).proved();

    let bound = report(Some("v2"));
    let key = hex::decode(bound["signing_public_key"].as_str().unwrap()).unwrap();
    let derived = Binding::gpu_nonce(&key, &nonce());
    Desk::new().judge(&swapped(&bound, &derived)).refuted_by(&["report_data", "binding"]);
    let plain = Desk::new().judge(&swapped(&bound, &nonce()));
    plain.refuted_by(&["report_data", "binding", "gpu.nonce", "gpu0.nonce"]);
}

#[test]
fn a_binding_that_is_taken_out_or_edited_is_noticed() {
    let mut edited = report(Some("v2"));
    edited["binding"]["model_sha256"] = Value::Null;
    Desk::new().judge(&edited).refuted_by(&["report_data"]);
    for (field, value) in [
        ("version", "v3".to_owned()),
        ("algorithm", "ed25519".to_owned()),
        ("gpu_nonce", NONCE.to_owned()),
        ("nvidia_payload_sha256", "00".repeat(32)),
    ] {
        let mut edited = report(Some("v2"));
        edited["binding"][field] = Value::from(value);
        Desk::new().judge(&edited).refuted_by(&["binding"]);
    }
    let mut renamed = report(Some("v2"));
    renamed["model_name"] = Value::from("a better model");
    Desk::new().judge(&renamed).refuted_by(&["binding"]);
    edited.as_object_mut().unwrap().remove("binding");
    let judged = Desk::new().judge(&edited);
    assert!(judged.checks(CheckResult::Refuted).contains(&"report_data"));
}

#[test]
fn edited_report_json_is_noticed_wherever_a_reader_might_look() {
    let edits: [(&str, Edit); 9] = [
        ("report.report_data", |r| r["report_data"] = Value::from("00".repeat(64))),
        ("report.tcb_info", |r| r["info"]["tcb_info"]["mrtd"] = Value::from("00".repeat(48))),
        ("report.tcb_info", |r| r["info"]["tcb_info"]["rtmr3"] = Value::from("00".repeat(48))),
        ("compose", |r| r["info"]["tcb_info"]["app_compose"] = Value::from("{}")),
        ("report.info", |r| r["info"]["compose_hash"] = Value::from("00".repeat(32))),
        ("report.info", |r| r["info"]["tcb_info"]["compose_hash"] = Value::from("00")),
        ("report.info", |r| r["info"]["app_id"] = Value::from("00".repeat(20))),
        ("report.tcb_info", |r| r["tcb_info"] = json!({"mrtd": "00".repeat(48)})),
        ("report_data", |r| r["tls_cert_fingerprint"] = Value::from("00".repeat(32))),
    ];
    for (check, edit) in edits {
        let mut report = report(None);
        edit(&mut report);
        let judged = Desk::new().judge(&report);
        assert_eq!(judged.exit(), Exit::Refuted, "{check}");
        assert!(judged.checks(CheckResult::Refuted).contains(&check), "{:#?}", judged.0);
    }
}

#[test]
fn an_edited_copy_under_all_attestations_has_to_hold_too() {
    let mut document = report(None);
    let mut copy = document.clone();
    copy["signing_address"] = Value::from(Address([0xab; 20]).to_string());
    document["all_attestations"] = json!([document.clone(), copy]);
    Desk::new().judge(&document).refuted_by(&[
        "all_attestations[1]: signing_public_key",
        "all_attestations[1]: report_data",
    ]);
}

#[test]
fn an_event_log_that_was_edited_does_not_replay() {
    let mut report = report(None);
    let log = report["event_log"].as_str().unwrap();
    let mut events: Value = serde_json::from_str(log).unwrap();
    events.as_array_mut().unwrap().pop();
    report["event_log"] = Value::from(events.to_string());
    let judged = Desk::new().judge(&report);
    assert_eq!(judged.checks(CheckResult::Refuted), ["event_log"]);
}

#[test]
fn a_debug_td_is_refused() {
    let mut debug = report(None);
    let knobs = Knobs { debug: true, ..Knobs::default() };
    set_quote(&mut debug, &quote_of(knobs, &right_data()).0);
    Desk::new().judge(&debug).refuted_by(&["td.debug", "quote.tcb"]);
}

#[test]
fn outdated_and_revoked_platforms_are_refused() {
    for tcb_status in [TcbStatus::OutOfDate, TcbStatus::Revoked] {
        let knobs = Knobs { tcb_status, ..Knobs::default() };
        let mut outdated = report(None);
        let (quote, collateral) = quote_of(knobs, &right_data());
        set_quote(&mut outdated, &quote);
        Desk::new().collateral(&collateral).judge(&outdated).refuted_by(&["quote.tcb"]);
        let policy = format!("simulated: accept\ntcb: {{accept: [UpToDate, {tcb_status}]}}");
        let allowed = Desk::new().collateral(&collateral).policy(&policy).judge(&outdated);
        if tcb_status == TcbStatus::Revoked {
            allowed.refuted_by(&["quote.tcb"]);
        } else {
            allowed.proved();
        }
    }
}

#[test]
fn expired_collateral_is_refused() {
    let mut desk = Desk::new();
    desk.options.at = Some(4_100_000_000);
    let judged = desk.judge(&report(None));
    assert_eq!(judged.exit(), Exit::Refuted);
    assert!(judged.checks(CheckResult::Refuted).contains(&"quote.tcb"));

    // A real quote and its own collateral, a year later.
    let mut report = report(None);
    let quote = std::fs::read(root().join("fixtures/tdx/tdx_quote.bin")).unwrap();
    set_quote(&mut report, &hex::encode(quote));
    report.as_object_mut().unwrap().remove("simulated");
    let mut desk = Desk::strict();
    desk.options.collateral = Some(root().join("fixtures/tdx/tdx_quote_collateral.json"));
    for (at, stale) in [(1_751_630_400, false), (NOW_SECS, true)] {
        desk.options.at = Some(at);
        let judged = desk.judge(&report);
        let refuted = judged.checks(CheckResult::Refuted);
        assert_eq!(refuted.contains(&"quote.tcb"), stale, "{:#?}", judged.0);
    }
}

#[test]
fn an_sgx_quote_is_no_tdx_quote() {
    let mut report = report(None);
    let quote = std::fs::read(root().join("fixtures/tdx/sgx_quote.bin")).unwrap();
    set_quote(&mut report, &hex::encode(quote));
    Desk::new().judge(&report).refuted_by(&["quote"]);
}

#[test]
fn a_self_signed_gpu_root_is_refused() {
    // Everything but the GPU's root is NVIDIA's business: the same evidence beside a real report.
    let document = std::fs::read(root().join("fixtures/near/near_report.json")).unwrap();
    let document: Value = serde_json::from_slice(&document).unwrap();
    let mut report = document["model_attestations"][0].clone();
    let nonce = Nonce32::parse(report["request_nonce"].as_str().unwrap()).unwrap();
    let gpu = SoftwareGpu::new(Architecture::Hopper).unwrap();
    let mut gpus = payload(&report);
    gpus["evidence_list"] = json!([item(&gpu.evidence(&nonce).unwrap())]);
    set_payload(&mut report, &gpus);
    let mut desk = Desk::strict();
    desk.options.at = Some(1_773_500_000);
    let path = root().join("fixtures/tdx/tdx_quote_outdated_collateral.json");
    desk.options.collateral = Some(path);
    desk.judge(&report).refuted_by(&["gpu0.chain"]);
}

#[test]
fn gpus_of_mixed_or_lying_architectures_are_refused() {
    let [hopper, blackwell] = [Architecture::Hopper, Architecture::Blackwell]
        .map(|arch| item(&SoftwareGpu::new(arch).unwrap().evidence(&nonce()).unwrap()));
    let list = |arch: &str, items: Vec<Value>| {
        let mut spoiled = report(None);
        let list = json!({"nonce": NONCE, "evidence_list": items, "arch": arch});
        set_payload(&mut spoiled, &list);
        Desk::new().judge(&spoiled)
    };
    list("HOPPER", vec![hopper.clone(), blackwell.clone()]).refuted_by(&["gpu.arch"]);
    list("LS10", vec![hopper.clone()]).refuted_by(&["gpu.arch"]);
    // A label that lies.
    let mut mislabelled = blackwell;
    mislabelled["arch"] = Value::from("HOPPER");
    let judged = list("HOPPER", vec![mislabelled]);
    assert!(judged.checks(CheckResult::Refuted).contains(&"gpu0.arch"), "{:#?}", judged.0);
    // One GPU as two.
    list("HOPPER", vec![hopper.clone(), hopper]).refuted_by(&["gpu1"]);
}

#[test]
fn changed_gpu_evidence_is_refused() {
    let mut spoiled = report(None);
    let mut gpus = payload(&spoiled);
    let evidence = gpus["evidence_list"][0]["evidence"].as_str().unwrap();
    let mut bytes = STANDARD.decode(evidence).unwrap();
    bytes[120] ^= 1;
    gpus["evidence_list"][0]["evidence"] = Value::from(STANDARD.encode(&bytes));
    set_payload(&mut spoiled, &gpus);
    let judged = Desk::new().judge(&spoiled);
    assert!(judged.checks(CheckResult::Refuted).contains(&"gpu0.signature"), "{:#?}", judged.0);
    // Cut off: malformed, not a pass.
    gpus["evidence_list"][0]["evidence"] = Value::from(STANDARD.encode(&bytes[..500]));
    set_payload(&mut spoiled, &gpus);
    let judged = Desk::new().judge(&spoiled);
    assert_eq!(judged.checks(CheckResult::Malformed), ["gpu0"]);
    assert_eq!(judged.exit(), Exit::Malformed);
}

#[test]
fn nras_tokens_that_nobody_can_check_are_refused() {
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = part(json!({"x-nvidia-overall-att-result": true, "eat_nonce": NONCE}));
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "none", "kid": "known"}),
        json!({"alg": "HS256", "kid": "known"}),
        json!({"alg": "ES384", "kid": "unknown"}),
    ] {
        let token = format!("{}.{claims}.{}", part(header.clone()), "A".repeat(128));
        let mut desk = Desk::new();
        let answer = json!([["JWT", token], {"GPU-0": token}]).to_string();
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-384", "kid": "known",
            "x": URL_SAFE_NO_PAD.encode([1; 48]), "y": URL_SAFE_NO_PAD.encode([2; 48]),
        }]});
        let answer = desk.file("nras.json", answer.as_bytes());
        let keys = desk.file("jwks.json", keys.to_string().as_bytes());
        desk.options.nras = Some((answer, keys));
        let judged = desk.judge(&report(None));
        assert_eq!(judged.checks(CheckResult::Refuted), ["nras"], "{header}: {:#?}", judged.0);
    }
}

/// What a reader of the flat shape would take from the top of the document.
#[test]
fn a_top_without_a_quote_is_a_report_that_lacks_one() {
    for field in ["signing_address", "nvidia_payload", "request_nonce"] {
        let genuine = report(None);
        let document = json!({field: genuine[field], "all_attestations": [genuine]});
        let judged = Desk::new().judge(&document);
        assert_ne!(judged.exit(), Exit::Done, "{field}: {:#?}", judged.0);
        assert!(judged.checks(CheckResult::Missing).contains(&"quote"));
    }
}

#[test]
fn lists_that_are_none_and_compositions_that_differ_are_malformed() {
    let mut document = report(None);
    document["model_attestations"] = json!({"0": "evil"});
    assert_eq!(Desk::new().judge(&document).exit(), Exit::Malformed);
    let mut document = report(None);
    document["tcb_info"] = json!({"app_compose": "another"});
    assert_eq!(Desk::new().judge(&document).exit(), Exit::Malformed);
}

#[test]
fn an_address_cannot_pass_as_an_ed25519_key() {
    let mut relabelled = report(None);
    relabelled["signing_algo"] = Value::from("ed25519");
    let key = format!("{}{}", hex::encode(address().0), "00".repeat(12));
    relabelled["signing_address"] = Value::from(key);
    relabelled.as_object_mut().unwrap().remove("signing_public_key");
    Desk::new().judge(&relabelled).refuted_by(&["report_data"]);
}

#[test]
fn a_node_with_fewer_gpus_than_asked_for_is_refused() {
    let policy = |count: usize| format!("simulated: accept\ngpu: {{count: {count}}}");
    Desk::new().policy(&policy(1)).judge(&report(None)).proved();
    Desk::new().policy(&policy(8)).judge(&report(None)).refuted_by(&["gpu.count"]);
}

#[test]
fn text_of_the_one_under_audit_cannot_write_to_the_terminal() {
    let mut document = report(None);
    let mut gpus = payload(&document);
    gpus["arch"] = Value::from("\u{1b}[2J\u{202e}HOPPER\n");
    gpus["evidence_list"][0]["arch"] = gpus["arch"].clone();
    set_payload(&mut document, &gpus);
    let judged = Desk::new().judge(&document);
    judged.refuted_by(&["gpu.arch"]);
    let findings = &judged.0.unwrap().findings;
    let clean = |text: &str| !text.contains(['\u{1b}', '\u{202e}', '\n']);
    assert!(findings.iter().all(|finding| clean(&finding.detail)));
}
