//! An engine that has one answer for each route, and the proof of what came of it.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::time::{Duration, Instant};

use broker_core::jcs::Json;
use broker_core::keyset::Keyset;
use broker_core::receipt::ReadReceipt;
use broker_core::{Clock, Digest32, SystemClock, Tariff, verify};
use tee_sidecar::identity::Identities;
use tee_sidecar::keys::SigningKeys;
use tee_sidecar::route::Route;

#[path = "../api/support/client.rs"]
mod client;
#[path = "../api/support/engine.rs"]
mod engine;
#[path = "../api/support/sidecar.rs"]
mod sidecar;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use engine::{Engine, Seen, Step, sse, whole};
pub(crate) use sidecar::{MODEL, Sidecar, api_key};

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A sidecar that serves every route.
pub(crate) fn all_routes(engine: &Engine) -> Sidecar {
    Sidecar::with(engine, |settings| settings.service.routes = Route::ALL.to_vec())
}

/// An engine that answers everything with this body.
pub(crate) fn answering(body: &str) -> Engine {
    let body = body.to_owned();
    Engine::start(move |_| vec![Step::Raw(whole(200, body.as_bytes()))])
}

/// An engine that streams these events, each as an HTTP chunk of its own, and ends.
pub(crate) fn streaming(events: &[&str]) -> Engine {
    let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
    Engine::start(move |_| {
        let mut steps = vec![sse()];
        steps.extend(events.iter().map(|event| Step::Chunk(event.clone().into_bytes())));
        steps.push(Step::EndChunks);
        steps
    })
}

/// The keyset as the simulation's secret makes it.
fn keyset(sidecar: &Sidecar) -> Keyset {
    let secret = sidecar.ledger.with_file_name("simulated-tee.secret");
    let key = SigningKeys::simulated(&secret).unwrap().receipts();
    let now = SystemClock.now();
    Keyset::parse(Identities::new(key, None, now).at(now).keyset().as_bytes()).unwrap()
}

/// The receipt of an answer, once all of it is proved: both signatures, both bodies, the rolling
/// hash and the end of a stream, the fee by the signed tariff, and what it names.
pub(crate) fn proved(
    sidecar: &Sidecar,
    route: Route,
    request: &[u8],
    answer: &Response,
) -> ReadReceipt {
    let id = answer.receipt();
    sidecar.signature(&id, request, &answer.body);
    let document = get(sidecar.addr, &format!("/v1/aci/receipts/{id}"), &[]);
    assert_eq!(document.status, 200, "{}", document.text());
    let read = ReadReceipt::parse(&document.body).unwrap();
    read.verify(&keyset(sidecar)).unwrap();
    assert_eq!(read.request_hash, Digest32::sha256(request));
    verify::whole(&read, &answer.body).unwrap();
    assert_eq!(document.json()["endpoint"], route.path());
    let tariff = get(sidecar.addr, "/v1/tariff", &[]).json();
    let terms = Json::parse(tariff["terms"].to_string().as_bytes()).unwrap();
    read.check_fee(&Tariff::from_terms(&terms).unwrap()).unwrap();
    read
}

/// What was charged, in prompt tokens and generated ones, and how it ended.
pub(crate) fn charged(read: &ReadReceipt) -> (u64, u64, &'static str) {
    let usage = read.usage.as_ref().unwrap();
    let fee = read.charge.as_ref().unwrap().fee.get();
    assert_eq!(fee, u128::from(usage.input * 100 + usage.output * 200), "the whole usage");
    (usage.input, usage.output, read.closed.as_ref().unwrap().outcome.as_str())
}
