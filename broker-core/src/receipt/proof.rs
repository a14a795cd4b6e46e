//! What makes a record of the ledger a receipt that proves itself: a few more facts, and the
//! signature of an attested key over the document that follows from all of them.

use crate::digest::Digest32;
use crate::keyset::ReceiptSignature;
use crate::money::Neuron;

/// What a receipt says beyond what the ledger counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The HTTP method.
    pub method: String,
    /// The route, `/v1/chat/completions`, under whatever spelling it was asked.
    pub endpoint: String,
    /// The request was refused before its body was read: its hash is that of nothing.
    pub unread: bool,
    /// The model that was asked for.
    pub model: Option<String>,
    /// SHA-256 of the bytes that the engine was sent; `None` where it was sent nothing.
    pub forwarded_hash: Option<Digest32>,
    /// Why the engine says that it ended, as its last answer told it.
    pub finish_reason: Option<String>,
    /// The end of the rolling hash over a streamed answer, see [`crate::stream`].
    pub chain_head: Option<Digest32>,
    /// The most that could be charged, in neuron.
    pub hold: Neuron,
    /// Where it is written down; `None` for a receipt that no log promises.
    pub ledger: Option<LedgerPlace>,
}

impl Default for Claims {
    /// A `POST` of which nothing is said.
    fn default() -> Self {
        Self {
            method: "POST".to_owned(),
            endpoint: String::new(),
            unread: false,
            model: None,
            forwarded_hash: None,
            finish_reason: None,
            chain_head: None,
            hold: Neuron::ZERO,
            ledger: None,
        }
    }
}

/// The promise that a receipt stands in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerPlace {
    /// The log.
    pub log: Digest32,
    /// The how manieth exchange of the account's it is, from 1. A number that is missing between
    /// two receipts is an exchange that was cut off by a crash, and charged nothing, or one whose
    /// receipt is withheld.
    pub account_seq: u64,
}

/// Claims and who signed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What is said.
    pub claims: Claims,
    /// The digest of the keyset that lists the key.
    pub keyset: Digest32,
    /// The key's name there.
    pub key_id: String,
    /// Over the document without its member `signature`.
    pub signature: ReceiptSignature,
}

impl Proof {
    /// The proof as bytes that never change: what a ledger stores and hashes.
    ///
    /// A version byte, then the parts in the order of the fields. Texts have their length before
    /// them in four bytes; what may be missing has a byte 1 before it or is a byte 0. Numbers are
    /// big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { claims, keyset, key_id, signature } = self;
        let mut bytes = vec![VERSION];
        put_text(&mut bytes, &claims.method);
        put_text(&mut bytes, &claims.endpoint);
        bytes.push(u8::from(claims.unread));
        put(&mut bytes, claims.model.as_deref(), put_text);
        put(&mut bytes, claims.forwarded_hash.as_ref(), put_digest);
        put(&mut bytes, claims.finish_reason.as_deref(), put_text);
        put(&mut bytes, claims.chain_head.as_ref(), put_digest);
        bytes.extend(claims.hold.to_be_bytes());
        put(&mut bytes, claims.ledger.as_ref(), |bytes, place| {
            put_digest(bytes, &place.log);
            bytes.extend(place.account_seq.to_be_bytes());
        });
        put_digest(&mut bytes, keyset);
        put_text(&mut bytes, key_id);
        bytes.extend(signature.0);
        bytes
    }

    /// The inverse of [`Self::to_bytes`]; `None` for bytes that it does not write.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut left = Left(bytes);
        if left.take::<1>()? != [VERSION] {
            return None;
        }
        let claims = Claims {
            method: left.text()?,
            endpoint: left.text()?,
            unread: left.flag()?,
            model: left.maybe(Left::text)?,
            forwarded_hash: left.maybe(Left::digest)?,
            finish_reason: left.maybe(Left::text)?,
            chain_head: left.maybe(Left::digest)?,
            hold: Neuron::from_be_bytes(left.take()?),
            ledger: left.maybe(|left| {
                let (log, account_seq) = (left.digest()?, u64::from_be_bytes(left.take()?));
                Some(LedgerPlace { log, account_seq })
            })?,
        };
        let (keyset, key_id) = (left.digest()?, left.text()?);
        let signature = ReceiptSignature(left.take()?);
        left.0.is_empty().then_some(Self { claims, keyset, key_id, signature })
    }
}

const VERSION: u8 = 1;

fn put<T: ?Sized>(bytes: &mut Vec<u8>, value: Option<&T>, write: impl Fn(&mut Vec<u8>, &T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(bytes, value);
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // Texts are short: whoever makes claims bounds them.
    bytes.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn put_digest(bytes: &mut Vec<u8>, digest: &Digest32) {
    bytes.extend(digest.0);
}

struct Left<'a>(&'a [u8]);

impl Left<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(u32::from_be_bytes(self.take()?)).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.take()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn digest(&mut self) -> Option<Digest32> {
        self.take().map(Digest32)
    }

    fn maybe<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }
}
