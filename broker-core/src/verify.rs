//! What an auditor concludes from receipts, heads of the log, tariffs and settlements: one
//! implementation for servers, command lines and whoever embeds this. No I/O, no clock.
//!
//! * [`check_all`] judges receipts one by one, [`Invoice`] adds them up in flat memory.
//! * [`follows`] compares two heads of a log, [`included`] finds a receipt in one.
//! * [`whole`] and [`partial`] compare an answer with its receipt.
//!
//! Whether a keyset is to be believed is for the caller to know: from a report that attests it.

use crate::digest::Digest32;
use crate::jcs::{Json, NotCanonical};
use crate::keyset::{Keyset, NotSigned, digest_text, unhex};
use crate::log::ProofError;
use crate::log::head::LogHead;
use crate::receipt::ReadReceipt;

mod answer;
mod invoice;
mod line;
mod plain;
mod repeats;
mod runs;
mod settled;
mod tariffs;
mod texts;
mod vouchers;

pub use answer::{AnswerFault, PartFault, WholeAnswer, partial, receipt_of, whole};
pub use invoice::{Bill, Invoice, Kind, Scope, Sum, Tally};
pub use line::{FeeFault, Line, LineFault, Rules};
pub use repeats::Recount;
pub use runs::Runs;
pub use settled::Settled;
pub use tariffs::{BadTariff, ReadTariff, Tariffs};
pub use texts::{check_all, recount};
pub use vouchers::{Covered, Outside, VoucherFault};

/// Why a document of the log is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// It is no canonical JSON.
    #[error("the document is {0}")]
    NotCanonical(#[from] NotCanonical),
    /// A member is missing or of another form.
    #[error("the proof's '{0}' is missing or of another form")]
    Member(&'static str),
}

/// Where a receipt stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inclusion {
    /// Which leaf, from 0.
    pub leaf_index: u64,
    /// Of how many.
    pub tree_size: u64,
    /// The path to the root.
    pub path: Vec<Digest32>,
    /// The signed head, where it stands beside the path.
    pub head: Option<Json>,
}

/// A receipt and, where there is one, its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The receipt's document.
    pub receipt: Json,
    /// The place, where it is told.
    pub inclusion: Option<Inclusion>,
    /// It tells none, though it is an answer that would.
    pub unplaced: bool,
}

impl Bundle {
    /// Reads a receipt alone, or an object with the members `receipt` and `inclusion`.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &[u8]) -> Result<Self, BadProof> {
        Self::from_json(Json::parse(text)?)
    }

    /// As [`Self::parse`], of a document that was read.
    ///
    /// # Errors
    /// It is neither.
    pub fn from_json(document: Json) -> Result<Self, BadProof> {
        if document.get("api_version").is_some() || document.get("receipt").is_none() {
            return Ok(Self { receipt: document, inclusion: None, unplaced: false });
        }
        let (rest, receipt) = document.without("receipt");
        let inclusion = match rest.get("inclusion") {
            None | Some(Json::Null) => None,
            Some(inclusion) => Some(Inclusion::from_json(inclusion)?),
        };
        let unplaced = inclusion.is_none();
        Ok(Self { receipt: receipt.unwrap_or(Json::Null), inclusion, unplaced })
    }
}

impl Inclusion {
    /// Reads a place: an object with `leaf_index`, `tree_size` and `path`, or one that holds such
    /// an object as `inclusion`.
    ///
    /// # Errors
    /// It is none.
    pub fn from_json(document: &Json) -> Result<Self, BadProof> {
        let document = document.get("inclusion").unwrap_or(document);
        let number = |key| document.get(key).and_then(Json::number).ok_or(BadProof::Member(key));
        Ok(Self {
            leaf_index: number("leaf_index")?,
            tree_size: number("tree_size")?,
            path: path(document)?,
            head: document.get("head").filter(|head| **head != Json::Null).cloned(),
        })
    }
}

/// The path of a proof: the member `path`, a list of digests with or without `sha256:`.
///
/// # Errors
/// There is none.
pub fn path(proof: &Json) -> Result<Vec<Digest32>, BadProof> {
    let Some(Json::List(hashes)) = proof.get("path") else {
        return Err(BadProof::Member("path"));
    };
    let hash = |text: &str| digest_text(text).or_else(|| unhex(text).map(Digest32));
    let hashes = hashes.iter().map(|one| one.text().and_then(hash));
    hashes.collect::<Option<_>>().ok_or(BadProof::Member("path"))
}

