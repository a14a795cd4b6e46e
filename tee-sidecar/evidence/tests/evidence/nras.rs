//! Answers of NVIDIA's attestation service: minted ones, forged ones and a captured one.

use serde_json::{Value, json};
use tee_evidence::nras::{
    CLOCK_SKEW_SECS_MAX, ClaimsVersion, Expected, Jwks, NRAS_ISSUER, NrasAnswer, NrasError,
    TokenFault, VerifiedNras, verify,
};

mod captured_answer;
mod forged;
mod gpu_claims;
mod key_set;
pub(crate) mod service;

use service::{
    LIFETIME_SECS, NONCE, NOW_SECS, answer, good_answer, gpu_tokens, jwks, overall_claims, token,
};

pub(crate) fn expected(gpus: usize) -> Expected<'static> {
    Expected { issuer: NRAS_ISSUER, nonce: NONCE, gpus, now_secs: NOW_SECS }
}

fn keys() -> Jwks {
    Jwks::parse(jwks().to_string().as_bytes()).unwrap()
}

fn check(answer: &Value, expected: &Expected<'_>) -> Result<VerifiedNras, NrasError> {
    verify(&NrasAnswer::parse(answer.to_string().as_bytes())?, &keys(), expected)
}

/// An answer for one GPU whose overall claims were changed before they were signed.
fn with_overall(edit: impl FnOnce(&mut Value)) -> Result<VerifiedNras, NrasError> {
    let tokens = gpu_tokens("3.0", 1);
    let mut claims = overall_claims("3.0", &tokens);
    edit(&mut claims);
    check(&answer(&token(&claims), &tokens), &expected(1))
}

fn overall_fault(fault: TokenFault) -> NrasError {
    NrasError::Token { token: "overall".to_owned(), fault }
}

#[test]
fn answers_of_both_versions_verify_and_say_what_runs_on_each_gpu() {
    for (name, version) in [("2.0", ClaimsVersion::V2), ("3.0", ClaimsVersion::V3)] {
        let verified = check(&good_answer(name, 8), &expected(8)).unwrap();
        assert_eq!(verified.version, version);
        assert_eq!(verified.expires_secs, NOW_SECS + LIFETIME_SECS);
        assert_eq!(verified.gpus.len(), 8);
        assert_eq!(verified.gpus[7].name, "GPU-7");
        assert_eq!(verified.gpus[7].driver_version, "550.90.07");
        assert_eq!(verified.gpus[7].vbios_version, "96.00.9F.00.01");
        assert_eq!(verified.gpus[7].hwmodel, "GH100 A01 GSP BROM");
        assert_eq!(verified.gpus[7].ueid, "478176379286000007");
        assert_eq!(verified.warnings().count(), 0);
    }
}

#[test]
fn a_token_holds_from_its_first_second_to_its_last_give_or_take_the_skew() {
    let answer = good_answer("3.0", 1);
    let at = |now_secs| check(&answer, &Expected { now_secs, ..expected(1) });
    let (exp_secs, skew) = (NOW_SECS + LIFETIME_SECS, CLOCK_SKEW_SECS_MAX);
    at(NOW_SECS - skew).unwrap();
    at(exp_secs + skew - 1).unwrap();

    let now_secs = NOW_SECS - skew - 1;
    let early = TokenFault::NotYetValid { from_secs: NOW_SECS, now_secs };
    assert_eq!(at(now_secs), Err(overall_fault(early)));
    for now_secs in [exp_secs + skew, u64::MAX] {
        let late = TokenFault::Expired { exp_secs, now_secs };
        assert_eq!(at(now_secs), Err(overall_fault(late)));
    }
    assert!(at(0).is_err());
}

#[test]
fn an_answer_for_another_nonce_issuer_or_number_of_gpus_is_refused() {
    let answer = good_answer("3.0", 2);
    let other_nonce = Expected { nonce: [0x5d; 32], ..expected(2) };
    assert_eq!(check(&answer, &other_nonce), Err(overall_fault(TokenFault::Nonce)));
    for issuer in ["", "https://nras.attestation.nvidia.com/", "https://nras.example"] {
        let refused = check(&answer, &Expected { issuer, ..expected(2) });
        let fault = TokenFault::Issuer(NRAS_ISSUER.to_owned());
        assert_eq!(refused, Err(overall_fault(fault)), "{issuer}");
    }
    for gpus in [0, 1, 3] {
        let refused = check(&answer, &expected(gpus));
        assert_eq!(refused, Err(NrasError::GpuCount { expected: gpus, found: 2 }));
    }
}

#[test]
fn an_answer_about_no_gpu_proves_nothing_even_where_none_is_expected() {
    let refused = check(&good_answer("3.0", 0), &expected(0));
    assert_eq!(refused, Err(NrasError::GpuCount { expected: 0, found: 0 }));
}

#[test]
fn every_claim_of_the_overall_token_must_be_there() {
    for claim in [
        "iss",
        "exp",
        "nbf",
        "iat",
        "eat_nonce",
        "sub",
        "x-nvidia-ver",
        "submods",
        "x-nvidia-overall-att-result",
    ] {
        let missing = Err(overall_fault(TokenFault::MissingClaim(claim)));
        let removed = with_overall(|claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(removed, missing);
        for odd in [Value::Null, json!(["true"]), json!(-1), json!(1.5)] {
            assert_eq!(with_overall(|claims| claims[claim] = odd), missing);
        }
    }
}

#[test]
fn an_overall_token_that_says_no_or_something_else_is_refused() {
    let verdict = "x-nvidia-overall-att-result";
    assert_eq!(with_overall(|c| c[verdict] = json!(false)), Err(NrasError::OverallFalse));
    let texts = with_overall(|c| c[verdict] = json!("true"));
    assert_eq!(texts, Err(overall_fault(TokenFault::MissingClaim(verdict))));
    let other = with_overall(|c| c["sub"] = json!("NVIDIA-GPU"));
    assert_eq!(other, Err(NrasError::Subject("NVIDIA-GPU".to_owned())));
    for version in ["1.0", "3", "3.1", "4.0", ""] {
        let refused = with_overall(|c| c["x-nvidia-ver"] = json!(version));
        assert_eq!(refused, Err(NrasError::Version(version.to_owned())));
    }
}

#[test]
fn a_digest_must_be_a_sha_256_of_the_very_token() {
    let digest_form = Err(NrasError::DigestForm("GPU-0".to_owned()));
    let right = "00".repeat(32);
    for odd in [
        json!(null),
        json!(right),
        json!(["DIGEST"]),
        json!(["DIGEST", ["SHA-1", right]]),
        json!(["DIGEST", ["SHA-256", "00"]]),
        json!(["DIGEST", ["SHA-256", right, right]]),
        json!(["CLAIMS", ["SHA-256", right]]),
    ] {
        assert_eq!(with_overall(|c| c["submods"]["GPU-0"] = odd.clone()), digest_form, "{odd}");
    }
    let other = with_overall(|c| c["submods"]["GPU-0"] = json!(["DIGEST", ["SHA-256", right]]));
    assert_eq!(other, Err(NrasError::DigestMismatch("GPU-0".to_owned())));
}
