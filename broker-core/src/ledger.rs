//! The durable fee ledger: the promise, apart from its implementations.

use std::sync::Arc;

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::{Binding, Command, Decision, Hold, HoldState, OpenVoucher};
use crate::digest::{Digest32, RequestKey};
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};

use self::journal::{Stop, Visitor};
use self::proofs::{Kept, LogLeaf, ProofReader};
use self::statement::{RequestPage, RequestQuery, Statement, Unsealed};

#[cfg(feature = "archive")]
pub mod archive;
pub mod entry;
pub mod journal;
pub mod memory;
#[cfg(all(feature = "postgres", feature = "sqlite"))]
pub mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod proofs;
mod replay;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod rows;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod statement;

/// A ledger of fees. One call of [`Ledger::apply`] is one transaction: all of the batch or nothing.
///
/// Synchronous on purpose: one thread owns a ledger (see [`crate::writer`]), so that the
/// transaction is visible in the code and many requests share one commit.
pub trait Ledger: Send {
    /// Carries out the commands in order and makes them durable. A refused command writes nothing
    /// and does not disturb its neighbours.
    ///
    /// # Errors
    /// [`LedgerError::Busy`] where others are in the way: nothing of the batch was written, and the
    /// ledger is as good as before. After any other error the state is unknown: stop using this
    /// ledger. Opening it again finds all or nothing of the batch.
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError>;

    /// One user's buckets; an unknown user's are empty.
    fn account(&self, user: &UserId) -> Result<Account, LedgerError>;

    /// The holds that have not ended, oldest first.
    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError>;

    /// Re-adds everything and compares.
    fn audit(&self) -> Result<AuditReport, LedgerError>;

    /// Adds leaves to the receipt log behind its first `size`, durably. False, and nothing was
    /// written, where the log is of another size: somebody else was first. Ask for the size before
    /// [`ProofReader::unlogged`]: then the leaves are those behind it, or it has changed.
    ///
    /// The hashes are not looked at: an audit names one that is wrong.
    ///
    /// # Errors
    /// As [`Ledger::apply`], of which an entry that has a leaf already is one; and
    /// [`LedgerError::Storage`] from a ledger that keeps no log, which is
    /// what one that does not implement this is.
    fn extend_log(&mut self, size: u64, leaves: &[LogLeaf]) -> Result<bool, LedgerError> {
        let _ = (size, leaves);
        Err(LedgerError::Storage("this ledger keeps no receipt log".to_owned()))
    }

    /// Keeps a document, durably, unless there is one of its kind and name.
    ///
    /// # Errors
    /// As [`Ledger::apply`].
    fn keep(&mut self, kept: &Kept) -> Result<(), LedgerError> {
        let _ = kept;
        Err(LedgerError::Storage("this ledger keeps no documents".to_owned()))
    }

    /// Whether no other process can write to this ledger while it is open. Only then are the holds
    /// that are open at a start those of a process that died, see [`crate::writer::recover`].
    fn has_one_writer(&self) -> bool {
        false
    }

    /// A reader of the same ledger, for other threads.
    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError>;
}

/// The reading side of a ledger, for any number of threads beside the one that writes.
pub trait LedgerReader: ProofReader {
    /// The receipt with this id, once its exchange has ended.
    fn receipt(&self, id: &ReceiptId) -> Result<Option<Receipt>, LedgerError>;

    /// A receipt by the id that the engine gave its answer; compared byte for byte.
    ///
    /// With an `owner`: the first of that user's exchanges that carried the id. Without: the one
    /// exchange that carries it, if a single account holds the id.
    fn receipt_by_upstream_id(
        &self,
        id: &str,
        owner: Option<&UserId>,
    ) -> Result<Option<Receipt>, LedgerError>;

    /// How the hold with this receipt id stands; `None` where no hold has it. Tells an exchange
    /// that runs or was released from one that never was.
    fn hold_state(&self, id: &ReceiptId) -> Result<Option<HoldState>, LedgerError>;

    /// One user's buckets; an unknown user's are empty.
    fn account(&self, user: &UserId) -> Result<Account, LedgerError>;

    /// Whose ledger it is; `None` for one that never collected anything.
    fn binding(&self) -> Result<Option<Binding>, LedgerError>;

    /// How one user stands; `None` for an unknown one.
    fn statement(&self, user: &UserId) -> Result<Option<Statement>, LedgerError>;

    /// How every user stands, in the order of their bytes.
    fn statements(&self) -> Result<Vec<Statement>, LedgerError>;

    /// The vouchers whose end is not known yet, the oldest first.
    fn open_vouchers(&self) -> Result<Vec<OpenVoucher>, LedgerError>;

    /// What the next voucher of a user would collect: at most
    /// [`statement::VOUCHER_RECEIPTS_MAX`] receipts. `None` where there is nothing.
    fn unsealed(&self, user: &UserId) -> Result<Option<Unsealed>, LedgerError>;

    /// Finished exchanges.
    fn requests(&self, query: &RequestQuery) -> Result<RequestPage, LedgerError>;

    /// The open holds that expired before `now`, so many at most, the oldest first.
    fn expired_holds(&self, now: Timestamp, limit: u64) -> Result<Vec<RequestKey>, LedgerError>;

    /// The end of the chain: how many entries have a place in it, and its last link; zeros for an
    /// empty ledger. Reads one row.
    fn head(&self) -> Result<(u64, Digest32), LedgerError>;

