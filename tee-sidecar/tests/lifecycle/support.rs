//! Sidecars as processes, with a scripted engine, on a file of their own.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../api/support/client.rs"]
mod client;
#[path = "../api/support/engine.rs"]
mod engine;
#[path = "../api/support/process.rs"]
mod process;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use engine::{Engine, Seen, Step, chunk_event, end_event, sse, whole};
pub(crate) use process::{Replica, program};

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(40);

pub(crate) const CHAT: &str = "/v1/chat/completions";

pub(crate) const ASK: &str = r#"{"model":"tiny","messages":[]}"#;

pub(crate) const ASK_STREAM: &str = r#"{"model":"tiny","messages":[],"stream":true}"#;

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An engine that answers at once: 13 tokens in, 30 out.
pub(crate) fn quick() -> Engine {
    let answer = r#"{"choices":[],"usage":{"prompt_tokens":13,"completion_tokens":30}}"#;
    Engine::start(move |_| vec![Step::Raw(whole(200, answer.as_bytes()))])
}

/// An engine whose streams wait in their middle, each until the gate is opened once.
pub(crate) fn waiting() -> Engine {
    Engine::start(|_| {
        vec![
            sse(),
            Step::Chunk(chunk_event(1, true).into_bytes()),
            Step::Gate,
            Step::Chunk(b"data: [DONE]\n\n".to_vec()),
            Step::EndChunks,
        ]
    })
}

/// A whole configuration; `server` are further keys of that section, each behind a comma.
pub(crate) fn settings(folder: &Path, engine: &Engine, server: &str, more: &str) -> String {
    format!(
        "server: {{listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'{server}}}\n\
         upstream: {{url: 'http://{}'}}\ntee: {{provider: simulated}}\ngpu: {{provider: none}}\n\
         ledger: {{url: 'sqlite://{}'}}\n{more}",
        engine.addr,
        folder.join("ledger.db").display(),
    )
}

/// Prices, where a test does not set its own.
pub(crate) const PRICES: &str = "service: {inputPrice: 100, outputPrice: 200}\n";

/// A sidecar that runs and has told its admin port, which is plain HTTP on loopback.
pub(crate) fn started(folder: &Path, text: &str) -> Replica {
    let mut replica = Replica::new(folder, 0, "");
    replica.configure(text);
    start(&mut replica);
    replica
}

/// Starts it, and waits until it is ready.
pub(crate) fn start(replica: &mut Replica) {
    replica.start();
    wait_until("ready", SOON, || {
        assert!(replica.ended().is_none(), "ended: {}", replica.log());
        replica.admin().is_some_and(|admin| {
            let conn = Conn::try_open(admin);
            let answer = conn.and_then(|mut conn| conn.try_send("GET", "/readyz", &[], b""));
            answer.is_some_and(|answer| answer.status == 200)
        })
    });
}

/// The notes that readiness tells.
pub(crate) fn notes(replica: &Replica) -> String {
    get(replica.admin().unwrap(), "/readyz", &[]).json()["notes"].to_string()
}

/// SIGHUP, and waits until the reload has been told in the log.
pub(crate) fn reload(replica: &Replica) {
    let told = |replica: &Replica| replica.log().matches(TAKEN).count();
    let before = told(replica);
    replica.signal("HUP");
    wait_until("reloaded", SOON, || told(replica) > before);
}

/// What every reload says at its end, whether it was taken over or not.
const TAKEN: &str = "reload ended";
