//! The service's public keys.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{JwksError, clip};
use crate::certificates::{Curve, PublicKey};
use crate::strict_json;

/// Keys for ES384 by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jwks(BTreeMap<String, PublicKey>);

impl Jwks {
    /// Reads a JSON web key set. Keys of other kinds, or for another use, are passed over; the
    /// certificates beside a key (`x5c`) are not looked at, as in NVIDIA's own clients.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        let value = strict_json::parse(json, JWKS_BYTES_MAX).map_err(JwksError::Malformed)?;
        let unlike = || JwksError::Malformed("it is not {\"keys\": [key, …]}".to_owned());
        let keys = value.get("keys").and_then(Value::as_array).ok_or_else(unlike)?;
        if keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany(keys.len()));
        }
        let mut named = BTreeMap::new();
        for (position, key) in keys.iter().enumerate() {
            let key = key.as_object().ok_or_else(unlike)?;
            if !is_for_es384(key) {
                continue;
            }
            let bad = || JwksError::BadKey(position);
            let kid = key.get("kid").and_then(Value::as_str).ok_or_else(bad)?;
            let key = public_key(key).ok_or_else(bad)?;
            if named.insert(kid.to_owned(), key).is_some() {
                return Err(JwksError::Twice(clip(kid)));
            }
        }
        Ok(Self(named))
    }

    /// The key of this name.
    pub(super) fn key(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    /// How many keys for ES384 there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True where there is none, and no token can hold.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// NVIDIA's set has neither `alg` nor `use`; where one is there, it counts.
fn is_for_es384(key: &Map<String, Value>) -> bool {
    let is = |name, wanted: &str| key.get(name).and_then(Value::as_str) == Some(wanted);
    let is_or_absent = |name, wanted| !key.contains_key(name) || is(name, wanted);
    is("kty", "EC")
        && is("crv", "P-384")
        && is_or_absent("alg", "ES384")
        && is_or_absent("use", "sig")
}

/// Whether the point is on the curve shows when a signature is checked.
fn public_key(key: &Map<String, Value>) -> Option<PublicKey> {
    let mut point = vec![UNCOMPRESSED];
    for name in ["x", "y"] {
        let coordinate = URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok()?;
        if coordinate.len() != COORDINATE_BYTES {
            return None;
        }
        point.extend(coordinate);
    }
    Some(PublicKey::from_point(Curve::P384, &point))
}

/// The service has about 32 keys, each with two certificates.
pub(super) const KEYS_MAX: usize = 256;
const JWKS_BYTES_MAX: usize = 1024 * 1024;

const COORDINATE_BYTES: usize = 48;

/// The first byte of a point that is written in full.
const UNCOMPRESSED: u8 = 4;