    /// The link at this place of the chain, counted from 1; `None` where the chain is shorter.
    fn link(&self, place: u64) -> Result<Option<Digest32>, LedgerError>;

    /// Entries that wait for their place in the chain, counted up to [`UNLINKED_MAX`]. Always none
    /// where the writer gives the places itself.
    fn unlinked(&self) -> Result<u64, LedgerError>;

    /// Sums over the whole ledger, as of one moment.
    fn totals(&self) -> Result<Totals, LedgerError>;

    /// Of the final receipts (see [`Retire`]) that entries up to the place `upto` recorded, the
    /// place of the last of the first `limit`; `None` where there are none.
    ///
    /// [`Retire`]: crate::command::Retire
    fn retirable(&self, upto: u64, limit: u64) -> Result<Option<u64>, LedgerError>;

    /// Re-adds everything and compares, as of one moment. A wrong row is no error: the report
    /// names it.
    fn audit(&self) -> Result<AuditReport, LedgerError>;

    /// Tells the journal behind a place in the chain, as of one moment; all of it behind 0.
    ///
    /// # Errors
    /// What the visitor stops at, a row that cannot be read or that no entry recorded, a failed
    /// database.
    fn journal(&self, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop>;
}

/// More entries than these are not counted by [`LedgerReader::unlinked`], which is asked often.
pub const UNLINKED_MAX: u64 = 10_000;

/// Sums over a whole ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Set aside for requests in flight, in neuron.
    pub held: Neuron,
    /// Captured fees that no voucher covers yet, in neuron.
    pub earned: Neuron,
    /// Fees under a signed voucher that is not settled yet, in neuron.
    pub vouchered: Neuron,
    /// Accounts that money ever moved in, that had a hold, or that are unlimited.
    pub accounts: u64,
    /// Finished exchanges.
    pub receipts: u64,
    /// Holds that have not ended.
    pub open_holds: u64,
}

impl Totals {
    /// Adds one account's buckets.
    pub(crate) fn add(&mut self, account: &Account) -> Result<(), LedgerError> {
        let sums = [
            (&mut self.held, account.held),
            (&mut self.earned, account.earned),
            (&mut self.vouchered, account.vouchered),
        ];
        for (sum, amount) in sums {
            let out_of_range = || LedgerError::Corrupt("a total leaves the range of money".into());
            *sum = sum.checked_add(amount).ok_or_else(out_of_range)?;
        }
        Ok(())
    }
}

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Commands that were carried out: the entries of the chain.
    pub entries: u64,
    /// Movements re-added.
    pub transfers: u64,
    /// Accounts compared.
    pub accounts: u64,
    /// Receipts compared.
    pub receipts: u64,
    /// Holds that have not ended.
    pub open_holds: u64,
    /// Of the entries, those that have no place in the chain yet: with several writers a leader
    /// gives it to them, moments later.
    pub unlinked: u64,
    /// The last link of the chain over all entries; zeros for an empty ledger.
    pub head: Digest32,
    /// The first wrong row, if any.
    pub fault: Option<Fault>,
}

/// A row that contradicts the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{table} {row}: {what}")]
pub struct Fault {
    /// The table.
    pub table: &'static str,
    /// Which row of it.
    pub row: String,
    /// What is wrong with it.
    pub what: String,
}

/// Why a ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Another process has the ledger open for writing.
    #[error("the ledger {path} is in use by another process")]
    InUse {
        /// The ledger's file.
        path: String,
    },
    /// There is no ledger.
    #[error("there is no ledger at {path}")]
    Missing {
        /// Where it was looked for.
        path: String,
    },
    /// The file is no ledger of ours, or of a version this program does not know.
    #[error("{path} is no ledger that this program can read: {why}")]
    Foreign {
        /// The file.
        path: String,
        /// What does not fit.
        why: String,
    },
    /// A safety setting did not take.
    #[error("the ledger's {setting} is {found}, and must be {required}")]
    UnsafeSetting {
        /// The setting.
        setting: &'static str,
        /// What the database says it is.
        found: String,
        /// What it has to be.
        required: &'static str,
    },
    /// A stored value cannot be what this program wrote.
    #[error("the ledger holds a value that cannot be: {0}")]
    Corrupt(String),
    /// The database failed. Whether the last batch was written is unknown until the next start.
    #[error("the ledger's database failed: {0}")]
    Storage(String),
    /// The database could not be reached when the ledger was to be opened; nothing was written.
    #[error("the ledger's database is out of reach: {0}")]
    Unreachable(String),
    /// There is no room for what has to be written.
    #[error("{0}: make room and start again; nothing that was acknowledged is lost")]
    Full(String),
    /// This process may read and not write.
    #[error("{0}: let this process write to the ledger's file, its folder and what lies beside it")]
    ReadOnly(String),
    /// Another program keeps the database locked, as a shell or a backup tool may.
    #[error("{0}: another program holds it; end that program's work on the ledger and start again")]
    Locked(String),
    /// Too many wait, or other writers are in the way: nothing was written, and the same may be
    /// tried again.
    #[error("the ledger is busy, and nothing was written: try again")]
    Busy,
    /// The writer stopped after an error; nothing more is written.
    #[error("the ledger's writer has stopped")]
    Stopped,
}
