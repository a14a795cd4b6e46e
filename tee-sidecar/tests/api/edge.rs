//! Bad input at the edge: each a clear error in OpenAI's shape, with the ids of its answer.

use broker_core::LedgerReader;
use serde_json::json;
use tee_sidecar::config::Auth;

use crate::support::{Conn, Engine, MODEL, Sidecar, Step, api_key, get, post, whole};

const CHAT: &str = "/v1/chat/completions";
const ANSWER: &str = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";

fn engine() -> Engine {
    Engine::start(|_| vec![Step::Raw(whole(200, ANSWER.as_bytes()))])
}

#[test]
fn a_bad_body_is_refused_before_the_engine_sees_it() {
    let engine = engine();
    let sidecar = Sidecar::start(&engine);
    for (body, status, kind) in [
        (String::new(), 400, "bad_request"),
        ("nonsense".into(), 400, "bad_request"),
        ("[]".into(), 400, "bad_request"),
        ("{\"model\":".into(), 400, "bad_request"),
        ("{}".into(), 400, "bad_request"),
        (json!({"model": MODEL, "messages": "x"}).to_string(), 400, "bad_request"),
        (json!({"model": 7, "messages": []}).to_string(), 400, "bad_request"),
        (json!({"model": MODEL, "messages": [], "n": "x"}).to_string(), 400, "bad_request"),
        (json!({"model": "gpt-9", "messages": []}).to_string(), 404, "not_found"),
        ("x".repeat(1024 * 1024 + 1), 413, "payload_too_large"),
    ] {
        let response = post(sidecar.addr, CHAT, &[], &body);
        assert_eq!((response.status, response.error_type().as_str()), (status, kind));
        response.receipt();
    }
    let encoded = post(sidecar.addr, CHAT, &[("content-encoding", "gzip")], "x");
    assert_eq!(encoded.status, 415);
    assert!(engine.seen().is_empty());
    assert_eq!(sidecar.reader().audit().unwrap().transfers, 0);
}

#[test]
fn a_body_longer_than_the_limit_is_refused_even_if_it_is_chunked() {
    let engine = engine();
    let sidecar = Sidecar::start(&engine);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut conn = Conn::open(sidecar.addr);
    conn.send_chunked(CHAT, chunk.repeat(17).as_bytes());
    assert_eq!(conn.response().status, 413);
    assert!(engine.seen().is_empty());
}

// R1: no spelling of a charged route is served without a key.
#[test]
fn no_spelling_of_a_route_is_served_without_a_key() {
    let engine = engine();
    let sidecar = Sidecar::with(&engine, |s| {
        s.auth = Auth::ApiKeys(vec![api_key("a", "key-0123456789abcdef", None)]);
    });
    let body = json!({"model": MODEL, "messages": []}).to_string();
    for path in [
        CHAT,
        "/v1/chat/completions?x=1",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/%63hat/completions",
        "/V1/chat/completions",
        "/v1/proxy/chat/completions",
        "/v1/proxy/v1/chat/completions",
        "/v1/proxy/completions",
        "/v1/./chat/completions",
        "/v1/x/../chat/completions",
        "/chat/completions",
        "/v1/completions",
        "/v1/proxy/../chat/completions",
    ] {
        let response = post(sidecar.addr, path, &[], &body);
        assert!(matches!(response.status, 401 | 404), "{path}: {}", response.status);
        response.error_type();
    }
    assert!(engine.seen().is_empty());
}

// R2, R11: every way to present a wrong key.
#[test]
fn a_missing_or_wrong_key_is_a_401() {
    let engine = engine();
    let sidecar = Sidecar::with(&engine, |s| {
        s.auth = Auth::ApiKeys(vec![api_key("a", "key-0123456789abcdef", None)]);
    });
    let body = json!({"model": MODEL, "messages": []}).to_string();
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer key-0123456789abcde",
        "Bearer key-0123456789abcdef0",
        "Basic key-0123456789abcdef",
        "key-0123456789abcdef",
        "Bearer \u{e9}",
    ] {
        let response = post(sidecar.addr, CHAT, &[("authorization", value)], &body);
        assert_eq!((response.status, response.error_type().as_str()), (401, "unauthorized"));
        assert_eq!(response.header("www-authenticate"), Some("Bearer"));
        response.receipt();
    }
    let good = [("Authorization", "bearer key-0123456789abcdef")];
    assert_eq!(post(sidecar.addr, CHAT, &good, &body).status, 200);
    assert_eq!(engine.seen().len(), 1);
}

#[test]
fn a_wrong_method_or_route_is_named() {
    let engine = engine();
    let sidecar = Sidecar::start(&engine);
    let response = get(sidecar.addr, CHAT, &[]);
    assert_eq!((response.status, response.header("allow")), (405, Some("POST")));
    let response = post(sidecar.addr, "/v1/signature/x", &[], "");
    assert_eq!((response.status, response.header("allow")), (405, Some("GET")));
    let response = get(sidecar.addr, "/v2/nothing", &[]);
    assert_eq!((response.status, response.error_type().as_str()), (404, "not_found"));
}

