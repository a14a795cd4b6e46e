//! Hashes: what they cover and how the parts are told apart.
//!
//! Structured hashes go through [`Framed`], which prefixes every part with its length and the whole
//! with a domain, so that `("1", "23")` and `("12", "3")` differ and no hash of one purpose can
//! stand for another.

use std::fmt;

use sha2::{Digest as _, Sha256};
use sha3::Keccak256;

use crate::account::UserId;
use crate::receipt::ReceiptId;

/// A 32-byte hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest32(pub [u8; 32]);

impl Digest32 {
    /// SHA-256 of `bytes`.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Keccak-256 of `bytes`, as Ethereum uses it.
    pub fn keccak256(bytes: &[u8]) -> Self {
        Self(Keccak256::digest(bytes).into())
    }
}

impl fmt::Display for Digest32 {
    /// 64 lower-case hex digits without `0x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Digest32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Some bytes at a time: a receipt holds a dozen hashes.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let mut digits = [0; 64];
    bytes.chunks(digits.len() / 2).try_for_each(|chunk| {
        let (digits, _) = digits.split_at_mut(chunk.len().saturating_mul(2));
        hex::encode_to_slice(chunk, digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(digits).map_err(|_| fmt::Error)?)
    })
}

/// A SHA-256 over length-prefixed parts under a domain name.
#[derive(Clone)]
pub struct Framed(Sha256);

impl Framed {
    /// Starts a hash of the given purpose.
    pub fn new(domain: &str) -> Self {
        Self(Sha256::new()).part(domain.as_bytes())
    }

    /// Adds a part: its length as a 64-bit big-endian number, then its bytes.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a part where there is one. A hash stays what it was for values without it, so only the
    /// last parts can be such.
    #[must_use]
    pub fn part_if(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.part(bytes),
            None => self,
        }
    }

    /// The hash of all parts.
    pub fn finish(self) -> Digest32 {
        Digest32(self.0.finalize().into())
    }
}

/// What makes a request the same request: the account and the client's own name for it.
///
/// A key is used for money once, for ever. A client that sends none gets one that is never
/// repeated. A ledger belongs to one provider, so the provider is no part of it: a signing key that
/// changes must not make a retry look new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub Digest32);

impl RequestKey {
    /// The key of the request that `user` calls `client_name`.
    pub fn derive(user: &UserId, client_name: &[u8]) -> Self {
        let framed = Framed::new("broker-core.request-key.v1");
        Self(framed.part(user.as_bytes()).part(client_name).finish())
    }

    /// The key of a request that its client calls nothing: the id of its receipt, which no other
    /// request ever has, and zeros. [`Self::derive`] leads to no such key.
    ///
    /// A ledger finds it by the id, and needs no index over such keys.
    pub fn minted(receipt: &ReceiptId) -> Self {
        let mut bytes = [0; 32];
        bytes.split_at_mut(16).0.copy_from_slice(receipt.0.as_bytes());
        Self(Digest32(bytes))
    }

    /// The id that a key was minted for; `None` for one that somebody chose.
    #[cfg(feature = "postgres")]
    pub(crate) fn minted_for(&self) -> Option<ReceiptId> {
        let (id, rest) = self.0.0.split_at(16);
        let id = uuid::Uuid::from_slice(id).ok()?;
        rest.iter().all(|byte| *byte == 0).then_some(ReceiptId(id))
    }
}

/// SHA-256 of the request body as it arrived: tells a retry from another request under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub Digest32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let pair =
            |a: &str, b: &str| Framed::new("t").part(a.as_bytes()).part(b.as_bytes()).finish();
        assert_ne!(pair("1", "23"), pair("12", "3"));
        assert_ne!(pair("", "1"), pair("1", ""));
        assert_ne!(Framed::new("a").part(b"x").finish(), Framed::new("b").part(b"x").finish());
    }

    #[test]
    fn hashes_equal_published_vectors() {
        assert_eq!(
            Digest32::sha256(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Digest32::keccak256(b"").to_string(),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
        );
    }
}
