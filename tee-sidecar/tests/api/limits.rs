//! An account's limits: they turn away that account, before its body is read and any money held,
//! and nobody else.

use std::time::Duration;

use broker_core::{LedgerReader, UserId};
use tee_sidecar::config::{Auth, Limits};

use crate::support::{
    Conn, Engine, MODEL, Response, SOON, Sidecar, Step, api_key, wait_until, whole,
};

const CHAT: &str = "/v1/chat/completions";
const ALICE: (&str, &str) = ("authorization", "Bearer key-of-alice-0001");
const BOB: (&str, &str) = ("authorization", "Bearer key-of-bob-000001");

fn start(engine: &Engine, limit: impl FnOnce(&mut Limits)) -> Sidecar {
    Sidecar::with(engine, |settings| {
        settings.auth = Auth::ApiKeys(vec![
            api_key("alice", "key-of-alice-0001", None),
            api_key("bob", "key-of-bob-000001", None),
        ]);
        limit(&mut settings.limits);
    })
}

fn answer() -> Step {
    let body = r#"{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":60}}"#;
    Step::Raw(whole(200, body.as_bytes()))
}

fn ask() -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[]}}")
}

fn post(sidecar: &Sidecar, who: (&str, &str)) -> Response {
    crate::support::post(sidecar.addr, CHAT, &[who], ask())
}

/// A 429 with a time to come back, for a request whose body never comes.
fn is_turned_away(sidecar: &Sidecar, who: (&str, &str)) -> Response {
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", CHAT, &[who, ("content-length", "100000")], b"");
    let refused = conn.response();
    assert_eq!((refused.status, refused.error_type().as_str()), (429, "rate_limited"));
    let secs: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&secs), "{secs}");
    let receipt = sidecar.receipt(&refused.receipt());
    assert!(receipt.fee.is_zero() && receipt.proof.unwrap().claims.hold.is_zero());
    refused
}

#[test]
fn an_account_that_has_all_its_places_leaves_those_of_others() {
    let engine = Engine::start(|_| vec![Step::Gate, answer()]);
    let sidecar = start(&engine, |limits| {
        limits.concurrent_max = 3;
        limits.concurrent_per_account_max = 2;
    });
    let mut running: Vec<Conn> = [ALICE, ALICE]
        .into_iter()
        .map(|who| {
            let mut conn = Conn::open(sidecar.addr);
            conn.send("POST", CHAT, &[who], ask().as_bytes());
            conn
        })
        .collect();
    wait_until("both at the engine", SOON, || engine.requests() == 2);
    let refused = is_turned_away(&sidecar, ALICE);
    assert!(refused.text().contains("2 requests in flight"), "{}", refused.text());
    let mut bob = Conn::open(sidecar.addr);
    bob.send("POST", CHAT, &[BOB], ask().as_bytes());
    wait_until("bob's at the engine", SOON, || engine.requests() == 3);
    // Now all places are taken, and that is nobody's own fault.
    let full = post(&sidecar, BOB);
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")));
    (0..3).for_each(|_| engine.open_gate());
    running.push(bob);
    assert!(running.iter_mut().all(|conn| conn.response().status == 200));
    engine.open_gate();
    assert_eq!(post(&sidecar, ALICE).status, 200, "places come back");
    sidecar.audit_is_clean();
}

#[test]
fn an_account_that_used_its_tokens_waits_for_them_and_others_do_not() {
    let engine = Engine::start(|_| vec![answer()]);
    // Each answer has 100.
    let sidecar = start(&engine, |limits| limits.tokens_per_minute = Some(150));
    assert_eq!(post(&sidecar, ALICE).status, 200);
    assert_eq!(post(&sidecar, ALICE).status, 200, "50 were left");
    let refused = is_turned_away(&sidecar, ALICE);
    assert!(refused.text().contains("tokens"), "{}", refused.text());
    assert_eq!(post(&sidecar, BOB).status, 200);
    assert_eq!(engine.requests(), 3);
    let account = sidecar.reader().account(&UserId::named("alice")).unwrap();
    assert_eq!((account.held.get(), account.earned.get()), (0, 2 * (40 * 100 + 60 * 200)));
    sidecar.audit_is_clean();
}

#[test]
fn an_account_that_sent_its_requests_waits_and_others_do_not() {
    let engine = Engine::start(|_| vec![answer()]);
    let sidecar = start(&engine, |limits| limits.requests_per_minute = Some(60));
    while post(&sidecar, ALICE).status == 200 {
        assert!(engine.requests() < 1000, "no limit");
    }
    assert!(engine.requests() >= 60);
    assert_eq!(post(&sidecar, BOB).status, 200);
    // One comes back each second.
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(post(&sidecar, ALICE).status, 200);
    sidecar.audit_is_clean();
}
