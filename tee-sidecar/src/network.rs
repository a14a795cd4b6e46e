//! The 0G network: who pays from which escrow, whether fees can be collected, and their collection.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use broker_core::settlement::{LedgerStore, Settler};
use broker_core::{Chain, Clock, Neuron, Signer};

use crate::config::Settlement;
use crate::ledger::Lead;

pub mod accounts;
pub mod book;
pub mod connect;
pub mod escrows;
pub mod gate;
pub mod info;
pub mod service;
pub mod sessions;
pub mod settler;
pub mod token;

pub use accounts::Accounts;
pub use gate::Gate;
pub use service::Services;
pub use settler::SettleHandle;

/// What a condition of the settlement engine returns.
pub type Condition<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// What the operator's routes ask of the settlement engine.
pub trait Settling: Send + Sync {
    /// Collects what is owed as soon as possible; does not wait for it.
    fn ask(&self);

    /// Passes when another signer may be registered: no voucher of the old one can still land.
    /// The error says what is open.
    fn before_signer_change(&self) -> Condition<'_>;

    /// Passes when the service may be removed: nothing that could be collected is owed under it.
    /// The error says by whom.
    fn before_removal(&self) -> Condition<'_>;
}

/// What the parts of a sidecar on the 0G network share.
pub struct Network {
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// Whether paid work is taken.
    pub gate: Arc<Gate>,
    /// Collects fees.
    pub settler: SettleHandle,
    /// The ledger.
    pub store: LedgerStore,
    /// What the chain says of users.
    pub accounts: Arc<Accounts>,
    /// What is served, and at which prices; set once there is a route.
    pub services: OnceLock<Arc<Services>>,
}

/// What a sidecar on the 0G network is made of.
pub struct NetworkParts {
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// The ledger.
    pub store: LedgerStore,
    /// Whether fees are collected here, or by another sidecar on the same ledger.
    pub lead: Lead,
    /// The attested key, which signs vouchers too.
    pub signer: Arc<dyn Signer>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// When fees are collected.
    pub settlement: Settlement,
}

impl Network {
    /// Starts to settle. Closed to paid work until the first self-check has passed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(parts: NetworkParts) -> std::io::Result<Self> {
        let gate = Arc::new(Gate::default());
        let settler = Settler {
            store: Arc::new(parts.store.clone()),
            chain: parts.chain.clone(),
            signer: parts.signer,
            clock: parts.clock,
            policy: parts.settlement.policy,
        };
        let every = Duration::from_secs(parts.settlement.every_secs);
        let settler = SettleHandle::start(settler, parts.lead, gate.clone(), every)?;
        let (chain, store, services) = (parts.chain, parts.store, OnceLock::new());
        let accounts = Arc::new(Accounts::new(chain.clone(), store.clone()));
        Ok(Self { chain, gate, settler, store, accounts, services })
    }

    /// Whether the service is registered under this name, which early clients put into their paths.
    pub fn is_alias(&self, name: &str) -> bool {
        let current = self.services.get().and_then(|services| services.current());
        current.is_some_and(|service| service.name == name)
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
