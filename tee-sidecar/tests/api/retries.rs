//! One request under one key is answered and charged once.

use crate::support::{Conn, Engine, MODEL, Sidecar, Step, post, whole};
use broker_core::{LedgerReader, Outcome, RequestQuery};

const ANSWER: &str = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
const KEY: (&str, &str) = ("idempotency-key", "order-1");

fn ask(pad: &str) -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"user\":\"{pad}\"}}")
}

#[test]
fn a_retry_is_told_whether_the_first_is_running_or_done() {
    let engine = Engine::start(|_| vec![Step::Gate, Step::Raw(whole(200, ANSWER.as_bytes()))]);
    let sidecar = Sidecar::start(&engine);
    let mut first = Conn::open(sidecar.addr);
    first.send("POST", "/v1/chat/completions", &[KEY], ask("a").as_bytes());
    engine.wait_for_request();
    let again = post(sidecar.addr, "/v1/chat/completions", &[KEY], ask("a"));
    assert_eq!((again.status, again.error_type().as_str()), (409, "conflict"));
    assert_eq!(again.header("retry-after"), Some("1"));
    assert_eq!(again.json()["error"]["code"], "request_in_flight");
    let other = post(sidecar.addr, "/v1/chat/completions", &[KEY], ask("b"));
    assert_eq!((other.status, other.error_type().as_str()), (422, "conflict"));
    engine.open_gate();
    let answered = first.response();
    assert_eq!(answered.status, 200);
    let done = post(sidecar.addr, "/v1/chat/completions", &[KEY], ask("a"));
    assert_eq!(done.status, 409);
    assert_eq!(done.header("retry-after"), None);
    assert_eq!(done.json()["error"]["code"], "request_already_answered");
    assert!(done.text().contains(&answered.receipt()), "{}", done.text());
    assert_ne!(done.receipt(), answered.receipt());
    let other = post(sidecar.addr, "/v1/chat/completions", &[KEY], ask("b"));
    assert_eq!(other.status, 422);
    assert_eq!(engine.seen().len(), 1);
    sidecar.audit_is_clean();
}

#[test]
fn a_storm_of_retries_is_answered_once() {
    let engine = Engine::start(|_| {
        vec![
            Step::Pause(std::time::Duration::from_millis(50)),
            Step::Raw(whole(200, ANSWER.as_bytes())),
        ]
    });
    let sidecar = Sidecar::start(&engine);
    let addr = sidecar.addr;
    let threads: Vec<_> = (0..64)
        .map(|_| {
            std::thread::spawn(move || post(addr, "/v1/chat/completions", &[KEY], ask("a")).status)
        })
        .collect();
    let statuses: Vec<u16> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 1);
    assert_eq!(statuses.iter().filter(|s| **s == 409).count(), 63);
    assert_eq!(engine.seen().len(), 1);
    let all = RequestQuery { limit: 100, ..RequestQuery::default() };
    let rows = sidecar.reader().requests(&all).unwrap().items;
    let answered = rows.iter().filter(|row| row.receipt.outcome == Outcome::Complete);
    assert_eq!(answered.count(), 1);
    assert!(
        rows.iter().all(|row| row.receipt.outcome != Outcome::Refused || row.receipt.fee.is_zero())
    );
}

#[test]
fn requests_without_a_key_are_each_their_own() {
    let engine = Engine::start(|_| vec![Step::Raw(whole(200, ANSWER.as_bytes()))]);
    let sidecar = Sidecar::start(&engine);
    for _ in 0..3 {
        assert_eq!(post(sidecar.addr, "/v1/chat/completions", &[], ask("a")).status, 200);
    }
    let long = "k".repeat(256);
    let bad = post(sidecar.addr, "/v1/chat/completions", &[("idempotency-key", &long)], ask("a"));
    assert_eq!((bad.status, bad.error_type().as_str()), (400, "bad_request"));
    assert_eq!(engine.seen().len(), 3);
}
