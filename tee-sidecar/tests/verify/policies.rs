//! What a policy file may ask for.

use serde_json::Value;
use tee_sidecar::auditor::Failure;
use tee_sidecar::cli::Exit;
use tee_sidecar::evidence::audit::CheckResult;

use crate::support::{Desk, report};

fn accepting(rules: &str) -> Desk {
    Desk::new().policy(&format!("simulated: accept\n{rules}"))
}

#[test]
fn measurements_that_the_policy_names_are_proved_and_others_refused() {
    let report = report(None);
    let tcb = &report["info"]["tcb_info"];
    let (mrtd, rtmr2) = (tcb["mrtd"].as_str().unwrap(), tcb["rtmr2"].as_str().unwrap());
    let hash = tcb["compose_hash"].as_str().unwrap();
    let other = "ab".repeat(48);
    let rules = format!(
        "td: {{mrtd: ['{other}', '{}'], rtmr2: ['{rtmr2}'], composeHash: ['{hash}']}}",
        mrtd.to_uppercase()
    );
    let judged = accepting(&rules).judge(&report);
    judged.proved();
    let proved = judged.checks(CheckResult::Proved);
    for check in ["td.mrtd", "td.rtmr2", "compose.policy"] {
        assert!(proved.contains(&check), "{proved:?}");
    }
    for (rules, check) in [
        (format!("td: {{mrtd: ['{other}']}}"), "td.mrtd"),
        (format!("td: {{rtmr0: ['{other}']}}"), "td.rtmr0"),
        (format!("td: {{composeHash: ['{}']}}", "ab".repeat(32)), "compose.policy"),
        ("gpu: {driverVersions: ['1.0']}".to_owned(), "gpu0.driver"),
        ("gpu: {vbiosVersions: ['1.0']}".to_owned(), "gpu0.vbios"),
    ] {
        accepting(&rules).judge(&report).refuted_by(&[check]);
    }
}

#[test]
fn what_the_policy_requires_and_nobody_gave_is_missing() {
    let report = report(None);
    for (rules, check) in [
        ("gpu: {rim: required}", "gpu0.rim"),
        ("gpu: {ocsp: required}", "gpu0.ocsp"),
        ("nras: required", "nras"),
    ] {
        let judged = accepting(rules).judge(&report);
        assert_eq!(judged.checks(CheckResult::Missing), [check], "{:#?}", judged.0);
        assert_eq!(judged.exit(), Exit::Missing);
    }
}

#[test]
fn a_machine_without_gpus_needs_the_policys_permission() {
    let mut report = report(None);
    for payload in [Value::Null, Value::from("")] {
        report["nvidia_payload"] = payload;
        let judged = Desk::new().judge(&report);
        assert_eq!(judged.checks(CheckResult::Missing), ["gpu"]);
        accepting("gpu: {required: false}").judge(&report).proved();
    }
}

#[test]
fn a_composition_that_the_policy_names_needs_an_event_that_proves_it() {
    let mut report = report(None);
    report["event_log"] = Value::from("[]");
    let judged = Desk::new().judge(&report);
    assert_eq!(judged.checks(CheckResult::Missing), ["compose"]);
    report["info"]["tcb_info"].as_object_mut().unwrap().remove("app_compose");
    Desk::new().judge(&report).proved();
    let rules = format!("td: {{composeHash: ['{}']}}", "ab".repeat(32));
    let judged = accepting(&rules).judge(&report);
    assert_eq!(judged.checks(CheckResult::Missing), ["compose.policy"]);
}

#[test]
fn a_policy_that_means_nothing_is_refused_by_name() {
    for (policy, named) in [
        ("gpu: {requird: true}", "requird"),
        ("tcb: {accept: [Fine]}", "tcb.accept"),
        ("simulated: maybe", "simulated"),
        ("nras: 7", "nras"),
        ("[", "policy"),
    ] {
        let judged = Desk::new().policy(policy).judge(&report(None));
        assert_eq!(judged.exit(), Exit::Usage, "{policy}");
        let Err(Failure::Usage(message)) = judged.0 else { panic!("{policy}") };
        assert!(message.contains(named), "{message}");
    }
}
