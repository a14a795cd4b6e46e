//! Signatures over texts: EIP-191 `personal_sign` on secp256k1, as Ethereum wallets make them.

use std::fmt;

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SecretKey};
use serde::{Serialize, Serializer};

use crate::digest::{Digest32, write_hex};

/// An Ethereum address: the last 20 bytes of the Keccak-256 of an uncompressed public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// The address of a public key.
    pub fn of(key: &PublicKey) -> Self {
        let uncompressed = key.serialize_uncompressed();
        let Digest32(hash) = Digest32::keccak256(uncompressed.split_at(1).1);
        let mut bytes = [0; 20];
        bytes.copy_from_slice(hash.split_at(12).1);
        Self(bytes)
    }
}

impl fmt::Display for Address {
    /// `0x` and 40 hex digits in the mixed case of EIP-55, which serves as a checksum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = Hex(&self.0).to_string();
        let Digest32(hash) = Digest32::keccak256(lower.as_bytes());
        f.write_str("0x")?;
        for (position, digit) in lower.chars().enumerate() {
            let byte = hash.get(position / 2).copied().unwrap_or_default();
            let nibble = if position % 2 == 0 { byte >> 4 } else { byte & 0x0f };
            write!(f, "{}", if nibble >= 8 { digit.to_ascii_uppercase() } else { digit })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A recoverable signature: r (32 bytes), s (32 bytes, the lower of the two), v (27 or 28).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 65]);

impl fmt::Display for Signature {
    /// `0x` and 130 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a signature could not be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// 32 bytes that are zero or not below the order of the curve.
    #[error("these 32 bytes are no secp256k1 secret key")]
    NotASecret,
    /// The signature is not of the form r, s, v with v in 0, 1, 27, 28.
    #[error("not a recoverable secp256k1 signature: 65 bytes r, s, v with v 0, 1, 27 or 28")]
    Malformed,
    /// s is in the upper half: another encoding of the same signature, which we never make.
    #[error("the signature's s is in the upper half of the curve's order")]
    HighS,
    /// No key fits the signature.
    #[error("no public key can be recovered from the signature")]
    NoKey,
}

/// Holds a secret key and signs with it.
pub trait Signer: Send + Sync {
    /// The address that signatures recover to.
    fn address(&self) -> Address;
    /// The public key.
    fn public_key(&self) -> PublicKey;
    /// Signs a 32-byte digest.
    fn sign_digest(&self, digest: &Digest32) -> Result<Signature, SignError>;
    /// True for keys that the world may know. Production refuses them.
    fn is_test_only(&self) -> bool {
        false
    }

    /// Signs `text` as `personal_sign` does.
    fn sign_text(&self, text: &str) -> Result<Signature, SignError> {
        self.sign_digest(&eip191_digest(text))
    }
}

/// A secret key in this process's memory, erased when dropped.
pub struct LocalSigner {
    secret: SecretKey,
    address: Address,
}

impl LocalSigner {
    /// Takes 32 bytes as the secret key. The caller erases its own copy.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, SignError> {
        let secret = SecretKey::from_secret_bytes(*secret).map_err(|_| SignError::NotASecret)?;
        Ok(Self { address: Address::of(&secret.public_key()), secret })
    }
}

impl Signer for LocalSigner {
    fn address(&self) -> Address {
        self.address
    }

    fn public_key(&self) -> PublicKey {
        self.secret.public_key()
    }

    fn sign_digest(&self, digest: &Digest32) -> Result<Signature, SignError> {
        let message = Message::from_digest(digest.0);
        let signature = RecoverableSignature::sign_ecdsa_recoverable(message, &self.secret);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        let (rs, v) = bytes.split_at_mut(64);
        rs.copy_from_slice(&compact);
        // Recovery ids 2 and 3 need an r above the curve's order: no message reaches one.
        v.fill(if recovery.to_u8() & 1 == 0 { 27 } else { 28 });
        Ok(Signature(bytes))
    }
}

impl Drop for LocalSigner {
    fn drop(&mut self) {
        self.secret.non_secure_erase();
    }
}

impl fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalSigner({})", self.address)
    }
}

/// What `personal_sign` hashes: the message behind the prefix of EIP-191, version 0x45.
pub fn eip191_digest(message: impl AsRef<[u8]>) -> Digest32 {
    let message = message.as_ref();
    let prefix = format!("\x19Ethereum Signed Message:\n{}", message.len());
    Digest32::keccak256(&[prefix.as_bytes(), message].concat())
}

/// The address whose key signed `text` as `personal_sign` does, or why there is none; see
/// [`recover_signer`].
pub fn recover_text_signer(text: &str, signature: &Signature) -> Result<Address, SignError> {
    recover_signer(&eip191_digest(text), signature)
}

/// The address whose key signed `digest`, or why there is none.
///
/// Takes v as 0, 1, 27 or 28, and only the lower s: the other one is a second encoding that anyone
/// can make from the first.
///
/// # Errors
/// The bytes are no such signature, or fit no key.
pub fn recover_signer(digest: &Digest32, signature: &Signature) -> Result<Address, SignError> {
    let (rs, v) = signature.0.split_at(64);
    let recovery = match v {
        [0 | 27] => RecoveryId::Zero,
        [1 | 28] => RecoveryId::One,
        _ => return Err(SignError::Malformed),
    };
    let parsed =
        RecoverableSignature::from_compact(rs, recovery).map_err(|_| SignError::Malformed)?;
    let mut normalized = parsed.to_standard();
    normalized.normalize_s();
    if normalized != parsed.to_standard() {
        return Err(SignError::HighS);
    }
    let message = Message::from_digest(digest.0);
    parsed.recover_ecdsa(message).map(|key| Address::of(&key)).map_err(|_| SignError::NoKey)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0)
    }
}
