//! What the service must say of each GPU.

use serde_json::{Value, json};
use tee_evidence::nras::{GpuFault, NrasError, TokenFault, VerifiedNras};

use super::service::{
    NOW_SECS, answer, flags, good_chain, gpu_claims, gpu_tokens, overall_claims, token,
};
use super::{check, expected};

/// An answer for two GPUs, the second of which has other claims.
fn with_gpu(version: &str, edit: impl FnOnce(&mut Value)) -> Result<VerifiedNras, NrasError> {
    let mut tokens = gpu_tokens(version, 1);
    let mut claims = gpu_claims(version, 1);
    edit(&mut claims);
    tokens.push(("GPU-1".to_owned(), token(&claims)));
    let overall = token(&overall_claims(version, &tokens));
    check(&answer(&overall, &tokens), &expected(2))
}

fn gpu_fault(fault: GpuFault) -> Result<VerifiedNras, NrasError> {
    Err(NrasError::Gpu { gpu: "GPU-1".to_owned(), fault })
}

fn token_fault(fault: TokenFault) -> Result<VerifiedNras, NrasError> {
    Err(NrasError::Token { token: "GPU-1".to_owned(), fault })
}

#[test]
fn a_gpu_that_is_not_in_order_is_refused_by_name() {
    for version in ["2.0", "3.0"] {
        let with = |claim: &str, value: Value| with_gpu(version, |claims| claims[claim] = value);
        for measured in ["fail", "comparison-fail", "Success", ""] {
            let fault = GpuFault::Measurements(measured.to_owned());
            assert_eq!(with("measres", json!(measured)), gpu_fault(fault));
        }
        assert_eq!(with("secboot", json!(false)), gpu_fault(GpuFault::SecureBoot));
        for debug in ["enabled", "disabled-since-boot", ""] {
            let fault = GpuFault::Debug(debug.to_owned());
            assert_eq!(with("dbgstat", json!(debug)), gpu_fault(fault));
        }
        let fault = GpuFault::Maker("4242".to_owned());
        assert_eq!(with("oemid", json!("4242")), gpu_fault(fault));
    }
}

#[test]
fn every_flag_must_be_there_and_true() {
    for version in ["2.0", "3.0"] {
        assert_eq!(flags(version).len(), 16);
        for flag in flags(version) {
            let refused = with_gpu(version, |claims| claims[&flag] = json!(false));
            assert_eq!(refused, gpu_fault(GpuFault::Check(flag.clone())));
            let removed = with_gpu(version, |claims| {
                claims.as_object_mut().unwrap().remove(&flag);
            });
            for refused in [
                removed,
                with_gpu(version, |claims| claims[&flag] = json!("true")),
                with_gpu(version, |claims| claims[&flag] = Value::Null),
            ] {
                let Err(NrasError::Gpu { fault: GpuFault::MissingClaim(name), .. }) = refused
                else {
                    panic!("{flag}: {refused:?}");
                };
                assert_eq!(name, flag);
            }
        }
    }
}

