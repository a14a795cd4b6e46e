//! Answers of the attestation service and key sets. The bytes are either.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tee_evidence::nras::{CLOCK_SKEW_SECS_MAX, Expected, Jwks, NRAS_ISSUER, NrasAnswer, verify};

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../../evidence/tests/evidence/nras/service.rs"]
mod service;

static JWKS: LazyLock<Jwks> = LazyLock::new(|| {
    Jwks::parse(service::jwks().to_string().as_bytes()).expect("the service's own key set")
});

fuzz_target!(|json: &[u8]| {
    let keys = Jwks::parse(json);
    let Ok(answer) = NrasAnswer::parse(json) else { return };
    assert!(keys.is_err(), "an answer is no key set");
    for gpus in [1, 2] {
        let expected = Expected {
            issuer: NRAS_ISSUER,
            nonce: service::NONCE,
            gpus,
            now_secs: service::NOW_SECS,
        };
        let Ok(verified) = verify(&answer, &JWKS, &expected) else { continue };
        assert_eq!(verified.gpus.len(), gpus);
        assert!(verify(&answer, &Jwks::default(), &expected).is_err(), "no key, no answer");
        let other_nonce = Expected { nonce: [0; 32], ..expected };
        assert!(verify(&answer, &JWKS, &other_nonce).is_err(), "another nonce");
        let now_secs = verified.expires_secs.saturating_add(CLOCK_SKEW_SECS_MAX);
        assert!(verify(&answer, &JWKS, &Expected { now_secs, ..expected }).is_err(), "too late");
    }
});
