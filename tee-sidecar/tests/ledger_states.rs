//! A ledger that cannot be used: full, locked, corrupt, not there. A start says what to mend and
//! ends with the right code; a sidecar that runs takes no new work, ends in order, and has lost
//! nothing that it acknowledged.
#![cfg(feature = "simulator")]
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use broker_core::{LedgerReader, ReceiptId, SqliteReader};
use rusqlite::Connection;

#[path = "api/support/client.rs"]
mod client;
#[path = "api/support/engine.rs"]
mod engine;
#[path = "api/support/process.rs"]
mod process;

use client::{Conn, Response, get, post, sha256_hex};
use engine::{Engine, Seen, Step, chunk_event, end_event, sse, whole};
use process::Process;

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const SOON: Duration = Duration::from_secs(20);

fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn answering() -> Engine {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))])
}

/// The ids of answers that a client was given, until the sidecar gives no more.
fn asked(process: &Process, limit: usize) -> Vec<String> {
    let request = format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}");
    (0..limit)
        .map_while(|_| Conn::try_ask(process.addr, request.as_bytes()))
        .take_while(|response| response.status == 200 && response.complete)
        .map(|response| response.receipt())
        .collect()
}

/// Runs a command on the ledger at `url` that is expected to fail, after this piece of shell.
fn failing(shell: &str, command: &[&str], folder: &Path, url: &str) -> (i32, String) {
    let config = folder.join("failing.yaml");
    let text = format!(
        "server: {{listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'}}\n\
         tee: {{provider: simulated}}\ngpu: {{provider: none}}\n\
         ledger: {{url: '{url}', stateDir: '{}'}}\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let script = format!("{shell} exec timeout 60 \"$0\" \"$@\"");
    let program = env!("CARGO_BIN_EXE_tee-sidecar");
    let output = Command::new("sh")
        .args(["-c", &script, program])
        .args(command)
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Starts again, and looks for everything that was acknowledged.
fn nothing_is_lost(folder: &Path, engine: &Engine, acknowledged: &[String]) {
    let process = Process::start(folder, engine, "");
    let audit = process.run(&["ledger", "audit"]);
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stderr));
    let reader = SqliteReader::open(&folder.join("ledger.db")).unwrap();
    for id in acknowledged {
        let known = reader.receipt(&ReceiptId::parse(id).unwrap()).unwrap();
        assert!(known.is_some(), "{id} is lost");
    }
    assert_eq!(asked(&process, 1).len(), 1, "it does not answer again");
}

#[test]
fn a_disk_that_is_full_at_the_start_is_told_with_what_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("full/ledger.db").display());
    // Ignored, the signal becomes an error of the write.
    let (code, said) = failing("trap '' XFSZ; ulimit -f 8;", &["serve"], folder.path(), &url);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("the ledger:") && said.contains("Look after the disk and start again"),
        "{said}"
    );
}

#[test]
fn a_disk_that_fills_up_ends_the_sidecar_in_order_and_loses_nothing() {
    let engine = answering();
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start_on_small_disk(folder.path(), &engine, 4_096);
    let acknowledged = asked(&process, 2_000);
    assert!((1..2_000).contains(&acknowledged.len()), "{} answers", acknowledged.len());
    let ended = process.wait_for_end(SOON);
    assert_eq!(ended.code(), Some(1), "{}", process.log());
    let log = process.log();
    assert!(
        log.contains("Look after the disk and start again")
            && log.contains("has failed, and the log says why"),
        "{log}"
    );
    nothing_is_lost(folder.path(), &engine, &acknowledged);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody may make a file there, not even root.
    let (code, said) = failing("", &["serve"], folder.path(), "sqlite:///sys/ledger.db");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/sys/") && said.contains("let this process write"), "{said}");
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letters.txt");
    let letters = "Dear Sir, ".repeat(1_000);
    std::fs::write(&path, &letters).unwrap();
    let url = format!("sqlite://{}", path.display());
    for command in [&["serve"][..], &["ledger", "status"], &["ledger", "audit"]] {
        let (code, said) = failing("", command, folder.path(), &url);
        assert_eq!(code, 30, "{command:?}: {said}");
        assert!(said.contains("To mend it:"), "{said}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letters);
}

#[test]
fn a_ledger_with_damaged_pages_is_malformed_and_a_backup_serves() {
    let engine = answering();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut process = Process::start(folder.path(), &engine, "");
    let acknowledged = asked(&process, 20);
    assert_eq!(acknowledged.len(), 20);
    assert!(process.terminate().success());
    // Whatever a reader that the end of the process cut short left in the log.
    Connection::open(&path).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(!folder.path().join("ledger.db-wal").exists(), "the log is left beside the pages");
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[4_096..].fill(0xa5);
    std::fs::write(&path, &bad).unwrap();
    let url = format!("sqlite://{}", path.display());
    for command in [&["serve"][..], &["ledger", "status"], &["ledger", "audit"]] {
        let (code, said) = failing("", command, folder.path(), &url);
        assert_eq!(code, 30, "{command:?}: {said}");
        assert!(said.contains("restore the last backup"), "{said}");
    }
    std::fs::write(&path, good).unwrap();
    nothing_is_lost(folder.path(), &engine, &acknowledged);
}

#[test]
fn a_ledger_has_one_sidecar() {
    let engine = answering();
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &engine, "");
    let url = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let (code, said) = failing("", &["serve"], folder.path(), &url);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("in use by another process") && said.contains("stop the other"),
        "{said}"
    );
    assert_eq!(asked(&process, 1).len(), 1, "the first one is disturbed");
    for command in [&["ledger", "status"][..], &["ledger", "audit"]] {
        assert_eq!(process.run(command).status.code(), Some(0), "{command:?}");
    }
}

#[test]
fn a_lock_held_for_a_moment_is_waited_for_and_a_longer_one_ends_the_sidecar_in_order() {
    let engine = answering();
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &engine, "");
    let mut acknowledged = asked(&process, 3);
    let other = Connection::open(folder.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| asked(&process, 1));
        std::thread::sleep(Duration::from_millis(700));
        other.execute_batch("COMMIT").unwrap();
        waiting.join().unwrap()
    });
    assert_eq!(waiting.len(), 1, "a moment is too long");
    acknowledged.extend(waiting);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(asked(&process, 1).len(), 0, "answered without a hold");
    let ended = process.wait_for_end(SOON);
    assert_eq!(ended.code(), Some(1), "{}", process.log());
    assert!(process.log().contains("database is locked"), "{}", process.log());
    drop(other);
    nothing_is_lost(folder.path(), &engine, &acknowledged);
}
