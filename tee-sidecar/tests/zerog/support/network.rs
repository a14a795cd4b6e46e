//! A chain with the 0G contracts on it, and what the people of the tests do there.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::anvil::Anvil;
use super::driver::Driver;
use super::{install, rpc};

/// Anvil's account 1, which provides.
pub(crate) const PROVIDER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// Its key, which everybody knows.
pub(crate) const PROVIDER_KEY: &str =
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

/// How a chain differs from anvil's own settings.
pub(crate) struct Options {
    /// How many accounts have 10,000 0G.
    pub(crate) accounts: u32,
    /// 30,000,000 unless told.
    pub(crate) block_gas_limit: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { accounts: 10, block_gas_limit: None }
    }
}

/// What the contract says of a user's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) nonce: u128,
    pub(crate) balance: u128,
    pub(crate) pending_refund: u128,
    pub(crate) acknowledged: bool,
    pub(crate) generation: u128,
    pub(crate) revoked_bitmap: String,
}

/// A running 0G network. Account 0 owns the contracts, 1 provides, users are numbered from 2.
pub(crate) struct Network {
    anvil: Anvil,
    driver: &'static Driver,
}

impl Network {
    /// `None`, and a word about it, where the real network cannot be had.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Option<Self> {
        let packages = install::packages()?;
        let network = Self::empty(packages, options);
        network.rpc("anvil_loadState", json!([deployed(packages)]));
        // The state brings the limit along that it was made under.
        if let Some(gas) = options.block_gas_limit {
            network.rpc("evm_setBlockGasLimit", json!([format!("{gas:#x}")]));
        }
        Some(network)
    }

    fn empty(packages: &Path, options: &Options) -> Self {
        let anvil = Anvil::start(packages, options);
        Self { anvil, driver: Driver::shared(packages) }
    }

    /// The node's address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.anvil.addr)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.anvil.addr
    }

    /// Carries out a command of `driver.mjs`.
    pub(crate) fn try_ask(&self, command: &str, mut asked: Value) -> Result<Value, String> {
        asked["url"] = self.url().into();
        self.driver.ask(command, asked)
    }

    /// The same, and it has to succeed.
    #[track_caller]
    pub(crate) fn ask(&self, command: &str, asked: Value) -> Value {
        self.try_ask(command, asked).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Calls the node.
    pub(crate) fn try_rpc(&self, method: &str, params: Value) -> Result<Value, String> {
        rpc::call(self.anvil.addr, method, &params)
    }

    /// The same, and it has to succeed.
    #[track_caller]
    pub(crate) fn rpc(&self, method: &str, params: Value) -> Value {
        self.try_rpc(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The number of the newest block.
    pub(crate) fn block(&self) -> u128 {
        quantity(&self.rpc("eth_blockNumber", json!([])))
    }

    pub(crate) fn mine(&self, blocks: u64) {
        self.rpc("anvil_mine", json!([blocks]));
    }

    /// Mines each transaction at once, or, if not, only when told.
    pub(crate) fn set_automine(&self, automine: bool) {
        self.rpc("evm_setAutomine", json!([automine]));
    }

    /// Mines every so many seconds, besides.
    pub(crate) fn set_interval(&self, seconds: u64) {
        self.rpc("evm_setIntervalMining", json!([seconds]));
    }

    /// The next block is so much later.
    pub(crate) fn increase_time(&self, seconds: u64) {
        self.rpc("evm_increaseTime", json!([seconds]));
        self.mine(1);
    }

    /// Replaces the newest blocks by as many empty ones.
    pub(crate) fn reorganise(&self, depth: u64) {
        self.rpc("anvil_reorg", json!([depth, []]));
    }

    /// The hashes of the transactions that wait to be mined.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let pool = self.rpc("txpool_content", json!([]));
        let senders = pool["pending"].as_object().unwrap().values();
        let sent = senders.flat_map(|nonces| nonces.as_object().unwrap().values());
        sent.map(|transaction| transaction["hash"].as_str().unwrap().to_owned()).collect()
    }

    /// Takes a waiting transaction out of the node's memory.
    pub(crate) fn drop_transaction(&self, hash: &str) {
        self.rpc("anvil_dropTransaction", json!([hash]));
    }

    /// What an address has, in neuron.
    pub(crate) fn balance(&self, address: &str) -> u128 {
        quantity(&self.rpc("eth_getBalance", json!([address, "latest"])))
    }

    pub(crate) fn set_balance(&self, address: &str, neuron: u128) {
        self.rpc("anvil_setBalance", json!([address, format!("{neuron:#x}")]));
    }

    /// Registers or changes the service of the provider, without a sidecar.
    pub(crate) fn register(&self, service_url: &str, prices: (u128, u128), signer: &str) {
        let (input, output) = prices;
        self.ask(
            "register",
            json!({"serviceUrl": service_url, "signer": signer,
                "inputPrice": input.to_string(), "outputPrice": output.to_string()}),
        );
    }

    /// The owner of the contracts trusts the provider's signer.
    pub(crate) fn owner_acknowledges(&self) {
        self.ask("owner_acknowledge", json!({}));
    }

    /// And no more.
    pub(crate) fn owner_revokes(&self) {
        self.ask("owner_revoke", json!({}));
    }

    /// Users deposit, and hand a part to the provider; in neuron.
    pub(crate) fn fund(&self, users: &[u32], deposit: u128, transfer: u128) {
        let (deposit, transfer) = (deposit.to_string(), transfer.to_string());
        self.ask("fund", json!({"users": users, "deposit": deposit, "transfer": transfer}));
    }

    /// The user asks for everything back, and takes what is due.
    pub(crate) fn retrieve(&self, user: u32) {
        self.ask("retrieve", json!({"user": user}));
    }

    /// The user's account with the provider.
    pub(crate) fn account(&self, user: u32) -> Option<Account> {
        let found = self.ask("account", json!({"user": user}));
        (!found.is_null()).then(|| Account {
            nonce: neuron(&found["nonce"]),
            balance: neuron(&found["balance"]),
            pending_refund: neuron(&found["pendingRefund"]),
            acknowledged: found["acknowledged"].as_bool().unwrap(),
            generation: neuron(&found["generation"]),
            revoked_bitmap: found["revokedBitmap"].as_str().unwrap().to_owned(),
        })
    }

    /// Every voucher that was mined: `user`, `status`, `fee`, `unsettled`, `nonce`, `block`, ….
    pub(crate) fn settlements(&self) -> Vec<Value> {
        self.ask("settlements", json!({})).as_array().unwrap().clone()
    }

    /// Address and key of an account.
    pub(crate) fn wallet(&self, index: u32) -> (String, String) {
        let wallet = self.ask("wallet", json!({"index": index}));
        let text = |name: &str| wallet[name].as_str().unwrap().to_owned();
        (text("address"), text("key"))
    }
}

/// A decimal string of the driver.
#[track_caller]
pub(crate) fn neuron(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

fn quantity(value: &Value) -> u128 {
    u128::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// A chain's state with nothing on it but the contracts; made once.
fn deployed(packages: &Path) -> &'static str {
    static STATE: OnceLock<String> = OnceLock::new();
    STATE.get_or_init(|| {
        let network = Network::empty(packages, &Options::default());
        // The SDK knows these two addresses; that they are reached is checked there.
        network.ask("deploy", json!({}));
        let state = network.rpc("anvil_dumpState", json!([]));
        state.as_str().unwrap().to_owned()
    })
}