/// The keyset of these that signed a document.
///
/// # Errors
/// It names none of them, or the signature does not hold.
pub fn signed<'a>(document: &Json, keysets: &'a [Keyset]) -> Result<&'a Keyset, NotSigned> {
    let named = document.get("workload_keyset_digest").and_then(Json::text).and_then(digest_text);
    let named = named.ok_or(NotSigned::Member("workload_keyset_digest"))?;
    let keyset = keysets.iter().find(|keyset| keyset.digest() == named);
    let keyset = keyset.ok_or(NotSigned::OtherKeyset(named))?;
    crate::statement::verify(document.clone(), keyset)?;
    Ok(keyset)
}

/// A head that a key of one of these keysets signed before its end.
///
/// # Errors
/// It is no head, or nobody known signed it, or its keyset had ended.
pub fn signed_head(head: &Json, keysets: &[Keyset]) -> Result<LogHead, NotSigned> {
    let keyset = signed(head, keysets)?;
    let head = LogHead::verify(head.clone(), keyset)?;
    in_time(keyset, head.at.0)?;
    Ok(head)
}

/// Whether a statement of this moment, in milliseconds, was made before its keyset ended.
/// Checkpoints of a stream carry no time: the receipt that they belong to has it.
fn in_time(keyset: &Keyset, at: u64) -> Result<(), NotSigned> {
    let not_after = keyset.not_after();
    if at / 1000 >= not_after {
        return Err(NotSigned::Ended { at, not_after });
    }
    Ok(())
}

/// Why one head does not follow another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadsFault {
    /// They are of different logs.
    #[error("the heads are of different logs, sha256:{0} and sha256:{1}")]
    OtherLog(Digest32, Digest32),
    /// The later head has fewer leaves.
    #[error(
        "the log was rolled back from {from} leaves to {to}: {} receipts were taken out \
         (or the heads are exchanged)", from.saturating_sub(*to)
    )]
    RolledBack {
        /// Leaves before.
        from: u64,
        /// Leaves after.
        to: u64,
    },
    /// Two heads of one size with different roots.
    #[error("the log was forked: two roots are signed for the same {0} leaves")]
    Forked(u64),
    /// Nothing shows that the later log begins with the earlier one.
    #[error(
        "nothing shows that the second log begins with the first: the consistency proof is missing"
    )]
    NoProof,
    /// The proof does not show it.
    #[error("the second log does not begin with the first: {0}")]
    Proof(#[from] ProofError),
}

/// Checks that the log of the head `to` begins with that of the head `from`.
///
/// # Errors
/// It does not, or nothing shows it.
pub fn follows(from: &LogHead, to: &LogHead, path: Option<&[Digest32]>) -> Result<(), HeadsFault> {
    if from.log != to.log {
        return Err(HeadsFault::OtherLog(from.log, to.log));
    }
    if to.size < from.size {
        return Err(HeadsFault::RolledBack { from: from.size, to: to.size });
    }
    if to.size == from.size && to.root != from.root {
        return Err(HeadsFault::Forked(to.size));
    }
    // From nothing, or from a head to itself, there is nothing to show.
    let path = match path {
        _ if from.size == 0 || to.size == from.size => &[],
        Some(path) => path,
        None => return Err(HeadsFault::NoProof),
    };
    Ok(crate::log::verify_consistency(from.size, &from.root, to.size, &to.root, path)?)
}

/// Why a receipt does not stand where it is said to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InclusionFault {
    /// The receipt promises no log.
    #[error("the receipt names no log that it would stand in")]
    Unpromised,
    /// The head is that of another log.
    #[error("the receipt promises the log sha256:{promised}, and the head is of sha256:{shown}")]
    OtherLog {
        /// What the receipt says.
        promised: Digest32,
        /// The head's.
        shown: Digest32,
    },
    /// The path was made for another size than the head's.
    #[error("the path is of a log of {path} leaves, and the head of one of {head}")]
    OtherSize {
        /// What stands beside the path.
        path: u64,
        /// The head's.
        head: u64,
    },
    /// The path does not lead from the receipt to the head.
    #[error("the receipt does not stand in the log: {0}")]
    Proof(#[from] ProofError),
}

/// Checks that a receipt stands in the log of a head. Who signed either is checked apart.
///
/// # Errors
/// The path does not show it.
pub fn included(
    receipt: &ReadReceipt,
    inclusion: &Inclusion,
    head: &LogHead,
) -> Result<(), InclusionFault> {
    let promised = receipt.place.ok_or(InclusionFault::Unpromised)?.log;
    if promised != head.log {
        return Err(InclusionFault::OtherLog { promised, shown: head.log });
    }
    let Inclusion { leaf_index, tree_size, path, .. } = inclusion;
    if *tree_size != head.size {
        return Err(InclusionFault::OtherSize { path: *tree_size, head: head.size });
    }
    let leaf = receipt.log_leaf();
    Ok(crate::log::verify_inclusion(&leaf, *leaf_index, head.size, path, &head.root)?)
}
