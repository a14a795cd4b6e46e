//! The 0G network: who pays from which escrow, whether fees can be collected, and their collection.

use std::sync::Arc;

use broker_core::Chain;

pub mod gate;
pub mod token;

pub use gate::Gate;

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
