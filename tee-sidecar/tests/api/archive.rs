//! The journal as archives: written beside a running sidecar, audited by anybody, and receipts that
//! leave the ledger once they are in one.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Engine, MODEL, Process, Step, get, nonce, post, whole};

const CHAT: &str = "/v1/chat/completions";

fn engine() -> Engine {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))])
}

fn chat(process: &Process) -> String {
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    let answer = post(process.addr, CHAT, &[], &request);
    assert_eq!(answer.status, 200);
    answer.receipt()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// An auditor has no ledger and no configuration.
fn audit(paths: &[&Path]) -> (i32, String) {
    audit_with(&[], paths)
}

fn audit_with(args: &[&str], paths: &[&Path]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    command.env_clear().args(["ledger", "audit"]).args(args).arg("--archive").args(paths);
    let output = command.output().unwrap();
    (output.status.code().unwrap(), said(&output))
}

#[test]
fn archives_are_written_beside_a_running_sidecar_and_tell_the_same_as_the_ledger() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let export = |to: &Path, behind: &str| {
        process.run(&["ledger", "archive", "--to", to.to_str().unwrap(), "--behind", behind])
    };
    chat(&process);
    let written = export(&first, "0");
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    assert!(said(&written).contains("upto: 3\n"), "{}", said(&written));
    chat(&process);
    let written = export(&second, "3");
    assert!(said(&written).contains("behind: 3\nupto: 5\n"), "{}", said(&written));

    let ledger = process.run(&["ledger", "audit"]);
    let (code, told) = audit(&[&first, &second]);
    assert_eq!((code, told.as_str()), (0, said(&ledger).as_str()));
    // What is missing, in the wrong order, changed, or no archive at all.
    assert_eq!(audit(&[&second]).0, 20);
    assert_eq!(audit(&[&first, &first]).0, 20);
    assert_eq!(audit(&[Path::new("/nowhere")]).0, 20);
    assert_eq!(audit(&[tempfile::tempdir().unwrap().path()]).0, 20);
    let mut bytes = std::fs::read(&second).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&second, bytes).unwrap();
    assert_eq!(audit(&[&first, &second]).0, 30);
    // An archive is never written over, and one that comes to nothing is not left behind.
    assert_eq!(export(&first, "0").status.code(), Some(1));
    let beyond = folder.path().join("beyond");
    assert_eq!(export(&beyond, "99").status.code(), Some(20));
    assert!(!beyond.exists());
}

#[test]
fn a_folder_stands_for_its_archives_and_young_receipts_stay() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let archives = folder.path().join("archives");
    let process = Process::start(folder.path(), &engine, "");
    let id = chat(&process);
    std::fs::create_dir(&archives).unwrap();
    let name = format!("ledger-{:020}-{:020}.jsonl.zst", 1, 3);
    let to = archives.join(name);
    let written = process.run(&["ledger", "archive", "--to", to.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    assert_eq!(audit(&[&archives]).0, 0);
    assert_eq!(get(process.addr, &format!("/v1/signature/{id}"), &[]).status, 200);
}

#[test]
fn archives_are_held_to_a_report_and_to_each_other() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    let kept = |name: &str| {
        let report = get(process.addr, &format!("/v1/attestation/report?nonce={}", nonce(1)), &[]);
        let path = folder.path().join(name);
        std::fs::write(&path, report.text()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let export = |name: &str, behind: &str| {
        let to = folder.path().join(name);
        let args = ["ledger", "archive", "--to", to.to_str().unwrap(), "--behind", behind];
        let written = process.run(&args);
        assert_eq!(written.status.code(), Some(0), "{}", said(&written));
        to
    };
    chat(&process);
    let early = kept("early.json");
    let first = export("first", "0");
    chat(&process);
    let late = kept("late.json");
    let second = export("second", "3");
    for report in [&early, &late] {
        let (code, told) = audit_with(&["--report", report], &[&first, &second]);
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("report: goes on from the"), "{told}");
    }
    let (code, told) = audit_with(&["--report", &late], &[&first]);
    assert_eq!(code, 10, "{told}");
    assert!(told.contains("entries were cut off"), "{told}");

    // Another ledger of the same length: its second archive does not go on from our first.
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Process::start(elsewhere.path(), &engine, "");
    chat(&other);
    chat(&other);
    let of = |name: &str, behind: &str| {
        let to = elsewhere.path().join(name);
        let args = ["ledger", "archive", "--to", to.to_str().unwrap(), "--behind", behind];
        assert_eq!(other.run(&args).status.code(), Some(0));
        to
    };
    let (code, told) = audit_with(&["--report", &late], &[&of("whole", "0")]);
    assert_eq!(code, 10, "{told}");
    assert!(told.contains("entries were changed since"), "{told}");
    let (code, told) = audit(&[&first, &of("rest", "3")]);
    assert_eq!(code, 10, "{told}");
    assert!(told.contains("the one before ends at"), "{told}");
}

#[test]
fn more_archives_than_a_process_may_have_open_are_audited() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    chat(&process);
    let whole = folder.path().join("whole");
    let written = process.run(&["ledger", "archive", "--to", whole.to_str().unwrap()]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    // Archives without an entry follow each other as often as one likes.
    let empty = folder.path().join("empty");
    let args = ["ledger", "archive", "--to", empty.to_str().unwrap(), "--behind", "3"];
    assert_eq!(process.run(&args).status.code(), Some(0));
    let mut paths = vec![whole];
    paths.extend(std::iter::repeat_n(empty, 100));
    let mut command = Command::new("sh");
    let script = "ulimit -n 50; exec \"$0\" ledger audit --archive \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_tee-sidecar")]).args(paths);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("entries: 3\n"), "{}", said(&output));
}
