//! Evidence as clients fetch it: the report at each of its places, what it refuses, 0G's quote.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{
    Engine, Response, Sidecar, get, gpu_nonce, nonce, post, recover, report_of, with_gpu,
};

/// An engine that nobody asks for a chat.
fn sidecar() -> (Engine, Sidecar) {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, with_gpu);
    (engine, sidecar)
}

fn ask(sidecar: &Sidecar, query: &str) -> Response {
    get(sidecar.addr, &format!("/v1/attestation/report{query}"), &[])
}

// A8: whoever asks with a nonce gets evidence of this moment.
#[test]
fn a_report_answers_its_nonce_at_every_place_and_on_both_ports() {
    let (_engine, sidecar) = sidecar();
    let mut asked = 0;
    for addr in [sidecar.addr, sidecar.admin] {
        for base in ["", "/v1", "/v1/proxy", "/v1/proxy/v1"] {
            asked += 1;
            let nonce = nonce(asked);
            let path = format!("{base}/attestation/report?nonce={nonce}");
            let report = report_of(&get(addr, &path, &[("x-request-id", "mine")]));
            assert_eq!(report["request_nonce"], nonce.as_str(), "{path}");
            assert_eq!(gpu_nonce(&report), nonce.as_str(), "{path}");
            let address = report["signing_address"].as_str().unwrap().to_lowercase();
            let bound = format!("{}{}{nonce}", &address[2..], "00".repeat(12));
            assert_eq!(report["report_data"], bound, "{path}");
        }
    }
}

// A8.
#[test]
fn a_nonce_in_upper_case_is_the_same_nonce() {
    let (_engine, sidecar) = sidecar();
    let nonce = nonce(0);
    let report = report_of(&ask(&sidecar, &format!("?nonce={}", nonce.to_uppercase())));
    assert_eq!(report["request_nonce"], nonce.as_str());
    assert_eq!(gpu_nonce(&report), nonce.as_str());
}

#[test]
fn without_a_nonce_everybody_gets_the_same_bytes_and_one_who_names_a_model_a_list_more() {
    let (_engine, sidecar) = sidecar();
    let first = ask(&sidecar, "");
    let report = report_of(&first);
    assert_eq!(ask(&sidecar, "?signing_algo=ecdsa&unknown=1").body, first.body);
    let own = report["signing_address"].as_str().unwrap();
    for own in [own.to_uppercase().replacen('X', "x", 1), own.to_lowercase()] {
        assert_eq!(ask(&sidecar, &format!("?signing_address={own}")).body, first.body);
    }
    assert!(report.get("model_attestations").is_none());
    let named = report_of(&ask(&sidecar, "?model=any"));
    assert_eq!(named["request_nonce"], report["request_nonce"]);
    assert_eq!(named["model_attestations"], report["all_attestations"]);
}

// A8, A9: what cannot be answered as asked is refused, never answered as something else.
#[test]
fn a_question_that_means_nothing_is_refused_and_says_which_part_of_it() {
    let (_engine, sidecar) = sidecar();
    let good = nonce(0);
    let foreign = "0x00000000000000000000000000000000000000aa";
    for (query, status, kind, param) in [
        ("nonce=".to_owned(), 400, "bad_request", json!("nonce")),
        (format!("nonce={}", &good[1..]), 400, "bad_request", json!("nonce")),
        (format!("nonce={good}0"), 400, "bad_request", json!("nonce")),
        (format!("nonce=0x{good}"), 400, "bad_request", json!("nonce")),
        (
            format!("nonce={}", good.replacen(&good[..1], "g", 64)),
            400,
            "bad_request",
            json!("nonce"),
        ),
        (format!("nonce={good}&nonce={good}"), 400, "bad_request", Value::Null),
        (format!("nonce={good}&binding=v3"), 400, "bad_request", json!("binding")),
        (format!("nonce={good}&binding="), 400, "bad_request", json!("binding")),
        (format!("nonce={good}&signing_algo=rsa"), 400, "invalid_signing_algo", Value::Null),
        (format!("nonce={good}&signing_algo=ed25519"), 400, "invalid_signing_algo", Value::Null),
        (format!("nonce={good}&signing_algo="), 400, "invalid_signing_algo", Value::Null),
        (format!("nonce={good}&signing_address={foreign}"), 404, "not_found", Value::Null),
        (format!("nonce={good}&signing_address="), 404, "not_found", Value::Null),
        ("include_tls_fingerprint=true".to_owned(), 400, "bad_request", json!(TLS)),
        ("include_tls_fingerprint=1".to_owned(), 400, "bad_request", json!(TLS)),
        ("include_tls_fingerprint=true&binding=v2".to_owned(), 400, "bad_request", json!(TLS)),
        ("version=2".to_owned(), 400, "bad_request", json!(TLS)),
        ("version=3".to_owned(), 400, "bad_request", json!("version")),
    ] {
        for base in ["", "/v1", "/v1/proxy"] {
            let refused = get(sidecar.addr, &format!("{base}/attestation/report?{query}"), &[]);
            assert_eq!((refused.status, refused.error_type().as_str()), (status, kind), "{query}");
            assert_eq!(refused.json()["error"]["param"], param, "{query}");
            assert_eq!(refused.header("content-type"), Some("application/json"));
        }
    }
    let posted = post(sidecar.addr, "/v1/attestation/report", &[], "{}");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
}

