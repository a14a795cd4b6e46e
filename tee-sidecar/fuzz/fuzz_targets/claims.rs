//! What stands inside a token that the service signed. The bytes are a header, a line break and the
//! claims of a GPU; both are signed as they are, and named in an overall token that is in order.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tee_evidence::nras::{Expected, Jwks, NRAS_ISSUER, NrasAnswer, verify};

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../../evidence/tests/evidence/nras/service.rs"]
mod service;

static JWKS: LazyLock<Jwks> = LazyLock::new(|| {
    Jwks::parse(service::jwks().to_string().as_bytes()).expect("the service's own key set")
});

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else { return };
    let tokens = [("GPU-0".to_owned(), service::sign(&service::service_key(), header, claims))];
    for version in ["2.0", "3.0"] {
        let overall = service::token(&service::overall_claims(version, &tokens));
        let answer = service::answer(&overall, &tokens).to_string();
        let answer = NrasAnswer::parse(answer.as_bytes()).expect("an answer of the right form");
        let expected = Expected {
            issuer: NRAS_ISSUER,
            nonce: service::NONCE,
            gpus: 1,
            now_secs: service::NOW_SECS,
        };
        if verify(&answer, &JWKS, &expected).is_ok() {
            check_with_another_reader(version, header, claims);
        }
    }
});

/// What was accepted says the same to a reader that takes the last of equal keys.
fn check_with_another_reader(version: &str, header: &[u8], claims: &[u8]) {
    let header: Value = serde_json::from_slice(header).expect("a header");
    let claims: Value = serde_json::from_slice(claims).expect("claims");
    assert_eq!((&header["alg"], &header["kid"]), (&json!("ES384"), &json!(service::KID)));
    assert!(header.get("crit").is_none());
    assert_eq!(claims["measres"], "success");
    assert_eq!(claims["secboot"], true);
    assert_eq!(claims["dbgstat"], "disabled");
    assert_eq!(claims["iss"], NRAS_ISSUER);
    for flag in service::flags(version) {
        assert_eq!(claims[&flag], true, "{flag}");
    }
}
