//! An answer that NVIDIA's service really gave. Its key was not kept.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tee_evidence::nras::{
    ClaimsVersion, Expected, Jwks, NRAS_ISSUER, NrasAnswer, NrasError, TokenFault, verify,
};

use super::service::{answer, jwk, key, overall_claims, token};
use super::{keys, overall_fault};
use crate::support::captured;

const GOLDEN_NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
const GOLDEN_KID: &str = "nv-eat-kid-prod-20250609211310110-93b13aa1-17e4-4c14-9d33-dba2323329f2";

fn golden() -> Expected<'static> {
    let mut nonce = [0; 32];
    hex::decode_to_slice(GOLDEN_NONCE, &mut nonce).unwrap();
    Expected { issuer: NRAS_ISSUER, nonce, gpus: 1, now_secs: 1_749_602_000 }
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join("nvidia/h100_golden").join(name)).unwrap()
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn without_its_key_a_real_answer_fails_closed() {
    let Some(folder) = captured() else { return };
    let answer = NrasAnswer::parse(&read(&folder, "nras_v4_claims3_detached_eat.json")).unwrap();
    let unknown = overall_fault(TokenFault::UnknownKid(GOLDEN_KID.to_owned()));
    assert_eq!(verify(&answer, &Jwks::default(), &golden()), Err(unknown.clone()));
    assert_eq!(verify(&answer, &keys(), &golden()), Err(unknown));

    let mine = json!({"keys": [jwk(GOLDEN_KID, &key("attacker"))]});
    let mine = Jwks::parse(mine.to_string().as_bytes()).unwrap();
    let refused = verify(&answer, &mine, &golden());
    assert_eq!(refused, Err(overall_fault(TokenFault::Signature)));
}

/// The real claims under a key of ours: what the service really writes passes every check.
#[test]
fn the_claims_of_a_real_answer_pass() {
    let Some(folder) = captured() else { return };
    let real: Value =
        serde_json::from_slice(&read(&folder, "nras_v4_claims3_detached_eat.json")).unwrap();
    let (overall, device) = (real[0][1].as_str().unwrap(), real[1]["GPU-0"].as_str().unwrap());
    let decoded: Value =
        serde_json::from_slice(&read(&folder, "nras_v4_claims3_decoded.json")).unwrap();
    assert_eq!(payload(device), decoded["GPU-0"]);

    let ours = [("GPU-0".to_owned(), token(&payload(device)))];
    let mut claims = payload(overall);
    // The digest rule gives the real digest for the real token.
    let digests = overall_claims("3.0", &[("GPU-0".to_owned(), device.to_owned())]);
    assert_eq!(claims["submods"], digests["submods"]);
    claims["submods"] = overall_claims("3.0", &ours)["submods"].clone();
    let minted = answer(&token(&claims), &ours).to_string();
    let minted = NrasAnswer::parse(minted.as_bytes()).unwrap();
    let verified = verify(&minted, &keys(), &golden()).unwrap();
    assert_eq!(verified.version, ClaimsVersion::V3);
    assert_eq!(verified.expires_secs, 1_749_605_458);
    assert_eq!(verified.gpus[0].driver_version, "550.90.07");
    assert_eq!(verified.gpus[0].vbios_version, "96.00.9F.00.01");
    assert_eq!(verified.gpus[0].hwmodel, "GH100 A01 GSP BROM");
    assert_eq!(verified.gpus[0].ueid, "478176379286082186618948445787393647364802107249");
    assert_eq!(verified.warnings().count(), 0);

    let other_nonce = Expected { nonce: [0; 32], ..golden() };
    let refused = verify(&minted, &keys(), &other_nonce);
    assert_eq!(refused, Err(overall_fault(TokenFault::Nonce)));
}

/// The real device token in an answer of ours, whose digest it matches: its key is not ours.
#[test]
fn a_real_device_token_under_a_minted_verdict_is_refused() {
    let Some(folder) = captured() else { return };
    let real: Value =
        serde_json::from_slice(&read(&folder, "nras_v4_claims3_detached_eat.json")).unwrap();
    let device = [("GPU-0".to_owned(), real[1]["GPU-0"].as_str().unwrap().to_owned())];
    let overall = token(&payload(real[0][1].as_str().unwrap()));
    let mixed = answer(&overall, &device).to_string();
    let mixed = NrasAnswer::parse(mixed.as_bytes()).unwrap();
    let refused = verify(&mixed, &keys(), &golden());
    let fault = TokenFault::UnknownKid(GOLDEN_KID.to_owned());
    assert_eq!(refused, Err(NrasError::Token { token: "GPU-0".to_owned(), fault }));
}
