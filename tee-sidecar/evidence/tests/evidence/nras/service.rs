//! An attestation service of our own: it mints answers like NVIDIA's, under a key that everybody
//! can compute.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha384};

pub(crate) const NOW_SECS: u64 = 1_790_000_000;
pub(crate) const LIFETIME_SECS: u64 = 3600;
pub(crate) const NONCE: [u8; 32] = [0x5c; 32];
pub(crate) const KID: &str = "nv-eat-kid-test";

/// The key under `label`.
pub(crate) fn key(label: &str) -> SigningKey {
    SigningKey::from_slice(&Sha384::digest(label)).unwrap()
}

/// The service's own key.
pub(crate) fn service_key() -> SigningKey {
    key("tee-evidence test attestation service")
}

/// A key as NVIDIA's key set has it, less the certificates.
pub(crate) fn jwk(kid: &str, key: &SigningKey) -> Value {
    let point = key.verifying_key().to_encoded_point(false);
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (coordinate(point.x().unwrap()), coordinate(point.y().unwrap()));
    json!({"kty": "EC", "crv": "P-384", "kid": kid, "x": x, "y": y})
}

pub(crate) fn jwks() -> Value {
    json!({"keys": [jwk(KID, &service_key())]})
}

pub(crate) fn header() -> Value {
    json!({"kid": KID, "alg": "ES384"})
}

/// A token of these parts, signed whatever they say.
pub(crate) fn sign(key: &SigningKey, header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature: Signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

pub(crate) fn token(claims: &Value) -> String {
    sign(&service_key(), header().to_string().as_bytes(), claims.to_string().as_bytes())
}

/// What stands in every token.
fn common() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://nras.attestation.nvidia.com",
        "eat_nonce": hex::encode(NONCE),
        "nbf": NOW_SECS,
        "iat": NOW_SECS,
        "exp": NOW_SECS + LIFETIME_SECS,
        "jti": "00000000-0000-4000-8000-000000000000",
    });
    claims.as_object().unwrap().clone()
}

/// The claims of a GPU that is in good order, in version 2.0 or 3.0.
pub(crate) fn gpu_claims(version: &str, number: usize) -> Value {
    let mut claims = common();
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("measres", json!("success"));
    set("secboot", json!(true));
    set("dbgstat", json!("disabled"));
    set("hwmodel", json!("GH100 A01 GSP BROM"));
    set("oemid", json!("5703"));
    set("ueid", json!((478_176_379_286_000_000_usize + number).to_string()));
    set("x-nvidia-gpu-driver-version", json!("550.90.07"));
    set("x-nvidia-gpu-vbios-version", json!("96.00.9F.00.01"));
    set("x-nvidia-attestation-warning", Value::Null);
    for flag in flags(version) {
        set(&flag, json!(true));
    }
    if version == "3.0" {
        for chain in ["attestation-report", "driver-rim", "vbios-rim"] {
            set(&format!("x-nvidia-gpu-{chain}-cert-chain"), good_chain());
        }
    }
    Value::Object(claims)
}

/// Every check that the version reports as a flag, as NVIDIA's documents list them.
pub(crate) fn flags(version: &str) -> Vec<String> {
    let report = ["parsed", "nonce-match", "signature-verified"];
    let rim = ["fetched", "schema-validated", "signature-verified", "measurements-available"];
    let of_version = match version {
        "2.0" => [
            "attestation-report-cert-chain-validated",
            "driver-rim-cert-validated",
            "vbios-rim-cert-validated",
        ],
        _ => [
            "attestation-report-cert-chain-fwid-match",
            "driver-rim-version-match",
            "vbios-rim-version-match",
        ],
    };
    let mut flags: Vec<String> = vec!["arch-check".into(), "vbios-index-no-conflict".into()];
    flags.extend(report.map(|check| format!("attestation-report-{check}")));
    flags.extend(rim.map(|check| format!("driver-rim-{check}")));
    flags.extend(rim.map(|check| format!("vbios-rim-{check}")));
    flags.extend(of_version.map(str::to_owned));
    flags.into_iter().map(|flag| format!("x-nvidia-gpu-{flag}")).collect()
}

pub(crate) fn good_chain() -> Value {
    json!({
        "x-nvidia-cert-status": "valid",
        "x-nvidia-cert-ocsp-status": "good",
        "x-nvidia-cert-expiration-date": "9999-12-31T23:59:59Z",
        "x-nvidia-cert-revocation-reason": null,
    })
}

/// The overall claims over these tokens.
pub(crate) fn overall_claims(version: &str, tokens: &[(String, String)]) -> Value {
    let submodules = tokens.iter().map(|(name, token)| {
        (name.clone(), json!(["DIGEST", ["SHA-256", hex::encode(Sha256::digest(token))]]))
    });
    let mut claims = common();
    claims.insert("sub".to_owned(), json!("NVIDIA-PLATFORM-ATTESTATION"));
    claims.insert("x-nvidia-ver".to_owned(), json!(version));
    claims.insert("x-nvidia-overall-att-result".to_owned(), json!(true));
    claims.insert("submods".to_owned(), Value::Object(submodules.collect()));
    Value::Object(claims)
}

pub(crate) fn answer(overall: &str, tokens: &[(String, String)]) -> Value {
    let tokens = tokens.iter().map(|(name, token)| (name.clone(), json!(token)));
    json!([["JWT", overall], Value::Object(tokens.collect())])
}

/// The tokens of `count` GPUs in good order.
pub(crate) fn gpu_tokens(version: &str, count: usize) -> Vec<(String, String)> {
    let of = |number| (format!("GPU-{number}"), token(&gpu_claims(version, number)));
    (0..count).map(of).collect()
}

/// A whole answer that holds.
pub(crate) fn good_answer(version: &str, count: usize) -> Value {
    let tokens = gpu_tokens(version, count);
    answer(&token(&overall_claims(version, &tokens)), &tokens)
}
