//! A receipt and what its host kept of it, years later.

use serde_json::Value;

use crate::support::{Engine, MODEL, Process, Step, get, post, wait_until, whole};

const YEARS: u64 = 20 * 365 * 24 * 60 * 60;

/// The answer to a receipt's id once it has its place in the log.
fn placed(process: &Process, id: &str) -> Value {
    let ask = || get(process.addr, &format!("/v1/receipts/{id}"), &[]).json();
    wait_until("a place in the log", std::time::Duration::from_secs(20), || {
        !ask()["inclusion"].is_null()
    });
    ask()
}

#[test]
fn a_receipt_is_proved_years_later_by_the_report_that_its_host_kept() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    let engine = Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let folder = tempfile::tempdir().unwrap();
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    let mut process = Process::start(folder.path(), &engine, "");
    let answered = post(process.addr, "/v1/chat/completions", &[], &request);
    let receipt = placed(&process, &answered.receipt());
    let tariff = get(process.addr, "/v1/tariff", &[]);
    assert!(process.terminate().success());

    // The keys are gone with their machine; the next one still has what attested them.
    std::fs::remove_file(folder.path().join("simulated-tee.secret")).unwrap();
    let process = Process::start(folder.path(), &engine, "");
    let digest = receipt["receipt"]["workload_keyset_digest"].as_str().unwrap();
    let now = get(process.addr, "/v1/aci/attestation", &[]).json();
    assert_ne!(now["workload_keyset_digest"], digest);
    let kept = get(process.addr, &format!("/v1/aci/keysets/{digest}"), &[]);
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let report = write("kept.json", &kept.body);
    let files = [
        write("receipt.json", receipt.to_string().as_bytes()),
        write("request.json", request.as_bytes()),
        write("response.json", &answered.body),
        write("tariff.json", &tariff.body),
        write("policy.yaml", b"simulated: accept\ngpu: {required: false}\n"),
    ];
    let [receipt_file, request, response, tariff, policy] = &files;
    let verify = |report: &str, at: u64| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
        command.args(["verify", "receipt", receipt_file, "--report", report]);
        command.args(["--request", request, "--response", response, "--tariff", tariff]);
        let output = command.args(["--policy", policy, "--at", &at.to_string()]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let served_at = receipt["receipt"]["served_at"].as_u64().unwrap();
    let (code, told) = verify(&report, served_at);
    assert_eq!(code, Some(0), "{told}");
    for check in ["receipt.signature", "receipt.request", "receipt.response", "receipt.fee"] {
        let line = |line: &str| line.starts_with("proved") && line.contains(check);
        assert!(told.lines().any(line), "{check}: {told}");
    }
    // By the certificates of then, and not as of a day when those have ended.
    let (code, told) = verify(&report, served_at + YEARS);
    assert_eq!(code, Some(10), "{told}");
    // The report of another start says nothing of this key.
    let other = write("now.json", now.to_string().as_bytes());
    assert_eq!(verify(&other, served_at).0, Some(20));
}
