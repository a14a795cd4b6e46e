//! The command itself: what it prints, and with which code it ends.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{NONCE, NOW_SECS, root};

fn verify(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    command.current_dir(root().join("fixtures")).arg("verify").args(args);
    command.output().unwrap()
}

fn at() -> String {
    NOW_SECS.to_string()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_proof_has_a_line_for_each_check_and_ends_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, "simulated: accept\n").unwrap();
    let policy = policy.to_str().unwrap();
    let common = ["--policy", policy, "--at", &at(), "--nonce", NONCE];
    let args = [&["report", "simulated/report.json"], &common[..]].concat();
    let proved = verify(&args);
    assert_eq!(proved.status.code(), Some(0), "{}", text(&proved.stdout));
    let lines: Vec<_> = text(&proved.stdout).lines().collect();
    assert!(lines.len() > 15);
    assert!(lines.iter().any(|line| line.starts_with("proved") && line.contains("quote.tcb")));
    assert!(lines.last().unwrap().starts_with("verdict: proved, of a SIMULATED TEE"));

    let json = verify(&[&args[..], &["--json"]].concat());
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json["verdict"].as_str(), json["exit"].as_u64()), (Some("proved"), Some(0)));
    assert_eq!(json["findings"].as_array().unwrap().len(), lines.len() - 1);
    assert_eq!(json["findings"][0]["check"], "simulated");
    assert_eq!(json["simulated"], true);
}

#[test]
fn the_default_refuses_simulated_evidence_with_10() {
    let refuted = verify(&["report", "simulated/report.json", "--at", &at()]);
    assert_eq!(refuted.status.code(), Some(10));
    assert!(text(&refuted.stdout).contains("REFUTED      simulated"));
}

#[test]
fn what_is_missing_malformed_or_misused_has_its_own_code() {
    let near = ["report", "near/near_report.json", "--at", "1773500000"];
    assert_eq!(verify(&near).status.code(), Some(20), "no collateral");
    let collateral = ["--collateral", "tdx/tdx_quote_outdated_collateral.json"];
    let proved = verify(&[&near[..], &collateral].concat());
    assert_eq!(proved.status.code(), Some(0), "{}", text(&proved.stdout));
    assert_eq!(verify(&["report", "no/such/file"]).status.code(), Some(20));
    assert_eq!(verify(&["report", "README.md"]).status.code(), Some(30));
    let answer = [
        ["--request", "simulated/request.json"],
        ["--response", "simulated/response.json"],
        ["--signature", "simulated/report.json"],
    ];
    let answer = [&["response"], answer.as_flattened()].concat();
    assert_eq!(verify(&answer).status.code(), Some(30));
    for misused in [
        &[][..],
        &["report"],
        &["report", "a", "--nonce", "auto"],
        &["report", "a", "--nonce", "12"],
        &["report", "a", "--nras", "b"],
        &["not a url"],
        &["ftp://a.example"],
        &["report", "a", "--at", "soon"],
        &["--binding", "v2", "report", "a"],
    ] {
        let misused = verify(misused);
        assert_eq!(misused.status.code(), Some(64), "{}", text(&misused.stderr));
        assert!(text(&misused.stderr).starts_with("tee-sidecar: "), "{misused:?}");
    }
    let unreachable = verify(&["http://127.0.0.1:1", "--json"]);
    assert_eq!(unreachable.status.code(), Some(20));
    let json: Value = serde_json::from_slice(&unreachable.stdout).unwrap();
    assert!(json["error"].as_str().unwrap().contains("127.0.0.1:1"), "{json}");
    assert!(text(&unreachable.stderr).starts_with("asking http://127.0.0.1:1 for a report"));
}
