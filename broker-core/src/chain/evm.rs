//! The 0G contracts through a node's JSON-RPC.
//!
//! A node is believed in what it shows of the chain, and never in its errors: only the contract's
//! own `AccountNotExists` and `ServiceNotExist` mean that there is none.

use std::time::Duration;

use crate::account::UserId;
use crate::chain::{
    AccountView, Chain, ChainFuture, Landing, Service, ServiceParams, Terms, Verdict,
};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::{Address, LocalSigner, Signer};
use crate::voucher::{Domain, SignedVoucher};

mod abi;
mod landing;
mod node;
mod quantity;
mod reads;
mod revert;
mod rpc;
mod service;
mod settle;
mod settled;
mod transaction;
mod wallet;

pub use settled::{SettledItem, SettledTransaction, settled_in};

/// What a chain is reached by.
#[derive(Clone)]
pub struct EvmConfig {
    /// The node's JSON-RPC address, http or https. Only its scheme and host are ever repeated: the
    /// rest may be an API key.
    pub url: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The InferenceServing contract (its proxy).
    pub contract: Address,
    /// Blocks on top of one that is final.
    pub confirmations: u64,
    /// What a unit of gas may cost, in neuron; `None` for whatever the network asks.
    pub max_gas_price: Option<Neuron>,
    /// How long a transaction is waited for. One answer of the node is waited for as long, and at
    /// most 15 seconds.
    pub patience: Duration,
}

/// The 0G contracts, reached through one node.
///
/// Dropping a future of it is safe: a transaction that is out is met again as one that waits.
pub struct EvmChain {
    rpc: rpc::Rpc,
    config: EvmConfig,
    wallet: wallet::Wallet,
}

impl EvmChain {
    /// The chain as the `wallet` of a provider sees it. Asks nothing yet, see [`Self::check`].
    pub fn new(client: reqwest::Client, config: EvmConfig, wallet: LocalSigner) -> Self {
        let timeout = config.patience.min(ANSWER_WAIT_MAX);
        let rpc = rpc::Rpc::new(client, &config.url, timeout);
        Self { rpc, config, wallet: wallet::Wallet::new(wallet) }
    }

    fn provider_address(&self) -> Address {
        self.wallet.signer.address()
    }
}

impl Chain for EvmChain {
    fn domain(&self) -> Domain {
        Domain { chain_id: self.config.chain_id, contract: self.config.contract }
    }

    fn provider(&self) -> Address {
        self.provider_address()
    }

    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView> {
        Box::pin(self.view_account(user))
    }

    fn service(&self) -> ChainFuture<'_, Option<Service>> {
        Box::pin(self.view_service())
    }

    fn terms(&self) -> ChainFuture<'_, Terms> {
        Box::pin(self.view_terms())
    }

    fn gas(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, u64> {
        Box::pin(async move { self.estimate(&batch).await })
    }

    fn rehearse(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Verdict>> {
        Box::pin(async move { self.verdicts(&batch).await })
    }

    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
        Box::pin(async move { self.settle(&batch).await })
    }

    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing> {
        Box::pin(self.find_landing(voucher, since))
    }

    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32> {
        Box::pin(self.offer(service))
    }

    fn remove_service(&self) -> ChainFuture<'_, Digest32> {
        Box::pin(self.withdraw())
    }
}

/// How long one answer of the node is waited for at most.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(15);
