//! Answers of NVIDIA's remote attestation service (NRAS): an overall token and one token for each
//! GPU, all signed by the service and tied together by digests.
//!
//! An answer counts only when every token is signed by a key of the service's key set. The key set
//! itself is trusted as it is passed in: the caller fetched it over TLS or was given it as a file.

use std::collections::BTreeSet;

use broker_core::Digest32;
use serde_json::Value;

use crate::strict_json;

mod claims;
mod error;
mod gpu;
mod jwks;
mod token;

use claims::Claims;
pub use error::{GpuFault, JwksError, NrasError, TokenFault};
pub use gpu::GpuClaims;
pub use jwks::Jwks;

/// Checks every signature, the issuer, the dates, the nonce, the verdict, that the tokens are those
/// that the overall token names, and what each GPU's token says of it.
pub fn verify(
    answer: &NrasAnswer,
    jwks: &Jwks,
    expected: &Expected<'_>,
) -> Result<VerifiedNras, NrasError> {
    let overall = token::verify(OVERALL, &answer.overall, jwks, expected)?;
    let version = check_verdict(&overall)?;
    check_tokens_are_those_named(answer, &overall, expected.gpus)?;
    let mut expires_secs = overall.expires_secs(OVERALL)?;
    let mut gpus = Vec::new();
    let mut devices = BTreeSet::new();
    for (name, text) in &answer.gpus {
        let claims = token::verify(name, text, jwks, expected)?;
        expires_secs = expires_secs.min(claims.expires_secs(name)?);
        let gpu = gpu::check(name, &claims, version)
            .map_err(|fault| NrasError::Gpu { gpu: name.clone(), fault })?;
        if !devices.insert(gpu.ueid.clone()) {
            return Err(NrasError::SameGpuTwice(name.clone()));
        }
        gpus.push(gpu);
    }
    Ok(VerifiedNras { version, gpus, expires_secs })
}

/// What the answer must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// Who must have issued every token; [`NRAS_ISSUER`] unless a test runs a service of its own.
    pub issuer: &'a str,
    /// The nonce that the GPUs' evidence was made for.
    pub nonce: [u8; 32],
    /// For how many GPUs the service was asked.
    pub gpus: usize,
    /// The moment, in Unix seconds.
    pub now_secs: u64,
}

/// An answer as the service sends it, not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NrasAnswer {
    overall: String,
    /// Names and tokens, in the answer's order.
    gpus: Vec<(String, String)>,
}

impl NrasAnswer {
    /// Reads `[["JWT", token], {"GPU-0": token, …}]` and nothing beside it.
    pub fn parse(json: &[u8]) -> Result<Self, NrasError> {
        let value = strict_json::parse(json, ANSWER_BYTES_MAX).map_err(NrasError::Malformed)?;
        let unlike = || NrasError::Malformed(FORM.to_owned());
        let [Value::Array(overall), Value::Object(tokens)] =
            value.as_array().ok_or_else(unlike)?.as_slice()
        else {
            return Err(unlike());
        };
        let [Value::String(kind), Value::String(overall)] = overall.as_slice() else {
            return Err(unlike());
        };
        if kind != "JWT" || tokens.len() > GPUS_MAX {
            return Err(unlike());
        }
        let mut gpus = Vec::new();
        for (name, token) in tokens {
            match token {
                Value::String(token) if is_gpu_name(name) => {
                    gpus.push((name.clone(), token.clone()));
                }
                _ => return Err(unlike()),
            }
        }
        Ok(Self { overall: overall.clone(), gpus })
    }
}

/// An answer that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedNras {
    /// Which set of claims the service used.
    pub version: ClaimsVersion,
    /// What it says of each GPU, in the answer's order.
    pub gpus: Vec<GpuClaims>,
    /// The second from which on the first of the tokens no longer holds, Unix time.
    pub expires_secs: u64,
}

impl VerifiedNras {
    /// The service's warnings, each with the GPU that it is about.
    pub fn warnings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.gpus.iter().filter_map(|gpu| Some((gpu.name.as_str(), gpu.warning.as_deref()?)))
    }
}

