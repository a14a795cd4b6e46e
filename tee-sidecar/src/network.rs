//! The 0G network: who pays from which escrow, whether fees can be collected, and their collection.

use std::sync::{Arc, PoisonError, RwLock};

use broker_core::{Chain, Neuron};

pub mod accounts;
pub mod escrows;
pub mod gate;
pub mod sessions;
pub mod token;

pub use gate::Gate;

/// What the parts of a sidecar on the 0G network share.
pub struct Network {
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// Whether paid work is taken.
    pub gate: Gate,
    alias: RwLock<Option<String>>,
}

impl Network {
    /// Closed until the first self-check has passed.
    pub fn new(chain: Arc<dyn Chain>) -> Self {
        Self { chain, gate: Gate::default(), alias: RwLock::default() }
    }

    /// The name that the service is registered under, which early clients put into their paths.
    pub fn set_alias(&self, name: Option<String>) {
        *self.alias.write().unwrap_or_else(PoisonError::into_inner) = name;
    }

    /// Whether the service is registered under this name.
    pub fn is_alias(&self, name: &str) -> bool {
        let alias = self.alias.read().unwrap_or_else(PoisonError::into_inner);
        alias.as_deref() == Some(name)
    }
}

/// An amount in 0G: decimal and exact, without zeros at the end. One 0G is 10^18 neuron.
pub fn in_0g(amount: Neuron) -> String {
    let whole = amount.get() / ONE_0G;
    let rest = format!("{:018}", amount.get() % ONE_0G);
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        digits => format!("{whole}.{digits}"),
    }
}

const ONE_0G: u128 = 1_000_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_in_0g_is_exact() {
        for (neuron, text) in [
            (0, "0"),
            (1, "0.000000000000000001"),
            (ONE_0G, "1"),
            (ONE_0G + ONE_0G / 2, "1.5"),
            (12 * ONE_0G + 34_000, "12.000000000000034"),
            (u128::MAX, "340282366920938463463.374607431768211455"),
        ] {
            assert_eq!(in_0g(Neuron::new(neuron)), text);
        }
    }
}
