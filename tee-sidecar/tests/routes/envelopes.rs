//! What clients of each API are told when they are refused, and where they have their keys.

use broker_core::Digest32;
use tee_sidecar::config::Auth;
use tee_sidecar::route::Route;

use crate::support::{
    Engine, Response, Sidecar, answering, api_key, get, post, proved, sha256_hex,
};

const KEY: &str = "alice-0123456789abcdef";
const ANSWER: &str = r#"{"id":"msg_1","type":"message","content":[],
    "usage":{"input_tokens":1,"output_tokens":1}}"#;

fn with_key(engine: &Engine, credit: Option<u128>) -> Sidecar {
    Sidecar::with(engine, |settings| {
        settings.auth = Auth::ApiKeys(vec![api_key("alice", KEY, credit)]);
    })
}

/// The type of an error in Anthropic's shape.
fn anthropic(answer: &Response) -> String {
    let body = answer.json();
    assert_eq!(body["type"], "error", "{body}");
    assert_eq!(body["request_id"], answer.header("x-request-id").unwrap(), "{body}");
    assert!(!body["error"]["message"].as_str().unwrap().is_empty(), "{body}");
    body["error"]["type"].as_str().unwrap().to_owned()
}

#[test]
fn errors_at_messages_have_anthropic_s_shape_and_are_signed_in_it() {
    let engine = answering(ANSWER);
    let sidecar = with_key(&engine, Some(5));
    let (path, key) = (Route::Messages.path(), ("x-api-key", KEY));
    let unknown = r#"{"model":"other","messages":[]}"#;
    for (headers, body, status, kind, hashed) in [
        (&[][..], "secret", 401, "authentication_error", false),
        (&[("x-api-key", "wrong-0123456789")][..], "secret", 401, "authentication_error", false),
        (&[key][..], "no json", 400, "invalid_request_error", true),
        (&[key, ("x-request-id", "my-own-id")][..], unknown, 404, "not_found_error", true),
        (&[key][..], r#"{"messages":[]}"#, 402, "billing_error", true),
    ] {
        let answer = post(sidecar.addr, path, headers, body);
        assert_eq!((answer.status, anthropic(&answer).as_str()), (status, kind));
        let request = if hashed { body.as_bytes() } else { b"" };
        let read = proved(&sidecar, Route::Messages, request, &answer);
        assert_eq!(read.closed.unwrap().outcome.as_str(), "refused");
    }
    let method = get(sidecar.addr, path, &[]);
    assert_eq!((method.status, anthropic(&method).as_str()), (405, "invalid_request_error"));
    proved(&sidecar, Route::Messages, b"", &method);
    let proxied = post(sidecar.addr, "/v1/proxy/messages", &[], "x");
    assert_eq!((proxied.status, anthropic(&proxied).as_str()), (401, "authentication_error"));
    assert_eq!(engine.requests(), 0);
}

// The pump ends with an error of ours; what is signed is what leaves.
#[test]
fn an_engine_that_dies_is_told_in_anthropic_s_shape_and_signed_so() {
    let mut engine = answering(ANSWER);
    let sidecar = Sidecar::start(&engine);
    let request = r#"{"messages":[]}"#;
    assert_eq!(post(sidecar.addr, Route::Messages.path(), &[], request).status, 200);
    engine.die();
    let answer = post(sidecar.addr, Route::Messages.path(), &[], request);
    assert_eq!((answer.status, anthropic(&answer).as_str()), (502, "api_error"));
    let read = proved(&sidecar, Route::Messages, request.as_bytes(), &answer);
    assert_eq!(read.response_hash, Digest32::sha256(&answer.body));
    assert_eq!(read.closed.unwrap().outcome.as_str(), "upstream_error");
}

#[test]
fn the_key_of_anthropic_s_clients_counts_on_their_route_and_nowhere_else() {
    let engine = answering(ANSWER);
    let sidecar = with_key(&engine, None);
    let own = [("x-api-key", KEY), ("anthropic-version", "2023-06-01")];
    let bearer = format!("Bearer {KEY}");
    let request = r#"{"messages":[]}"#;
    for headers in [&own[..], &[("authorization", bearer.as_str())][..]] {
        let answer = post(sidecar.addr, Route::Messages.path(), headers, request);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // R14: no key of a client's reaches the engine.
    let seen = engine.seen();
    assert!(seen.iter().all(|seen| !seen.head.contains(KEY)), "{}", seen[0].head);
    assert_eq!(seen[0].header("x-api-key"), None);
    // Who sends both is who the bearer is.
    let both = [("x-api-key", KEY), ("authorization", "Bearer wrong-0123456789")];
    assert_eq!(post(sidecar.addr, Route::Messages.path(), &both, request).status, 401);
    for route in [Route::Chat, Route::Responses, Route::Embeddings] {
        let refused = post(sidecar.addr, route.path(), &own, request);
        assert_eq!((refused.status, refused.error_type().as_str()), (401, "unauthorized"));
    }
}

// A retry is known on every route; the same key on another route is another body's.
#[test]
fn a_retry_under_one_key_is_charged_once_whatever_the_route() {
    let engine = answering(ANSWER);
    let sidecar = Sidecar::start(&engine);
    let key = [("idempotency-key", "one")];
    let request = r#"{"messages":[]}"#;
    let first = post(sidecar.addr, Route::Messages.path(), &key, request);
    assert_eq!(first.status, 200);
    let again = post(sidecar.addr, Route::Messages.path(), &key, request);
    assert_eq!((again.status, anthropic(&again).as_str()), (409, "invalid_request_error"));
    assert!(again.text().contains(&first.receipt()));
    let other = post(sidecar.addr, Route::Responses.path(), &key, r#"{"input":"x"}"#);
    assert_eq!((other.status, other.error_type().as_str()), (422, "conflict"));
    assert_eq!(engine.requests(), 1);
    assert_eq!(sha256_hex(&first.body), sha256_hex(ANSWER.as_bytes()));
}
