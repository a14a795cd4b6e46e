//! What Attested Confidential Inference (`aci/1`) asks of every answer, and its routes.

use serde_json::{Value, json};

use crate::support::{Engine, MODEL, Sidecar, get, gpu_nonce, nonce, post, with_gpu};

fn sidecar() -> (Engine, Sidecar) {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, with_gpu);
    (engine, sidecar)
}

#[test]
fn every_answer_names_the_protocol_and_the_keyset() {
    let (_engine, sidecar) = sidecar();
    let report = get(sidecar.addr, "/v1/aci/attestation", &[]);
    assert_eq!(report.status, 200);
    let digest = report.json()["workload_keyset_digest"].as_str().unwrap().to_owned();
    let chat = json!({"model": MODEL, "messages": []}).to_string();
    let answers = [
        get(sidecar.addr, "/healthz", &[]),
        get(sidecar.addr, "/v1/models", &[]),
        get(sidecar.addr, "/v1/attestation/report", &[]),
        get(sidecar.addr, "/v1/attestation/report?nonce=1", &[]),
        get(sidecar.addr, "/v1/aci/attestation?nonce=1", &[]),
        get(sidecar.addr, "/v1/quote?legacy=false", &[]),
        get(sidecar.addr, "/v1/nothing", &[]),
        get(sidecar.addr, "/v1/proxy/nothing", &[]),
        get(sidecar.addr, "/v1/log/head", &[]),
        post(sidecar.addr, "/v1/quote", &[], "{}"),
        post(sidecar.addr, "/v1/chat/completions", &[], "{"),
        post(sidecar.addr, "/v1/chat/completions", &[], &chat),
        get(sidecar.admin, "/healthz", &[]),
        // Refused before any route.
        get(sidecar.admin, "/healthz", &[("origin", "https://a.example")]),
    ];
    for answer in &answers {
        assert_eq!(answer.header("x-aci-version"), Some("aci/1"), "{}", answer.head);
        assert_eq!(answer.header("x-aci-keyset-digest"), Some(&*digest), "{}", answer.head);
    }
    assert_eq!(answers.last().unwrap().status, 403);
}

#[test]
fn an_aci_report_answers_its_nonce_and_nothing_else_is_one() {
    let (_engine, sidecar) = sidecar();
    let good = nonce(0xabc);
    let report = get(sidecar.addr, &format!("/v1/aci/attestation?nonce={good}&model=any"), &[]);
    assert_eq!(report.status, 200);
    assert_eq!(report.header("content-type"), Some("application/json"));
    assert_eq!(report.header("cache-control"), Some("no-store"));
    let evidence = &report.json()["attestation"]["evidence"];
    assert_eq!(evidence["request_nonce"], good.as_str());
    assert_eq!(gpu_nonce(evidence), good.as_str());
    let everybody = get(sidecar.addr, "/v1/aci/attestation", &[]);
    assert_eq!(get(sidecar.addr, "/v1/aci/attestation?x=1", &[]).body, everybody.body);

    let upper = "AB".repeat(32);
    for (query, param) in [
        (format!("nonce={upper}"), json!("nonce")),
        ("nonce=".to_owned(), json!("nonce")),
        (format!("nonce={}", &good[1..]), json!("nonce")),
        (format!("nonce={good}0"), json!("nonce")),
        (format!("nonce=0x{good}"), json!("nonce")),
        (format!("nonce={good}&nonce={good}"), json!("nonce")),
    ] {
        let refused = get(sidecar.addr, &format!("/v1/aci/attestation?{query}"), &[]);
        assert_eq!(refused.status, 400, "{query}");
        assert_eq!(refused.error_type(), "invalid_request_error", "{query}");
        let error = &refused.json()["error"];
        assert_eq!((&error["param"], &error["code"]), (&param, &Value::Null), "{query}");
    }
    let posted = post(sidecar.addr, "/v1/aci/attestation", &[], "{}");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
}

#[test]
fn a_kept_keyset_is_found_by_its_digest_with_the_report_that_attests_it() {
    let (_engine, sidecar) = sidecar();
    let report = get(sidecar.addr, "/v1/aci/attestation", &[]).json();
    let digest = report["workload_keyset_digest"].as_str().unwrap();
    for name in [digest, digest.strip_prefix("sha256:").unwrap()] {
        let kept = get(sidecar.addr, &format!("/v1/aci/keysets/{name}"), &[]);
        assert_eq!(kept.status, 200);
        let kept = kept.json();
        assert_eq!(kept["workload_keyset"], report["attestation"]["workload_keyset"]);
        assert_eq!(kept["report"]["workload_keyset_digest"], digest);
        assert_eq!(kept["report"]["attestation"]["evidence"]["request_nonce"], Value::Null);
        assert_eq!(kept["lineage"]["state"], "first");
        assert_eq!(kept["lineage"], report["attestation"]["evidence"]["key_lineage"]);
    }
    for name in [&"0".repeat(64), "x", &digest[..70]] {
        let unknown = get(sidecar.addr, &format!("/v1/aci/keysets/{name}"), &[]);
        assert_eq!((unknown.status, unknown.error_type().as_str()), (404, "not_found"), "{name}");
    }
}

#[test]
fn the_own_binding_shows_the_head_of_the_receipt_log() {
    let (_engine, sidecar) = sidecar();
    let path = format!("/v1/attestation/report?binding=v2&nonce={}", nonce(1));
    let report = get(sidecar.addr, &path, &[]).json();
    let head = get(sidecar.addr, "/v1/log/head", &[]).json();
    for member in ["log", "type", "key_id", "workload_keyset_digest"] {
        assert_eq!(report["log_head"][member], head[member], "{member}");
    }
    assert_eq!(report["key_lineage"]["signing_address"], report["signing_address"]);
}
