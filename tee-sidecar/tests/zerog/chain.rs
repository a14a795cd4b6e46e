//! The chain's client on the real contracts.

use std::future::Future;
use std::time::Duration;

use broker_core::chain::evm::{EvmChain, EvmConfig};
use broker_core::chain::{Chain, ChainError, Landing, Payment};
use broker_core::{Address, Digest32, Domain, LocalSigner, Neuron, SignedVoucher, UserId, Voucher};
use tokio::runtime::Runtime;

use crate::support::{Network, Options, PROVIDER, PROVIDER_KEY, ZG};

mod mempool;
mod reading;
mod scenarios;
mod service;
mod settling;

/// The contract on every chain of these tests.
const CONTRACT: &str = "0x0165878A594ca255338adfa4d48449f69242Eb8F";
/// The key that vouchers are signed with, and its address.
const SIGNER: ([u8; 32], &str) = ([0x11; 32], "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A");
const CONFIRMATIONS: u64 = 2;

/// A network and the provider's view of it.
struct Provider {
    network: Network,
    chain: EvmChain,
    runtime: Runtime,
}

impl Provider {
    fn start() -> Option<Self> {
        Self::with(&Options::default())
    }

    fn with(options: &Options) -> Option<Self> {
        let network = Network::with(options)?;
        // Anvil cannot look behind the state that it was started from.
        network.mine(CONFIRMATIONS);
        let chain = client(config(&network));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Some(Self { network, chain, runtime })
    }

    /// The same with an acknowledged service, and these users with 2 0G each.
    fn serving(users: &[u32]) -> Option<Self> {
        Self::serving_with(&Options::default(), users)
    }

    fn serving_with(options: &Options, users: &[u32]) -> Option<Self> {
        let provider = Self::with(options)?;
        provider.network.register("http://127.0.0.1:1", (100, 200), SIGNER.1);
        provider.network.owner_acknowledges();
        provider.network.fund(users, 5 * ZG, 2 * ZG);
        Some(provider)
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn user(&self, index: u32) -> UserId {
        self.network.wallet(index).0.parse().unwrap()
    }

    fn voucher(&self, user: u32, nonce: u64, total: u128) -> SignedVoucher {
        signed(SIGNER.0, self.unsigned(user, nonce, total))
    }

    fn unsigned(&self, user: u32, nonce: u64, total: u128) -> Voucher {
        Voucher {
            user: self.user(user),
            provider: address(PROVIDER),
            total: Neuron::new(total),
            requests_hash: Digest32([0xab; 32]),
            nonce,
        }
    }

    fn submit(&self, batch: &[SignedVoucher]) -> Result<Vec<Digest32>, ChainError> {
        self.wait(self.chain.submit(batch.to_vec()))
    }

    /// Sends the vouchers while `meanwhile` happens.
    fn submit_while(
        &self,
        batch: &[SignedVoucher],
        meanwhile: impl FnOnce() + Send,
    ) -> Result<Vec<Digest32>, ChainError> {
        std::thread::scope(|scope| {
            scope.spawn(meanwhile);
            self.submit(batch)
        })
    }

    fn landing(&self, voucher: SignedVoucher) -> Landing {
        self.wait(self.chain.landing(voucher, 0)).unwrap()
    }

    /// What became of a voucher once everything so far is final.
    fn final_landing(&self, voucher: SignedVoucher) -> Landing {
        self.network.mine(CONFIRMATIONS);
        self.landing(voucher)
    }

    #[track_caller]
    fn payment(&self, voucher: SignedVoucher) -> Payment {
        match self.final_landing(voucher) {
            Landing::Paid(payment) => payment,
            other => panic!("{other:?}"),
        }
    }

    /// The contract's statuses of all vouchers that were mined, in their order.
    fn statuses(&self) -> Vec<u64> {
        let settled = self.network.settlements();
        settled.iter().map(|settled| settled["status"].as_u64().unwrap()).collect()
    }
}

fn config(network: &Network) -> EvmConfig {
    EvmConfig {
        url: network.url(),
        chain_id: 31337,
        contract: address(CONTRACT),
        confirmations: CONFIRMATIONS,
        max_gas_price: None,
        patience: Duration::from_secs(8),
    }
}

fn client(config: EvmConfig) -> EvmChain {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let key = hex::decode(PROVIDER_KEY.trim_start_matches("0x")).unwrap().try_into().unwrap();
    EvmChain::new(client, config, LocalSigner::from_secret(&key).unwrap())
}

fn signed(key: [u8; 32], voucher: Voucher) -> SignedVoucher {
    let domain = Domain { chain_id: 31337, contract: address(CONTRACT) };
    voucher.sign(&domain, &LocalSigner::from_secret(&key).unwrap()).unwrap()
}

fn address(text: &str) -> Address {
    Address(*text.parse::<UserId>().unwrap().as_bytes())
}
