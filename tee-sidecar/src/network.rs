//! The 0G network: who pays from which escrow, whether fees can be collected, and their collection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use broker_core::Chain;

pub mod book;
pub mod gate;
pub mod info;
pub mod service;

pub use gate::Gate;
pub use service::Services;

/// What a condition of the settlement engine returns.
pub type Condition<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// What the operator's routes ask of the settlement engine.
pub trait Settling: Send + Sync {
    /// Collects what is owed as soon as possible; does not wait for it.
    fn ask(&self);

    /// Passes when another signer may be registered: no voucher of the old one can still land.
    /// The error says what is open.
    fn before_signer_change(&self) -> Condition<'_>;

    /// Passes when the service may be removed: nothing is owed under it. The error says what is.
    fn before_removal(&self) -> Condition<'_>;
}

/// What the parts of a sidecar on the 0G network share.
pub struct Network {
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// Whether paid work is taken.
    pub gate: Gate,
}

impl Network {
    /// Closed until the first self-check has passed.
    pub fn new(chain: Arc<dyn Chain>) -> Self {
        Self { chain, gate: Gate::default() }
    }
}
