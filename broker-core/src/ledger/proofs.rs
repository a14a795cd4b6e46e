//! What a ledger keeps so that receipts can be proved: the hashes of the receipt log, and the
//! documents that receipts cite.
//!
//! Neither is part of the books. The log follows from the entries: its leaves are the documents of
//! all receipts with a proof ([`crate::receipt::Proof`]), in the order of the chain, and an audit
//! works them out again. So a receipt with a proof is let go only when it stands there. A kept
//! document is named by its digest, so nobody can put another one in its place.

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::digest::Digest32;
use crate::ledger::LedgerError;
use crate::log::{LogError, Tiles};
use crate::receipt::{Receipt, ReceiptId};
use crate::tariff::Tariff;

/// The receipt log of a ledger at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Which log: 32 random bytes, made with the ledger, that move with it.
    pub id: Digest32,
    /// How many leaves it has.
    pub size: u64,
}

/// A hash over what a ledger stores of its log's name, so that an audit finds a bit that changed:
/// nothing else follows from it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn mark(id: &Digest32, since: u64) -> Digest32 {
    Digest32::sha256(&[id.0.as_slice(), &since.to_be_bytes()].concat())
}

/// A leaf to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLeaf {
    /// The number of the entry that recorded the receipt.
    pub entry: u64,
    /// [`Receipt::log_leaf`].
    pub hash: Digest32,
}

/// A receipt and what it was charged by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charged {
    /// The number of the entry that recorded it.
    pub entry: u64,
    /// The receipt.
    pub receipt: Receipt,
    /// The prices that it was admitted under.
    pub tariff: Tariff,
}

/// What a kept document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeptKind {
    /// A keyset, named by its digest.
    Keyset = 1,
    /// A report that attests a keyset, named by the keyset's digest.
    Report = 2,
    /// A tariff's terms, named by their digest.
    Tariff = 3,
    /// What the signer of answers says of a keyset and the one before it, named by its digest.
    Lineage = 4,
}

impl KeptKind {
    /// The kind a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Keyset,
            2 => Self::Report,
            3 => Self::Tariff,
            4 => Self::Lineage,
            _ => return None,
        })
    }
}

/// A document that is kept for as long as the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub kind: KeptKind,
    /// By what it is asked for; the first document of a kind under a name stays.
    pub name: Digest32,
    /// Its bytes.
    pub body: Vec<u8>,
    /// When it was kept first.
    pub at: Timestamp,
}

/// The reading side.
pub trait ProofReader: Send + Sync {
    /// The log as it is now.
    fn log(&self) -> Result<LogState, LedgerError>;

    /// Stored hashes of the log, see [`Tiles::hashes`].
    fn log_hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError>;

    /// The leaf of a receipt, from 0; `None` where it has none yet, or was let go.
    fn log_index(&self, id: &ReceiptId) -> Result<Option<u64>, LedgerError>;

    /// The receipts with a proof that have no leaf yet, so many at most, in the order of the chain.
    /// One without a place in the chain ends the list.
    fn unlogged(&self, limit: u64) -> Result<Vec<Charged>, LedgerError>;

    /// A receipt and its tariff.
    fn charged(&self, id: &ReceiptId) -> Result<Option<Charged>, LedgerError>;

    /// A user's receipts that entries behind the number `behind` recorded, so many at most, in the
    /// order of their numbers.
    fn charged_to(
        &self,
        user: &UserId,
        behind: u64,
        limit: u64,
    ) -> Result<Vec<Charged>, LedgerError>;

    /// A kept document.
    fn kept(&self, kind: KeptKind, name: &Digest32) -> Result<Option<Kept>, LedgerError>;

    /// The documents of a kind that were kept last, so many at most, the latest first; their bytes
    /// too.
    fn kept_last(&self, kind: KeptKind, limit: u64) -> Result<Vec<Kept>, LedgerError>;
}

/// The log's size, and the leaves that come next, so many at most: what [`Ledger::extend_log`]
/// takes.
///
/// # Errors
/// The ledger cannot be read, or a receipt has a proof that promises no log.
///
/// [`Ledger::extend_log`]: crate::ledger::Ledger::extend_log
pub fn next_leaves(
    reader: &(impl ProofReader + ?Sized),
    limit: u64,
) -> Result<(u64, Vec<LogLeaf>), LedgerError> {
    // The size first: whoever extends the log meanwhile changes it.
    let size = reader.log()?.size;
    let leaf = |charged: Charged| {
        let hash = charged.receipt.log_leaf(&charged.tariff);
        let hash = hash.ok_or_else(|| LedgerError::Corrupt(PROMISES_NOTHING.to_owned()))?;
        Ok::<_, LedgerError>(LogLeaf { entry: charged.entry, hash })
    };
    let leaves = reader.unlogged(limit)?.into_iter().map(leaf).collect::<Result<_, _>>()?;
    Ok((size, leaves))
}

const PROMISES_NOTHING: &str = "a receipt with a proof promises no log";

/// A ledger's log as [`crate::log`] reads it.
pub struct LogTiles<'a, R: ?Sized>(pub &'a R);

impl<R: ProofReader + ?Sized> Tiles for LogTiles<'_, R> {
    type Error = LedgerError;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        self.0.log_hashes(level, from, count)
    }
}

impl From<LogError<Self>> for LedgerError {
    fn from(error: LogError<Self>) -> Self {
        match error {
            LogError::Tiles(error) => error,
            other => Self::Corrupt(other.to_string()),
        }
    }
}
