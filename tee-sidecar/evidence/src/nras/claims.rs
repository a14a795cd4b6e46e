//! Claims of one token whose signature holds.

use serde_json::{Map, Value};

use super::error::{NrasError, TokenFault};

/// The claims. Only [`super::token`] makes them.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) const fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// The claim of this name; nothing where it is absent, `null` where it is empty.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn string(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    /// Unix seconds. NVIDIA writes whole numbers; a fraction or a negative number is refused.
    pub(super) fn seconds(&self, name: &'static str) -> Result<u64, TokenFault> {
        self.get(name).and_then(Value::as_u64).ok_or(TokenFault::MissingClaim(name))
    }

    /// The second from which on `token` no longer holds.
    pub(super) fn expires_secs(&self, token: &str) -> Result<u64, NrasError> {
        self.seconds("exp").map_err(|fault| NrasError::token(token, fault))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }
}
