//! Sidecars with several engines.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::time::{Duration, Instant};

use broker_core::{LedgerReader, RequestQuery, RequestRow};

#[path = "../api/support/client.rs"]
mod client;
#[path = "../api/support/engine.rs"]
mod engine;
#[path = "../api/support/process.rs"]
mod process;
#[path = "../api/support/sidecar.rs"]
mod sidecar;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use engine::{Engine, Seen, Step, chunk_event, sse, whole};
pub(crate) use process::Replica;
pub(crate) use sidecar::{MODEL, Sidecar, api_key, settings as sidecar_settings};

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(40);

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A body that nobody would write like this again.
pub(crate) const ASK: &str =
    "{ \"model\" : \"tiny\",\"messages\":[ ] ,\"x\":1.0e-2,\"y\":\"\\u00e9\" }\n";

pub(crate) const ASK_STREAM: &str = r#"{"model":"tiny","messages":[],"stream":true}"#;

/// 13 tokens in, 30 out, at 100 and 200.
pub(crate) const FEE: u128 = 13 * 100 + 30 * 200;

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What an engine answers at once.
pub(crate) fn answer() -> Step {
    let body = r#"{"id":"a","choices":[],"usage":{"prompt_tokens":13,"completion_tokens":30}}"#;
    Step::Raw(whole(200, body.as_bytes()))
}

/// An engine that answers at once.
pub(crate) fn quick() -> Engine {
    Engine::start(|_| vec![answer()])
}

/// An engine whose answers wait until the gate is opened, once each.
pub(crate) fn gated() -> Engine {
    Engine::start(|_| vec![Step::Gate, answer()])
}

/// A list of models with one in it.
pub(crate) fn models(name: &str, context_tokens: u64) -> Vec<u8> {
    let list = format!(r#"{{"data":[{{"id":"{name}","max_model_len":{context_tokens}}}]}}"#);
    whole(200, list.as_bytes())
}

pub(crate) fn url(engine: &Engine) -> String {
    format!("http://{}", engine.addr)
}

/// A sidecar before these engines, in this order.
pub(crate) fn before(engines: &[&Engine]) -> Sidecar {
    let (first, others) = engines.split_first().unwrap();
    Sidecar::with(first, |settings| {
        settings.upstream.urls = others.iter().map(|engine| url(engine)).collect();
    })
}

pub(crate) fn ask(sidecar: &Sidecar) -> Response {
    post(sidecar.addr, CHAT, &[], ASK)
}

/// How many requests each engine has seen.
pub(crate) fn seen(engines: &[&Engine]) -> Vec<u64> {
    engines.iter().map(|engine| engine.requests()).collect()
}

/// The notes that readiness tells, with its status.
pub(crate) fn readiness(sidecar: &Sidecar) -> (u16, String) {
    let answer = get(sidecar.addr, "/readyz", &[]);
    (answer.status, answer.json()["notes"].to_string())
}

/// Everything that the ledger has of exchanges.
pub(crate) fn rows(sidecar: &Sidecar) -> Vec<RequestRow> {
    let all = RequestQuery { limit: 1000, ..RequestQuery::default() };
    sidecar.reader().requests(&all).unwrap().items
}
