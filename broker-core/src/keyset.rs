//! The keys that sign receipts, and the document that lists them.
//!
//! A keyset is that of Attested Confidential Inference (`aci/1`, section 3): the quote of a report
//! covers its digest, so whoever has checked one report can check every receipt of its keys. One
//! key signs receipts and what belongs to them (see [`crate::statement`]), and nothing else.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use crate::digest::{Digest32, write_hex};
use crate::jcs::{self, Json, NotCanonical};

/// An Ed25519 signature (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptSignature(pub [u8; 64]);

impl fmt::Display for ReceiptSignature {
    /// 128 lower-case hex digits without `0x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ReceiptSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A secret Ed25519 key in this process's memory, erased when dropped.
pub struct ReceiptKey {
    key: SigningKey,
    id: String,
}

impl ReceiptKey {
    /// Takes 32 bytes as the seed of RFC 8032. The caller erases its own copy.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let Digest32(hash) = Digest32::sha256(key.verifying_key().as_bytes());
        let id = format!("receipt-{}", Hex(hash.split_at(8).0));
        Self { key, id }
    }

    /// The key's name in its keyset: `receipt-` and the first 16 hex digits of the SHA-256 of the
    /// public key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key's 32 bytes.
    pub fn public_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> ReceiptSignature {
        ReceiptSignature(self.key.sign(message).to_bytes())
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptKey({})", self.id)
    }
}

/// A keyset of ours as text: what a report shows and a quote covers.
///
/// `not_after` is in seconds since 1970; `tls` are SHA-256 hashes of SubjectPublicKeyInfos.
pub fn keyset_document(
    subject: Option<&str>,
    not_after: u64,
    keys: &[&ReceiptKey],
    tls: &[Digest32],
) -> String {
    let mut text = String::new();
    jcs::object(&mut text, |o| {
        o.list("e2ee_public_keys", |_| {});
        o.number("not_after", not_after);
        o.list("receipt_signing_keys", |list| {
            for key in keys {
                list.object(|o| {
                    o.text("algo", ED25519).text("key_id", key.id());
                    o.quoted("public_key", Hex(&key.public_key()));
                });
            }
        });
        o.text_or_null("subject", subject);
        o.list("tls_public_keys", |list| {
            for spki in tls {
                list.object(|o| {
                    o.quoted("spki_sha256", spki);
                });
            }
        });
    });
    text
}

/// A keyset as an auditor reads it. Whether a quote covers it is for the caller to know.
#[derive(Clone, Debug)]
pub struct Keyset {
    document: Json,
    digest: Digest32,
    not_after: u64,
    keys: Vec<(String, VerifyingKey)>,
}

/// Why a document is no keyset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadKeyset {
    /// It is no canonical JSON.
    #[error("the keyset is {0}")]
    NotCanonical(#[from] NotCanonical),
    /// A member is missing or of another form.
    #[error("the keyset's '{0}' is missing or of another form")]
    Member(&'static str),
    /// Two keys have one name.
    #[error("the keyset names the key '{0}' twice")]
    Twice(String),
}

impl Keyset {
    /// Reads a keyset in any spelling. Keys of algorithms that nobody here knows are passed over.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &[u8]) -> Result<Self, BadKeyset> {
        Self::from_json(Json::parse(text)?)
    }

    /// As [`Self::parse`], of a document that was read.
    ///
    /// # Errors
    /// It is none.
    pub fn from_json(document: Json) -> Result<Self, BadKeyset> {
        let not_after = document.get("not_after").and_then(Json::number);
        let not_after = not_after.ok_or(BadKeyset::Member("not_after"))?;
        let Some(Json::List(entries)) = document.get("receipt_signing_keys") else {
            return Err(BadKeyset::Member("receipt_signing_keys"));
        };
        let mut keys: Vec<(String, VerifyingKey)> = Vec::new();
        for entry in entries {
            if entry.get("algo").and_then(Json::text) != Some(ED25519) {
                continue;
            }
            let id = entry.get("key_id").and_then(Json::text).ok_or(BadKeyset::Member("key_id"))?;
            let bytes = entry.get("public_key").and_then(Json::text).and_then(unhex::<32>);
            let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
            let key = key.ok_or(BadKeyset::Member("public_key"))?;
            if keys.iter().any(|(known, _)| known == id) {
                return Err(BadKeyset::Twice(id.to_owned()));
            }
            keys.push((id.to_owned(), key));
        }
        let digest = Digest32::sha256(document.canonical().as_bytes());
        Ok(Self { document, digest, not_after, keys })
    }

    /// `workload_keyset_digest`: SHA-256 of the canonical form.
    pub const fn digest(&self) -> Digest32 {
        self.digest
    }

    /// The moment from which on nothing of its keys is taken, in seconds since 1970.
    pub const fn not_after(&self) -> u64 {
        self.not_after
    }

    /// The document.
    pub const fn document(&self) -> &Json {
        &self.document
    }

    /// Checks a signature by the key of this name.
    ///
    /// # Errors
    /// The keyset has no such key, or the key did not sign that.
    pub fn verify(&self, key_id: &str, message: &[u8], signature: &[u8]) -> Result<(), NotSigned> {
        let known = self.keys.iter().find(|(id, _)| id == key_id);
        let (_, key) = known.ok_or_else(|| NotSigned::UnknownKey(key_id.to_owned()))?;
        let signature = ed25519_dalek::Signature::from_slice(signature);
        let signature = signature.map_err(|_| NotSigned::WrongSignature)?;
        key.verify_strict(message, &signature).map_err(|_| NotSigned::WrongSignature)
    }
}

/// Why a document is not signed by a keyset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSigned {
    /// The keyset has no key of this name.
    #[error("the keyset has no key '{0}'")]
    UnknownKey(String),
    /// It names another keyset.
    #[error("it names the keyset sha256:{0}, which is not the one at hand")]
    OtherKeyset(Digest32),
    /// The key did not sign this.
    #[error("the signature is not that of the key over this document")]
    WrongSignature,
    /// It says that it was made when its keyset had ended.
    #[error("it says that it was made at {at} ms, and its keyset ended at {not_after} s")]
    Ended {
        /// When it says that it was made, in milliseconds since 1970.
        at: u64,
        /// The keyset's end, in seconds since 1970.
        not_after: u64,
    },
    /// A member is missing or of another form.
    #[error("'{0}' is missing or of another form")]
    Member(&'static str),
}

/// The SHA-256 of the statement that an `aci/1` report's quote carries: it binds the keyset, and
/// the nonce where there was one.
pub fn aci_report_data(keyset: &Digest32, nonce: Option<&[u8; 32]>) -> Digest32 {
    let mut statement = String::new();
    jcs::object(&mut statement, |o| {
        o.sha256("keyset_digest", keyset);
        match nonce {
            Some(nonce) => o.quoted("nonce", Hex(nonce)),
            None => o.plain("nonce", "null"),
        };
        o.text("purpose", "aci.report_data.v1");
    });
    Digest32::sha256(statement.as_bytes())
}

/// Bytes from exactly so many lower-case hex digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte.checked_sub(b'0'),
        b'a'..=b'f' => byte.checked_sub(b'a')?.checked_add(10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// A digest as documents write it: `sha256:` and 64 lower-case hex digits.
pub(crate) fn digest_text(text: &str) -> Option<Digest32> {
    text.strip_prefix("sha256:").and_then(unhex).map(Digest32)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0)
    }
}

/// The one algorithm that every verifier knows.
const ED25519: &str = "ed25519";