// What is refused on an inference route has a receipt id too, whatever it is refused for.
#[test]
fn a_wrong_method_on_an_inference_route_has_the_ids_of_one() {
    let engine = engine();
    let sidecar = Sidecar::start(&engine);
    for path in [CHAT, "/v1/proxy/chat/completions"] {
        let response = get(sidecar.addr, path, &[]);
        assert_eq!(response.status, 405);
        response.receipt();
    }
}

// A5, A8: what may be asked of a report.
#[test]
fn a_report_answers_its_nonce_and_refuses_bad_ones() {
    let engine = engine();
    let sidecar = Sidecar::start(&engine);
    let upper = "AB".repeat(32);
    for base in ["", "/v1", "/v1/proxy"] {
        let path = format!("{base}/attestation/report?nonce={upper}");
        let report = get(sidecar.addr, &path, &[]).json();
        assert_eq!(report["request_nonce"], upper.to_lowercase());
        assert_eq!(report["simulated"], true);
        assert_eq!(report["all_attestations"][0]["intel_quote"], report["intel_quote"]);
        for name in ["event_log", "vm_config", "nvidia_payload", "intel_quote"] {
            assert!(report[name].is_string(), "{name}");
        }
        assert!(report["info"]["tcb_info"]["app_compose"].is_string());
    }
    let address = get(sidecar.addr, "/attestation/report", &[]).json()["signing_address"]
        .as_str()
        .unwrap()
        .to_lowercase();
    for (query, status, kind) in [
        (format!("nonce={}", "a".repeat(63)), 400, "bad_request"),
        (format!("nonce={}", "g".repeat(64)), 400, "bad_request"),
        ("nonce=".to_owned(), 400, "bad_request"),
        ("signing_algo=rsa".to_owned(), 400, "invalid_signing_algo"),
        (format!("signing_address=0x{}", "0".repeat(40)), 404, "not_found"),
    ] {
        let response = get(sidecar.addr, &format!("/attestation/report?{query}"), &[]);
        assert_eq!((response.status, response.error_type().as_str()), (status, kind), "{query}");
    }
    let path = format!("/v1/attestation/report?signing_address={address}&signing_algo=ecdsa");
    assert_eq!(get(sidecar.addr, &path, &[]).status, 200);
}

// R4: a web page in the operator's browser does not reach the operator's port.
#[test]
fn the_operators_port_refuses_web_pages() {
    let engine = engine();
    let sidecar = Sidecar::start(&engine);
    assert_eq!(get(sidecar.admin, "/healthz", &[("host", "localhost:3080")]).status, 200);
    let origin = get(sidecar.admin, "/healthz", &[("origin", "https://evil.example")]);
    assert_eq!((origin.status, origin.error_type().as_str()), (403, "forbidden"));
    let rebound = get(sidecar.admin, "/healthz", &[("host", "evil.example")]);
    assert_eq!(rebound.status, 403);
    // What a page may add to a request names no host.
    for forged in [("x-forwarded-host", "localhost"), ("forwarded", "host=localhost")] {
        let headers = [("host", "evil.example"), forged];
        assert_eq!(get(sidecar.admin, "/healthz", &headers).status, 403, "{forged:?}");
    }
}

#[test]
fn limits_answer_before_any_money_is_held() {
    let engine = Engine::start(|_| vec![Step::Gate, Step::Raw(whole(200, ANSWER.as_bytes()))]);
    let sidecar = Sidecar::with(&engine, |s| {
        s.limits.concurrent_max = 1;
        s.limits.requests_per_minute = Some(2);
    });
    let body = json!({"model": MODEL, "messages": []}).to_string();
    let mut first = Conn::open(sidecar.addr);
    first.send("POST", CHAT, &[], body.as_bytes());
    engine.wait_for_request();
    let full = post(sidecar.addr, CHAT, &[], &body);
    assert_eq!((full.status, full.header("retry-after")), (503, Some("1")));
    engine.open_gate();
    assert_eq!(first.response().status, 200);
    engine.open_gate();
    assert_eq!(post(sidecar.addr, CHAT, &[], &body).status, 200);
    let often = post(sidecar.addr, CHAT, &[], &body);
    assert_eq!((often.status, often.error_type().as_str()), (429, "rate_limited"));
    assert!(often.header("retry-after").is_some());
    for refused in [full, often] {
        let receipt = sidecar.receipt(&refused.receipt());
        assert!(receipt.proof.unwrap().claims.hold.is_zero());
    }
    assert_eq!(sidecar.reader().audit().unwrap().receipts, 4);
}
