//! The journal as archives: written beside a running sidecar, audited by anybody, and receipts that
//! leave the ledger once they are in one.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Engine, MODEL, Process, Step, get, post, whole};

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
    let mut command = Command::new(env!("CARGO_BIN_EXE_tee-sidecar"));
    let output = command.env_clear().args(["ledger", "audit", "--archive"]).args(paths).output();
    let output = output.unwrap();
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