// The GPU evidence answers a nonce that follows from the key, and the quote covers that evidence.
#[test]
fn the_binding_of_gpu_and_quote_is_there_for_those_who_ask() {
    let (_engine, sidecar) = sidecar();
    let nonce = nonce(0);
    let plain = report_of(&ask(&sidecar, &format!("?nonce={nonce}")));
    assert!(plain.get("binding").is_none());
    let bound = report_of(&ask(&sidecar, &format!("?nonce={nonce}&binding=v2")));
    assert_eq!(bound["request_nonce"], nonce.as_str());
    assert_eq!(bound["binding"]["version"], "v2");
    assert_eq!(bound["binding"]["gpu_nonce"], gpu_nonce(&bound));
    assert_ne!(gpu_nonce(&bound), nonce.as_str());
    assert_ne!(bound["report_data"], plain["report_data"]);
}

// N9: the header is over the body's bytes as they are, and the quote names the signer.
#[test]
fn the_quote_of_0g_is_signed_to_the_byte_by_the_key_that_it_binds() {
    let (_engine, sidecar) = sidecar();
    let quote = get(sidecar.addr, "/v1/quote", &[]);
    assert_eq!((quote.status, quote.complete), (200, true));
    assert_eq!(quote.header("content-type"), Some("text/plain; charset=utf-8"));
    let signature = quote.header("zg-quote-signature").unwrap();
    let signed = json!({"signature": signature, "text": quote.text()});
    let signer = report_of(&ask(&sidecar, ""))["signing_address"].clone();
    assert_eq!(recover(&signed), signer.as_str().unwrap());
    let changed = json!({"signature": signature, "text": format!("{} ", quote.text())});
    assert_ne!(recover(&changed), signer.as_str().unwrap());

    let body = quote.json();
    let data = STANDARD.decode(body["report_data"].as_str().unwrap()).unwrap();
    let named = String::from_utf8(data.clone()).unwrap();
    assert_eq!((named.trim_end_matches('\0'), data.len()), (signer.as_str().unwrap(), 64));
    assert!(body["quote"].as_str().unwrap().contains(&hex::encode(&data)));
    assert_eq!(body["simulated"], true);

    let same = get(sidecar.addr, "/v1/quote?legacy=true", &[]);
    assert_eq!((same.status, &same.body), (200, &quote.body));
    assert_eq!(same.header("zg-quote-signature"), Some(signature));
}

#[test]
fn the_quote_of_0g_refuses_other_forms_and_other_methods() {
    let (_engine, sidecar) = sidecar();
    for (query, status, kind, param) in [
        ("legacy=false", 404, "not_found", Value::Null),
        ("legacy=x", 400, "bad_request", json!("legacy")),
        ("legacy=", 400, "bad_request", json!("legacy")),
        ("legacy=true&legacy=false", 400, "bad_request", json!("legacy")),
    ] {
        let refused = get(sidecar.addr, &format!("/v1/quote?{query}"), &[]);
        assert_eq!((refused.status, refused.error_type().as_str()), (status, kind), "{query}");
        assert_eq!(refused.json()["error"]["param"], param, "{query}");
        assert_eq!(refused.header("zg-quote-signature"), None);
    }
    let posted = post(sidecar.addr, "/v1/quote", &[], "{}");
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET")));
}

const TLS: &str = "include_tls_fingerprint";
