//! The head of the receipt log, signed: how many leaves it has, and the one root over them.
//!
//! ```json
//! {
//!   "key_id": "receipt-0123456789abcdef",
//!   "log": "sha256:64 hex digits, the log's id",
//!   "root_hash": "sha256:64 hex digits",
//!   "signature": "128 hex digits, see the statements of this crate",
//!   "timestamp": 1750000000000,
//!   "tree_size": 90212,
//!   "type": "tee-sidecar.log-head.v1",
//!   "workload_keyset_digest": "sha256:64 hex digits"
//! }
//! ```
//!
//! Two heads of one log by the same key with no consistency path between them are a fork that the
//! key's owner signed. Time is the signer's own word.

use super::SIZE_MAX;
use crate::clock::Timestamp;
use crate::digest::Digest32;
use crate::jcs::{INTEGER_MAX, Json};
use crate::keyset::{Keyset, NotSigned, digest_text};
use crate::statement::{self, Author};

/// The log at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// Which log: its id moves with its ledger.
    pub log: Digest32,
    /// How many leaves it has.
    pub size: u64,
    /// The root over them (RFC 9162, §2.1.1).
    pub root: Digest32,
    /// When it was signed.
    pub at: Timestamp,
}

impl LogHead {
    /// The type of its statement.
    pub const KIND: &'static str = "tee-sidecar.log-head.v1";

    /// The signed head, canonical text. Its [`hash`] is what a quote covers.
    pub fn sign(&self, author: Author<'_>) -> String {
        let number = |n: u64| Json::Integer(i64::try_from(n.min(INTEGER_MAX)).unwrap_or_default());
        author.sign(
            Self::KIND,
            vec![
                ("log", Json::Text(format!("sha256:{}", self.log))),
                ("tree_size", number(self.size)),
                ("root_hash", Json::Text(format!("sha256:{}", self.root))),
                ("timestamp", number(self.at.0)),
            ],
        )
    }

    /// Reads a signed head.
    ///
    /// # Errors
    /// It is none, or no key of the keyset signed it.
    pub fn verify(statement: Json, keyset: &Keyset) -> Result<Self, NotSigned> {
        let read = statement::verify(statement, keyset)?;
        if statement::kind(&read) != Some(Self::KIND) {
            return Err(NotSigned::Member("type"));
        }
        let number = |key| read.get(key).and_then(Json::number).ok_or(NotSigned::Member(key));
        let digest = |key| {
            let digest = read.get(key).and_then(Json::text).and_then(digest_text);
            digest.ok_or(NotSigned::Member(key))
        };
        let size = number("tree_size")?;
        if size > SIZE_MAX {
            return Err(NotSigned::Member("tree_size"));
        }
        Ok(Self {
            log: digest("log")?,
            size,
            root: digest("root_hash")?,
            at: Timestamp(number("timestamp")?),
        })
    }
}

/// SHA-256 of the canonical form of a signed head, in any spelling.
pub fn hash(signed: &Json) -> Digest32 {
    Digest32::sha256(signed.canonical().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyset::{ReceiptKey, keyset_document};

    const HEAD: LogHead = LogHead {
        log: Digest32([0x5e; 32]),
        size: 7,
        root: Digest32([0xab; 32]),
        at: Timestamp(1_750_000_000_000),
    };

    fn signed() -> (String, Keyset) {
        let key = ReceiptKey::from_secret(&[2; 32]);
        let keyset = Keyset::parse(keyset_document(None, 1, &[&key], &[]).as_bytes()).unwrap();
        (HEAD.sign(Author { key: &key, keyset: keyset.digest() }), keyset)
    }

    #[test]
    fn a_head_says_what_was_signed_and_a_changed_one_nothing() {
        let (signed, keyset) = signed();
        let read = Json::parse(signed.as_bytes()).unwrap();
        assert_eq!(read.canonical(), signed);
        assert_eq!(hash(&read), Digest32::sha256(signed.as_bytes()));
        assert_eq!(LogHead::verify(read, &keyset), Ok(HEAD));
        for (from, to) in [
            ("\"tree_size\":7", "\"tree_size\":8"),
            ("1750000000000", "1750000000001"),
            ("abab", "abac"),
            ("5e5e", "5e5f"),
        ] {
            let forged = Json::parse(signed.replacen(from, to, 1).as_bytes()).unwrap();
            assert_eq!(LogHead::verify(forged, &keyset), Err(NotSigned::WrongSignature), "{to}");
        }
    }

    #[test]
    fn another_signed_statement_is_no_head() {
        let key = ReceiptKey::from_secret(&[2; 32]);
        let (head, keyset) = signed();
        let author = Author { key: &key, keyset: keyset.digest() };
        let other = author.sign("tee-sidecar.log-head.v2", Vec::new());
        let other = LogHead::verify(Json::parse(other.as_bytes()).unwrap(), &keyset);
        assert_eq!(other, Err(NotSigned::Member("type")));
        let empty = author.sign(LogHead::KIND, Vec::new());
        let empty = LogHead::verify(Json::parse(empty.as_bytes()).unwrap(), &keyset);
        assert!(matches!(empty, Err(NotSigned::Member(_))), "{empty:?}");
        let later = keyset_document(None, 2, &[&key], &[]);
        let later = Keyset::parse(later.as_bytes()).unwrap();
        let moved = LogHead::verify(Json::parse(head.as_bytes()).unwrap(), &later);
        assert_eq!(moved, Err(NotSigned::OtherKeyset(keyset.digest())));
    }
}
