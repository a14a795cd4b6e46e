//! What the [`Broker`](crate::Broker) answers when it does not do what it was asked.

use crate::chain::ChainError;
use crate::command::Refusal;
use crate::ledger::LedgerError;
use crate::settlement::SettleError;
use crate::signer::SignError;

/// Why a call to the [`Broker`](crate::Broker) did nothing, or why what it did is not known.
///
/// Only [`Error::Refused`] and [`Error::Body`] are about the request; the others are about the
/// machine. No text holds anything of a request's or an answer's body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The ledger's rules do not allow it: too little money, a request that was made before, an
    /// account that is frozen. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The most that the request can cost cannot be read from its body. Nothing was written.
    #[error("{0}; for a body of another form say the amount yourself, with reserve_amount")]
    Body(String),
    /// The ledger could not be opened, read or written. [`LedgerError::Busy`] passes: try again
    /// later. After any other from a call that writes, whether it was written is unknown until the
    /// ledger is opened again, except [`LedgerError::Stopped`]: it was not.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The ledger failed in an earlier call. Nothing is read or written any more, since what a
    /// reader sees may not be on the disk.
    #[error(
        "the ledger failed before, as the log says: end this process and open the ledger again, \
         which tells what was written"
    )]
    Failed,
    /// No signature could be made, so nothing was charged.
    #[error("no signature could be made: {0}")]
    Sign(#[from] SignError),
    /// The chain gave no answer. Nothing is lost: the next pass goes on from the ledger.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The ledger is another provider's.
    #[error(
        "this ledger belongs to another wallet, contract or chain than the one it is to be settled \
         on: open that one's ledger"
    )]
    BoundElsewhere,
    /// The builder lacks something.
    #[error("the broker has no {0}: give it one before start()")]
    Incomplete(&'static str),
    /// The async runtime ended before the answer came. What was asked for may be done all the same.
    #[error("the async runtime ended before the ledger's answer came")]
    Interrupted,
}

impl Error {
    /// The refusal, where it is one.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl From<SettleError> for Error {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Chain(error) => Self::Chain(error),
            SettleError::Ledger(error) => Self::Ledger(error),
            SettleError::Sign(error) => Self::Sign(error),
            SettleError::BoundElsewhere => Self::BoundElsewhere,
        }
    }
}
