//! The self-check: whether fees could be collected at all, asked before anyone is charged.

use crate::chain::{Chain, ChainError, Service, Terms};
use crate::money::Neuron;
use crate::signer::Address;

/// What stands in the way of settlement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// The chain gave no answer.
    #[error("the chain gives no answer: {0}")]
    Chain(ChainError),
    /// No service is registered.
    #[error("this provider has no service on the chain: register it with POST /v1/service")]
    NoService,
    /// The contract pays on another key's signature.
    #[error(
        "the service on the chain is signed by {theirs}, and this sidecar by {ours}: register the \
         service again with POST /v1/service"
    )]
    OtherSigner {
        /// This sidecar's.
        ours: Address,
        /// The contract's.
        theirs: Address,
    },
    /// The contract's owner has not acknowledged the key.
    #[error("the network's owner has not acknowledged this service's signer {0} yet")]
    NotAcknowledged(Address),
    /// The wallet cannot pay for a transaction.
    #[error("the wallet {wallet} has {has} neuron, and a settlement takes about {needs}")]
    NoGas {
        /// The wallet.
        wallet: Address,
        /// What it has, in neuron.
        has: Neuron,
        /// What it needs, in neuron.
        needs: Neuron,
    },
    /// Nothing is sent at the network's price.
    #[error(
        "gas costs {price} neuron, above network.maxGasPrice {cap}: wait until it is cheaper, or \
         raise the cap"
    )]
    GasTooDear {
        /// What it costs, in neuron.
        price: Neuron,
        /// The cap, in neuron.
        cap: Neuron,
    },
}

impl Obstacle {
    /// One word for it, which never changes: for metrics and alarms.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Chain(ChainError::WrongNetwork(_)) => "wrong_network",
            Self::Chain(_) => "chain_silent",
            Self::NoService => "no_service",
            Self::OtherSigner { .. } => "other_signer",
            Self::NotAcknowledged(_) => "not_acknowledged",
            Self::NoGas { .. } => "no_gas",
            Self::GasTooDear { .. } => "gas_too_dear",
        }
    }
}

/// What the self-check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelfCheck {
    /// What stands in the way; nothing where fees can be collected.
    pub obstacles: Vec<Obstacle>,
    /// The service, where there is one.
    pub service: Option<Service>,
    /// What the network asks for, where it could be asked.
    pub terms: Terms,
}

impl SelfCheck {
    /// The key whose vouchers the contract pays, now.
    pub fn paying_signer(&self) -> Option<Address> {
        let service = self.service.as_ref().filter(|service| service.tee_signer_acknowledged);
        service.map(|service| service.params.tee_signer)
    }
}

/// Asks the chain whether vouchers of `signer` would be paid.
pub async fn self_check(chain: &dyn Chain, signer: Address) -> SelfCheck {
    let (service, terms) = match read(chain).await {
        Ok(answers) => answers,
        Err(error) => {
            return SelfCheck { obstacles: vec![Obstacle::Chain(error)], ..SelfCheck::default() };
        }
    };
    let mut obstacles = Vec::new();
    match &service {
        None => obstacles.push(Obstacle::NoService),
        Some(service) => {
            let theirs = service.params.tee_signer;
            if theirs != signer {
                obstacles.push(Obstacle::OtherSigner { ours: signer, theirs });
            } else if !service.tee_signer_acknowledged {
                obstacles.push(Obstacle::NotAcknowledged(theirs));
            }
        }
    }
    let (price, cap) = (terms.gas_price, terms.gas_price_max.unwrap_or(terms.gas_price));
    if price > cap {
        obstacles.push(Obstacle::GasTooDear { price, cap });
    }
    let needs = gas_cost(1, price.min(cap));
    if terms.wallet < needs {
        obstacles.push(Obstacle::NoGas { wallet: chain.provider(), has: terms.wallet, needs });
    }
    SelfCheck { obstacles, service, terms }
}

async fn read(chain: &dyn Chain) -> Result<(Option<Service>, Terms), ChainError> {
    Ok((chain.service().await?, chain.terms().await?))
}

/// What settling so many users in one transaction costs at most, in neuron, before there are
/// vouchers to ask the chain with. Measured on the contracts: 56,000 gas and 73,500 for each first
/// voucher of a user. The wallet must have a fifth more than that before anything is sent.
pub(super) fn gas_cost(vouchers: u64, gas_price: Neuron) -> Neuron {
    let gas = vouchers.saturating_mul(GAS_OF_VOUCHER).saturating_add(GAS_OF_TRANSACTION);
    gas_price.checked_mul(gas).unwrap_or(Neuron::new(u128::MAX))
}

const GAS_OF_TRANSACTION: u64 = 75_000;
const GAS_OF_VOUCHER: u64 = 95_000;

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::{Fault, SimChain, SimOptions};

    #[tokio::test]
    async fn gas_above_the_cap_stands_in_the_way() {
        let chain = SimChain::new(SimOptions::default());
        let check = async || self_check(&chain, Address([1; 20])).await.obstacles;
        assert_eq!(check().await, [Obstacle::NoService]);
        chain.inject(Fault::GasSpike(9));
        let cap = chain.options().gas_price_max;
        let price = Neuron::new(cap.get() + 1);
        assert_eq!(check().await, [Obstacle::NoService, Obstacle::GasTooDear { price, cap }]);
    }

    #[test]
    fn what_the_wallet_must_have_before_a_first_voucher_is_within_the_cost() {
        for vouchers in 1..=50 {
            let measured = 56_000 + 73_500 * vouchers;
            let cost = gas_cost(vouchers, Neuron::new(1));
            assert!(cost >= Neuron::new(u128::from(measured + measured / 5)), "{vouchers}");
        }
    }
}