#[test]
fn every_other_claim_that_is_read_must_be_there() {
    for claim in [
        "measres",
        "secboot",
        "dbgstat",
        "oemid",
        "hwmodel",
        "ueid",
        "x-nvidia-gpu-driver-version",
        "x-nvidia-gpu-vbios-version",
        "x-nvidia-gpu-attestation-report-cert-chain",
        "x-nvidia-gpu-driver-rim-cert-chain",
        "x-nvidia-gpu-vbios-rim-cert-chain",
    ] {
        let missing = gpu_fault(GpuFault::MissingClaim(claim));
        let removed = with_gpu("3.0", |claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(removed, missing);
        assert_eq!(with_gpu("3.0", |claims| claims[claim] = json!(1)), missing);
    }
}

#[test]
fn chains_of_certificates_must_be_valid_good_and_not_revoked() {
    for chain in ["attestation-report", "driver-rim", "vbios-rim", "yet-to-be-invented"] {
        let chain = format!("x-nvidia-gpu-{chain}-cert-chain");
        for (member, value, wanted) in [
            ("x-nvidia-cert-status", json!("expired"), "valid"),
            ("x-nvidia-cert-status", Value::Null, "valid"),
            ("x-nvidia-cert-ocsp-status", json!("revoked"), "good"),
            ("x-nvidia-cert-ocsp-status", json!("unknown"), "good"),
            ("x-nvidia-cert-revocation-reason", json!("certificate_hold"), "null"),
        ] {
            let refused = with_gpu("3.0", |claims| {
                claims[&chain] = good_chain();
                claims[&chain][member] = value;
            });
            let fault = GpuFault::Certificates { chain: chain.clone(), member, wanted };
            assert_eq!(refused, gpu_fault(fault));
        }
    }
}

#[test]
fn a_flag_that_is_not_known_counts_when_it_says_no() {
    for version in ["2.0", "3.0"] {
        let flag = "x-nvidia-gpu-yet-to-be-invented";
        let refused = with_gpu(version, |claims| claims[flag] = json!(false));
        assert_eq!(refused, gpu_fault(GpuFault::Check(flag.to_owned())));
        with_gpu(version, |claims| claims[flag] = json!(true)).unwrap();
    }
}

#[test]
fn a_reported_fault_is_a_fault_whatever_the_flags_say() {
    for claim in ["x-nvidia-error-details", "x-nvidia-mismatch-measurement-records"] {
        let refused = with_gpu("3.0", |claims| claims[claim] = json!([]));
        assert_eq!(refused, gpu_fault(GpuFault::Reported(claim)));
        with_gpu("3.0", |claims| claims[claim] = Value::Null).unwrap();
    }
}

/// Flags of one version do not stand for those of the other.
#[test]
fn claims_of_the_other_version_are_refused() {
    for (said, meant) in [("2.0", "3.0"), ("3.0", "2.0")] {
        let tokens = gpu_tokens(meant, 1);
        let overall = token(&overall_claims(said, &tokens));
        let refused = check(&answer(&overall, &tokens), &expected(1));
        let Err(NrasError::Gpu { fault: GpuFault::MissingClaim(_), .. }) = refused else {
            panic!("{said} with the claims of {meant}: {refused:?}");
        };
    }
}

#[test]
fn a_device_s_token_has_a_nonce_an_issuer_and_dates_of_its_own() {
    let with = |claim: &str, value: Value| with_gpu("3.0", |claims| claims[claim] = value);
    let other_nonce = hex::encode([0x5d; 32]);
    assert_eq!(with("eat_nonce", json!(other_nonce)), token_fault(TokenFault::Nonce));
    for odd in ["", "5c", "0x5c"] {
        assert_eq!(with("eat_nonce", json!(odd)), token_fault(TokenFault::Nonce));
    }
    let fault = TokenFault::Issuer("https://nras.example".to_owned());
    assert_eq!(with("iss", json!("https://nras.example")), token_fault(fault));
    let (exp_secs, now_secs) = (NOW_SECS - 3600, NOW_SECS);
    let fault = TokenFault::Expired { exp_secs, now_secs };
    assert_eq!(with("exp", json!(exp_secs)), token_fault(fault));
    let from_secs = NOW_SECS + 3600;
    for claim in ["nbf", "iat"] {
        let fault = TokenFault::NotYetValid { from_secs, now_secs };
        assert_eq!(with(claim, json!(from_secs)), token_fault(fault));
    }
}

#[test]
fn the_answer_expires_with_the_first_of_its_tokens() {
    let verified = with_gpu("3.0", |claims| claims["exp"] = json!(NOW_SECS + 5)).unwrap();
    assert_eq!(verified.expires_secs, NOW_SECS + 5);
}

#[test]
fn warnings_are_handed_on() {
    let warning = "x-nvidia-attestation-warning";
    let verified = with_gpu("2.0", |claims| claims[warning] = json!("old driver")).unwrap();
    assert_eq!(verified.warnings().collect::<Vec<_>>(), [("GPU-1", "old driver")]);
    let odd = with_gpu("2.0", |claims| claims[warning] = json!(["old driver"]));
    assert_eq!(odd, gpu_fault(GpuFault::MissingClaim(warning)));
}
