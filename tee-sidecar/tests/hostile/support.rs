//! A sidecar as a process, a scripted engine behind it, and what the process takes of the machine.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

#[path = "../api/support/client.rs"]
mod client;
#[path = "../api/support/engine.rs"]
mod engine;
#[path = "../api/support/process.rs"]
mod process;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use engine::{Engine, Seen, Step, chunk_event, sse, whole};
pub(crate) use process::Process;

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A sidecar before an engine that answers at once, unless it is asked for a stream: that is the
/// test's.
pub(crate) fn serve(
    folder: &std::path::Path,
    more: &str,
    stream: impl Fn() -> Vec<Step> + Send + Sync + 'static,
) -> (Engine, Process) {
    let engine = Engine::start(move |request| {
        if request.text().contains("\"stream\":true") {
            return stream();
        }
        let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
        vec![Step::Raw(whole(200, answer.as_bytes()))]
    });
    let process = Process::start(folder, &engine, more);
    (engine, process)
}

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A well-behaved client is served.
pub(crate) fn is_served(addr: SocketAddr) {
    let answer = post(addr, CHAT, &[], "{\"model\":\"tiny\",\"messages\":[]}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(get(addr, "/healthz", &[]).status, 200);
}

/// Nothing is held and every row is right, once all has ended.
pub(crate) fn is_settled(process: &Process) {
    let mut said = String::new();
    wait_until("no hold is open", SOON, || {
        let status = process.run(&["ledger", "status"]);
        said = String::from_utf8(status.stdout).unwrap();
        said.lines().any(|line| line == "open_holds: 0")
    });
    let audit = process.run(&["ledger", "audit"]);
    assert!(audit.status.success(), "{said}{}", String::from_utf8_lossy(&audit.stdout));
}

/// Kilobytes of memory that the process has had at once at most.
pub(crate) fn peak_kb(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Lets this process, and those that it starts, have so many files.
pub(crate) fn room_for(files: u64) {
    let me = std::process::id().to_string();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let allowed = line.split_whitespace().nth(3).unwrap();
    if allowed.parse::<u64>().is_ok_and(|allowed| allowed < files) {
        let args = ["--pid", &me, &format!("--nofile={files}:")];
        let raised = Command::new("prlimit").args(args).status();
        assert!(raised.is_ok_and(|status| status.success()), "this test needs ulimit -n {files}");
    }
}

/// Connections that say nothing.
pub(crate) fn connect(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(addr).unwrap()).collect()
}
