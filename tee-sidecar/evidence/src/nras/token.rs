//! One token: a JSON web signature in its compact form (RFC 7515), with ES384 and nothing else.
//!
//! The key is chosen by `kid` from the key set alone. Keys and addresses of keys inside a header
//! (`jwk`, `jku`, `x5c`, `x5u`) are never looked at. A header with `crit` is refused, since no
//! extension is implemented; `typ` may be absent, as in NVIDIA's tokens, or JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::error::{NrasError, TokenFault, clip};
use super::jwks::Jwks;
use super::{CLOCK_SKEW_SECS_MAX, Expected};
use crate::strict_json;

/// The claims of a token that is signed by the service, for this nonce and for this moment. `name`
/// is what errors call it.
pub(super) fn verify(
    name: &str,
    token: &str,
    jwks: &Jwks,
    expected: &Expected<'_>,
) -> Result<Claims, NrasError> {
    signed_claims(token, jwks)
        .and_then(|claims| check_origin(&claims, expected).map(|()| claims))
        .map_err(|fault| NrasError::token(name, fault))
}

/// The payload is not even decoded before its signature holds.
fn signed_claims(token: &str, jwks: &Jwks) -> Result<Claims, TokenFault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(malformed("it is far longer than any token of the service"));
    }
    let unlike = || malformed("it is not three parts with dots between them");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(unlike)?;
    let (header, payload) = signed.split_once('.').ok_or_else(unlike)?;
    if payload.contains('.') {
        return Err(unlike());
    }
    let header = object(header)?;
    check_header(&header)?;
    let kid = header.get("kid").and_then(Value::as_str).ok_or(TokenFault::NoKid)?;
    let key = jwks.key(kid).ok_or_else(|| TokenFault::UnknownKid(clip(kid)))?;
    let signature = decode(signature)?;
    if !key.verify_raw(signed.as_bytes(), &signature) {
        return Err(TokenFault::Signature);
    }
    object(payload).map(Claims::new)
}

fn check_header(header: &Map<String, Value>) -> Result<(), TokenFault> {
    match header.get("alg") {
        Some(Value::String(algorithm)) if algorithm == "ES384" => {}
        Some(Value::String(other)) => return Err(TokenFault::Algorithm(clip(other))),
        _ => return Err(TokenFault::Algorithm(String::new())),
    }
    if header.contains_key("crit") {
        return Err(TokenFault::CriticalHeader);
    }
    match header.get("typ") {
        None => Ok(()),
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("JWT") => Ok(()),
        Some(_) => Err(TokenFault::Type),
    }
}

fn check_origin(claims: &Claims, expected: &Expected<'_>) -> Result<(), TokenFault> {
    let issuer = claims.string("iss").ok_or(TokenFault::MissingClaim("iss"))?;
    if issuer != expected.issuer {
        return Err(TokenFault::Issuer(clip(issuer)));
    }
    let now_secs = expected.now_secs;
    let exp_secs = claims.seconds("exp")?;
    if now_secs >= exp_secs.saturating_add(CLOCK_SKEW_SECS_MAX) {
        return Err(TokenFault::Expired { exp_secs, now_secs });
    }
    for name in ["nbf", "iat"] {
        let from_secs = claims.seconds(name)?;
        if from_secs > now_secs.saturating_add(CLOCK_SKEW_SECS_MAX) {
            return Err(TokenFault::NotYetValid { from_secs, now_secs });
        }
    }
    let nonce = claims.string("eat_nonce").ok_or(TokenFault::MissingClaim("eat_nonce"))?;
    let mut bytes = [0; 32];
    match hex::decode_to_slice(nonce, &mut bytes) {
        Ok(()) if bytes == expected.nonce => Ok(()),
        _ => Err(TokenFault::Nonce),
    }
}

fn object(part: &str) -> Result<Map<String, Value>, TokenFault> {
    match strict_json::parse(&decode(part)?, TOKEN_BYTES_MAX).map_err(TokenFault::Malformed)? {
        Value::Object(object) => Ok(object),
        _ => Err(malformed("a part of it is no JSON object")),
    }
}

/// Base64url without padding, in the one way that has no other encoding of the same bytes.
fn decode(part: &str) -> Result<Vec<u8>, TokenFault> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part of it is no base64url"))
}

fn malformed(cause: &str) -> TokenFault {
    TokenFault::Malformed(cause.to_owned())
}

/// A device's token has about 3,500 bytes.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
