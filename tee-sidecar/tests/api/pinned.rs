//! The end of the ledger in a saved report: what an auditor holds the ledger to, months later.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{Engine, MODEL, Process, Step, get, nonce, post, recover, whole};

const CHAT: &str = "/v1/chat/completions";

fn engine() -> Engine {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))])
}

fn chat(process: &Process) {
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    assert_eq!(post(process.addr, CHAT, &[], &request).status, 200);
}

fn report(process: &Process, n: u64) -> Value {
    get(process.addr, &format!("/v1/attestation/report?nonce={}", nonce(n)), &[]).json()
}

fn keep(folder: &Path, name: &str, report: &Value) -> String {
    let path = folder.join(name);
    std::fs::write(&path, report.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_report_pins_the_ledger_and_a_cut_off_or_other_one_is_refuted() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let mut process = Process::start(folder.path(), &engine, "");
    chat(&process);
    let early = report(&process, 1);
    // The cover of the open account, a hold and its fee.
    assert_eq!(early["ledger_head"]["entries"], 3, "{early}");
    chat(&process);
    assert!(process.terminate().success());
    // With its log: a reader that the end of the process cut short leaves it behind.
    let log = folder.path().join("ledger.db-wal");
    let old_copy = [&ledger, &log].map(|file| std::fs::read(file).unwrap_or_default());
    let process_again = Process::start(folder.path(), &engine, "");
    chat(&process_again);
    let late = report(&process_again, 2);
    let (early_file, late_file) =
        (keep(folder.path(), "early.json", &early), keep(folder.path(), "late.json", &late));
    for file in [&early_file, &late_file] {
        let audit = process_again.run(&["ledger", "audit", "--report", file]);
        assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
        assert!(said(&audit).contains("report: goes on from the"), "{}", said(&audit));
    }
    drop(process_again);
    // The host puts the copy of before back: the audit alone is clean, and the report is not.
    std::fs::remove_file(folder.path().join("ledger.db-shm")).ok();
    for (file, bytes) in [&ledger, &log].into_iter().zip(old_copy) {
        std::fs::write(file, bytes).unwrap();
    }
    assert_eq!(process.run(&["ledger", "audit"]).status.code(), Some(0));
    let kept = process.run(&["ledger", "audit", "--report", &early_file]);
    assert_eq!(kept.status.code(), Some(0), "{}", said(&kept));
    let cut = process.run(&["ledger", "audit", "--report", &late_file]);
    assert_eq!(cut.status.code(), Some(10), "{}", said(&cut));
    assert!(said(&cut).contains("entries were cut off"), "{}", said(&cut));
    // It goes on from there, and grows as long: another ledger under the same numbers.
    let process = Process::start(folder.path(), &engine, "");
    chat(&process);
    chat(&process);
    let other = process.run(&["ledger", "audit", "--report", &late_file]);
    assert_eq!(other.status.code(), Some(10), "{}", said(&other));
    assert!(said(&other).contains("entries were changed since"), "{}", said(&other));
}

/// What an auditor says who chose the nonce `n`.
fn verdict(folder: &Path, report: &Value, n: Option<u64>) -> String {
    let file = keep(folder, "kept.json", report);
    std::fs::write(folder.join("policy.yaml"), "simulated: accept\n").unwrap();
    let mut auditor = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    auditor.args(["verify", "report", &file, "--policy"]).arg(folder.join("policy.yaml"));
    auditor.args(n.map(|n| format!("--nonce={}", nonce(n))));
    said(&auditor.output().unwrap())
}

/// Every copy in the document has to be the same, so all of them are changed.
fn forged(report: &Value, change: &dyn Fn(&mut Value)) -> Value {
    let mut forged = report.clone();
    change(&mut forged["ledger_head"]);
    let changed = forged["ledger_head"].clone();
    forged["all_attestations"][0]["ledger_head"] = changed;
    forged
}

#[test]
fn an_old_head_in_a_new_report_is_refuted() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    chat(&process);
    let old = report(&process, 1);
    let for_all = get(process.addr, "/v1/attestation/report", &[]).json();
    chat(&process);
    let new = report(&process, 2);
    let with = |other: &Value| forged(&new, &|head| *head = other["ledger_head"].clone());
    let auditor = |report: &Value, n| verdict(folder.path(), report, n);
    let audit = |report: &Value| {
        let file = keep(folder.path(), "kept.json", report);
        process.run(&["ledger", "audit", "--report", &file]).status.code()
    };
    assert!(auditor(&new, Some(2)).contains("proved       ledger_head"), "{new}");
    // The host shows the ledger as it was, under the attested key's own signature.
    for n in [Some(2), None] {
        let told = auditor(&with(&old), n);
        assert!(told.contains("REFUTED      ledger_head"), "{told}");
        assert!(told.contains("another nonce"), "{told}");
    }
    assert_eq!(audit(&with(&old)), Some(10));
    // A head for everybody is of any age: it says nothing to who chose a nonce.
    assert_eq!(for_all["ledger_head"]["nonce"], Value::Null, "{for_all}");
    let told = auditor(&with(&for_all), Some(2));
    assert!(told.contains("REFUTED      ledger_head"), "{told}");
    let told = auditor(&for_all, None);
    assert!(told.contains("proved       ledger_head"), "{told}");
    assert!(told.contains("for everybody and so of any age"), "{told}");
    assert_eq!(audit(&for_all), Some(0));
}

#[test]
fn the_head_is_signed_by_the_attested_key_and_the_auditor_says_so() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    chat(&process);
    let report = report(&process, 1);
    let head = &report["ledger_head"];
    let text = format!(
        "tee-sidecar.ledger-head.v1:{}:0:{}:{}:{}",
        head["entries"],
        head["head"].as_str().unwrap(),
        nonce(1),
        head["at"]
    );
    assert_eq!((&head["unlinked"], &head["nonce"]), (&0.into(), &report["request_nonce"]));
    assert_eq!(head["signing_address"], report["signing_address"]);
    let signed = serde_json::json!({ "text": text, "signature": head["signature"] });
    assert_eq!(recover(&signed), report["signing_address"].as_str().unwrap());
    assert_eq!(report["all_attestations"][0]["ledger_head"], *head);

    let verdict = |report: &Value| verdict(folder.path(), report, Some(1));
    let proved = verdict(&report);
    assert!(proved.contains("proved       ledger_head"), "{proved}");
    let forged = |change: &dyn Fn(&mut Value)| forged(&report, change);
    let moved = forged(&|head| head["entries"] = 2.into());
    let hidden = forged(&|head| head["unlinked"] = 1.into());
    assert!(verdict(&hidden).contains("REFUTED      ledger_head"), "{}", verdict(&hidden));
    assert!(verdict(&moved).contains("REFUTED      ledger_head"), "{}", verdict(&moved));
    let unnamed = forged(&|head| {
        head["entries"] = 2.into();
        head.as_object_mut().unwrap().remove("signing_address");
    });
    assert!(verdict(&unnamed).contains("REFUTED      ledger_head"), "{}", verdict(&unnamed));
    let none = forged(&|head| *head = Value::Null);
    assert!(verdict(&none).contains("not checked  ledger_head"), "{}", verdict(&none));

    let file = keep(folder.path(), "moved.json", &moved);
    let code = |file: &str| process.run(&["ledger", "audit", "--report", file]).status.code();
    assert_eq!(code(&file), Some(10));
    assert_eq!(code(&keep(folder.path(), "none.json", &none)), Some(20));
    assert_eq!(code("/nowhere/report.json"), Some(20));
}
