//! Settlement: from captured fees to money on the chain, each fee once, whatever crashes.
//!
//! ```text
//! resolve   what became of open vouchers, from final blocks         Settle, Freeze
//! mirror    the escrows of users who owe                            Escrow, Freeze
//! seal      who is due: one voucher a user, its nonce the next      Seal       === DURABLE ===
//! submit    open vouchers whose nonce the chain has not taken       the same bytes, for ever
//! ```
//!
//! Every step may be cut off anywhere and is safe to repeat: a voucher is written down before it is
//! sent, is never replaced by another one, and ends only by what a final block says of its nonce.
//! A call that fails says nothing about the chain, so nothing is concluded from it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::account::UserId;
use crate::chain::{ChainError, Verdict};
use crate::clock::Timestamp;
use crate::command::{Command, Decision};
use crate::ledger::{LedgerError, LedgerReader};
use crate::money::Neuron;
use crate::writer::LedgerHandle;

use tokio::sync::oneshot;

mod check;
mod mirror;
mod plan;
mod policy;
mod preview;
mod settler;
mod submit;

pub use check::{Obstacle, SelfCheck, self_check};
pub use mirror::{Mirrored, mirror};
pub use plan::{Plan, Planned, plan};
pub use policy::{Due, Policy, Reason};
pub use preview::{Preview, preview};
pub use settler::Settler;

/// What a call to the ledger returns.
pub type StoreFuture<'a> = Pin<Box<dyn Future<Output = Result<Decision, LedgerError>> + Send + 'a>>;

/// A ledger as settlement uses it.
pub trait Store: Send + Sync {
    /// Carries out a command and answers when it is durable.
    fn apply(&self, command: Command) -> StoreFuture<'_>;

    /// Puts a question to the ledger's reader, which may take its time for it: it is not asked on
    /// the thread of the caller, who waits for other things too. The question keeps the answer.
    fn ask(&self, question: Question);
}

/// What a store's reader is asked.
pub type Question = Box<dyn FnOnce(&dyn LedgerReader) + Send>;

/// Asks the store's reader, and waits for the answer.
///
/// # Errors
/// The ledger cannot be read.
pub async fn read<T: Send + 'static>(
    store: &dyn Store,
    question: impl FnOnce(&dyn LedgerReader) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let (tell, told) = oneshot::channel();
    store.ask(Box::new(move |reader| {
        // Whoever asked may have left.
        let _ = tell.send(question(reader));
    }));
    let unanswered = "the ledger's reader gave no answer: the system has no thread for it";
    told.await.unwrap_or_else(|_| Err(LedgerError::Storage(unanswered.to_owned())))
}

/// A ledger behind its writer's thread.
#[derive(Clone)]
pub struct LedgerStore {
    /// Writes.
    pub handle: LedgerHandle,
    /// Reads.
    pub reader: Arc<dyn LedgerReader>,
}

impl Store for LedgerStore {
    fn apply(&self, command: Command) -> StoreFuture<'_> {
        Box::pin(self.handle.apply(command))
    }

    /// On a thread of its own: a database far away must not hold up a runtime, and its client may
    /// have a runtime itself, which cannot wait within another one.
    fn ask(&self, question: Question) {
        let reader = self.reader.clone();
        let thread = std::thread::Builder::new().name("ledger-reader".to_owned());
        if let Err(error) = thread.spawn(move || question(&*reader)) {
            tracing::error!(%error, "the ledger is not read");
        }
    }
}

/// Why a step of settlement ended early. Nothing is lost: the next pass goes on from the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The chain gave no answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The ledger failed.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// No voucher could be signed.
    #[error("the voucher's signature: {0}")]
    Sign(#[from] crate::signer::SignError),
    /// The ledger is another provider's.
    #[error("this ledger belongs to another wallet, contract or chain than the configured one")]
    BoundElsewhere,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// What stands in the way of settlement.
    pub obstacles: Vec<Obstacle>,
    /// Vouchers that ended, and what was paid, in neuron.
    pub settled: Vec<(UserId, Neuron)>,
    /// Vouchers that were made, why, and what they are worth, in neuron.
    pub sealed: Vec<(UserId, Reason, Neuron)>,
    /// Vouchers that were sent.
    pub submitted: u64,
    /// Vouchers whose end is not known yet.
    pub open: u64,
    /// Vouchers that the contract would refuse, so that they were not sent.
    pub refused: Vec<(UserId, Verdict)>,
    /// Users that were frozen by this pass.
    pub frozen: Vec<UserId>,
    /// When the oldest fee was captured that was due, or whose escrow could not be read, and that
    /// came under no voucher. What the policy lets wait is none of them.
    pub overdue: Option<Timestamp>,
    /// What else the operator should know of.
    pub problems: Vec<String>,
}

impl PassReport {
    fn say_unread(&mut self, unread: &[(UserId, ChainError)]) {
        let texts = unread.iter().map(|(user, error)| format!("{user}: {error}"));
        self.problems.extend(texts);
    }
}
