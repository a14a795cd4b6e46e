//! Where a user's money is looked at beyond the ledger: on the 0G network, the escrow.

use std::future::Future;
use std::pin::Pin;

use broker_core::{Neuron, UserId};

use crate::fault::Fault;

/// What a look at a user's money returns.
pub type FundsFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who knows where a user's cover comes from.
pub trait Funds: Send + Sync {
    /// Whether the user is one whose work may be taken: asked before a place is, so that people
    /// without an account hold none.
    fn greet(&self, user: UserId) -> FundsFuture<'_, Result<(), Fault>>;

    /// Whether the user's work is taken at all. Asked before anything is held, and so before
    /// anything is forwarded; the hold itself is the ledger's to give.
    fn admit(&self, user: UserId) -> FundsFuture<'_, Result<(), Fault>>;

    /// Looks again, after the ledger had too little for a hold. Passes where the hold is worth
    /// another try.
    fn look_again(&self, user: UserId) -> FundsFuture<'_, Result<(), Fault>>;

    /// What the user is told where there is too little for a hold of `needed` neuron all the same.
    fn too_little(&self, user: UserId, needed: Neuron) -> FundsFuture<'_, Fault>;
}

/// Told to a user whom the ledger froze.
pub const FROZEN: &str = "this account is frozen: the chain has a settlement that this provider's \
books do not know. Nothing is served or charged; ask the provider to look into it";