/// The sets of claims that are understood. Each has flags of its own, all of which must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimsVersion {
    /// 2.0, as `/v3/attest/gpu` answers.
    V2,
    /// 3.0, as `/v4/attest/gpu` answers.
    V3,
}

fn check_verdict(overall: &Claims) -> Result<ClaimsVersion, NrasError> {
    let missing = |name| NrasError::token(OVERALL, TokenFault::MissingClaim(name));
    let subject = overall.string(SUBJECT).ok_or_else(|| missing(SUBJECT))?;
    if subject != SUBJECT_OVERALL {
        return Err(NrasError::Subject(error::clip(subject)));
    }
    let version = match overall.string(VERSION).ok_or_else(|| missing(VERSION))? {
        "2.0" => ClaimsVersion::V2,
        "3.0" => ClaimsVersion::V3,
        other => return Err(NrasError::Version(error::clip(other))),
    };
    match overall.flag(RESULT) {
        Some(true) => Ok(version),
        Some(false) => Err(NrasError::OverallFalse),
        None => Err(missing(RESULT)),
    }
}

fn check_tokens_are_those_named(
    answer: &NrasAnswer,
    overall: &Claims,
    gpus: usize,
) -> Result<(), NrasError> {
    let missing = || NrasError::token(OVERALL, TokenFault::MissingClaim(SUBMODULES));
    let named = overall.get(SUBMODULES).and_then(Value::as_object).ok_or_else(missing)?;
    let tokens = answer.gpus.len();
    if named.len() != tokens {
        return Err(NrasError::TokenCount { named: named.len(), tokens });
    }
    if tokens != gpus || tokens == 0 {
        return Err(NrasError::GpuCount { expected: gpus, found: tokens });
    }
    for (name, token) in &answer.gpus {
        let named = named.get(name).ok_or_else(|| NrasError::Unnamed(name.clone()))?;
        let digest = digest_of(named).ok_or_else(|| NrasError::DigestForm(name.clone()))?;
        if Digest32::sha256(token.as_bytes()) != digest {
            return Err(NrasError::DigestMismatch(name.clone()));
        }
    }
    Ok(())
}

/// The hash in `["DIGEST", ["SHA-256", hex]]`.
fn digest_of(submodule: &Value) -> Option<Digest32> {
    let [Value::String(kind), Value::Array(inner)] = submodule.as_array()?.as_slice() else {
        return None;
    };
    let [Value::String(algorithm), Value::String(digest)] = inner.as_slice() else {
        return None;
    };
    let mut bytes = [0; 32];
    hex::decode_to_slice(digest, &mut bytes).ok()?;
    (kind == "DIGEST" && algorithm == "SHA-256").then_some(Digest32(bytes))
}

/// `GPU-` and a number. A switch, or anything else, is no GPU.
fn is_gpu_name(name: &str) -> bool {
    name.strip_prefix("GPU-").is_some_and(|number| {
        (1..=GPU_DIGITS_MAX).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// NVIDIA's own service, which is also the issuer of its tokens.
pub const NRAS_ISSUER: &str = "https://nras.attestation.nvidia.com";

/// How far the service's clock may be ahead of or behind the stated moment.
pub const CLOCK_SKEW_SECS_MAX: u64 = 60;

/// An answer for eight GPUs has about 30,000 bytes.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// More GPUs than any node has.
const GPUS_MAX: usize = 64;
const GPU_DIGITS_MAX: usize = 4;

const FORM: &str = "it is not [[\"JWT\", token], {\"GPU-0\": token, …}]";

/// The overall token's name in errors.
const OVERALL: &str = "overall";

const SUBJECT: &str = "sub";
const SUBJECT_OVERALL: &str = "NVIDIA-PLATFORM-ATTESTATION";
const VERSION: &str = "x-nvidia-ver";
const RESULT: &str = "x-nvidia-overall-att-result";
const SUBMODULES: &str = "submods";
