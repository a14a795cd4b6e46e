//! What the host decides: valid settings, made once at start from YAML and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use broker_core::settlement::Policy;
use broker_core::{Address, Cover, Neuron, Tariff};

use crate::route::Route;

mod changes;
mod check;
mod effective;
mod env;
mod error;
mod keys;
mod ledger;
mod load;
mod raw;
mod secret;
mod text;
mod tracing;

pub use changes::changed;
pub use effective::effective;
pub use env::{environment, notify_socket};
pub use error::{ConfigError, Problem};
pub use ledger::{LedgerUrl, Retention};
pub use secret::Secret;
pub use tracing::Tracing;

/// An engine's address as `upstream.url` takes it, without a slash or `/v1` at its end; `None`
/// where the text is none.
pub fn engine_address(text: &str) -> Option<String> {
    check::engine_address(text)
}

/// The address of a ledger from a file, as `ledger.urlFile` names one.
///
/// # Errors
/// The rule that the file breaks; it holds nothing of the address.
pub fn ledger_url_in(path: &str) -> Result<LedgerUrl, String> {
    check::ledger_url_in(path)
}

/// Settings that have been checked: the rest of the program holds values that cannot be wrong.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `server.*`
    pub server: Server,
    /// `upstream.*`
    pub upstream: Upstream,
    /// `tee.provider`
    pub tee: TeeProvider,
    /// `gpu.provider`
    pub gpu: GpuProvider,
    /// `ledger.url`
    pub ledger: LedgerUrl,
    /// `ledger.stateDir`; `None` where it was not given. [`Settings::state_dir`] is in force.
    pub state_dir: Option<PathBuf>,
    /// `ledger.retentionDays` and `ledger.archiveDir`
    pub retention: Retention,
    /// `service.*`
    pub service: Service,
    /// `network.*`; `None` is a sidecar without a chain.
    pub network: Option<Network>,
    /// `interval.*` and `settlement.*`
    pub settlement: Settlement,
    /// `auth.*`
    pub auth: Auth,
    /// `admin.token`; `None` only where the admin listener is on loopback.
    pub admin_token: Option<Secret<String>>,
    /// `limits.*`
    pub limits: Limits,
    /// `log.*`
    pub log: Log,
    /// `tracing.*`
    pub tracing: Tracing,
}

/// `server.*`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where the public routes are served.
    pub listen: SocketAddr,
    /// Where the operator's routes (and the public ones) are served.
    pub admin_listen: SocketAddr,
    /// The host has asked for plain HTTP on an address that is not loopback.
    pub allow_plain_http: bool,
    /// The origins of web pages that browsers may call the public routes from.
    pub allow_origins: Vec<String>,
    /// `server.tls`; `None` serves plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Seconds that running answers get to end by themselves when the sidecar is stopped.
    pub drain_secs: u64,
}

impl Server {
    /// The files of TLS, where the admin listener speaks it: on loopback nobody is in between.
    pub fn admin_tls(&self) -> Option<&TlsFiles> {
        self.tls.as_ref().filter(|_| !self.admin_listen.ip().to_canonical().is_loopback())
    }
}

/// `server.tls`: the files of the key and certificate that TLS ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those above it, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM; made where it does not exist.
    pub key: PathBuf,
}

/// `upstream.*`
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The engine's base address, without a trailing slash or `/v1`.
    pub url: String,
    /// Those of further engines with the same model, in the same form.
    pub urls: Vec<String>,
    /// The model served; `None` asks the engine.
    pub model: Option<String>,
    /// What happens to a request whose client has left.
    pub on_disconnect: OnDisconnect,
    /// Whose prefix cache a request has at the engine.
    pub cache_salt: CacheSalt,
}

impl Upstream {
    /// The addresses of all engines.
    pub fn engines(&self) -> Vec<String> {
        std::iter::once(&self.url).chain(&self.urls).cloned().collect()
    }
}

/// What happens to a request whose client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// The engine is stopped; the client pays for what it was handed.
    Abort,
    /// The engine is read on to its final count, which the client pays.
    Drain,
}

/// `upstream.cacheSalt`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSalt {
    /// Its account's, where the engines are vLLM and clients have accounts.
    Auto,
    /// Its account's.
    Account,
    /// What the client says, or the one of all.
    None,
}

/// `tee.provider`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TeeProvider {
    /// dstack, then TDX; never the simulation.
    Auto,
    /// The kernel's configfs interface on a bare TDX machine.
    Tdx,
    /// The dstack guest agent.
    Dstack,
    /// The software platform; only in builds with the feature `simulator`.
    Simulated,
}

/// `gpu.provider`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuProvider {
    /// NVML where there is a driver.
    Auto,
    /// NVML.
    Nvml,
    /// No GPU evidence.
    None,
    /// The software GPU; only in builds with the feature `simulator`.
    Simulated,
}

/// `service.*`
#[derive(Clone, Debug)]
pub struct Service {
    /// The public address of this sidecar.
    pub serving_url: Option<String>,
    /// The kind of service on the 0G network.
    pub kind: String,
    /// The advertised model; `None` is the upstream's.
    pub model: Option<String>,
    /// How answers can be verified.
    pub verifiability: String,
    /// Prices in neuron per token.
    pub tariff: Tariff,
    /// The inference routes that are served.
    pub routes: Vec<Route>,
}

impl Service {
    /// The host of the public address, without the brackets of IPv6.
    pub fn serving_host(&self) -> Option<String> {
        let url = reqwest::Url::parse(self.serving_url.as_deref()?).ok()?;
        let host = url.host_str()?;
        Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
    }
}

/// `network.*`
#[derive(Clone, Debug)]
pub struct Network {
    /// The chain's JSON-RPC address.
    pub url: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The provider's wallet: the one entry of `privateKeys`.
    pub wallet: Secret<[u8; 32]>,
    /// The InferenceServing contract.
    pub contract: Address,
    /// Blocks on top of one that make it final.
    pub confirmations: u64,
    /// What a unit of gas may cost at most, in neuron; `None` is no cap.
    pub max_gas_price: Option<Neuron>,
}

/// `interval.*` and `settlement.*`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Who is due.
    pub policy: Policy,
    /// Seconds between two looks at who is due.
    pub every_secs: u64,
    /// What an escrow must have beyond what its user owes, in neuron.
    pub min_reserve: Neuron,
}

impl Default for Settlement {
    fn default() -> Self {
        // 0G's own figures: five minutes, and one 0G.
        Self {
            policy: Policy::default(),
            every_secs: 300,
            min_reserve: Neuron::new(1_000_000_000_000_000_000),
        }
    }
}

/// `auth.*`
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everyone may ask; the account named `open` is charged without limit.
    Open,
    /// A bearer key names the account.
    ApiKeys(Vec<ApiKey>),
    /// 0G's session tokens: the account is the chain address that signed; needs `network`.
    SessionTokens,
}

/// One entry of `auth.apiKeys`.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The account's name.
    pub account: String,
    /// The bearer token.
    pub key: Secret<String>,
    /// From `creditNeuron`; unlimited without it.
    pub cover: Cover,
}

/// `limits.*`
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest request body, in bytes, where its route has no limit of its own.
    pub request_bytes_max: usize,
    /// Routes with one of their own, in bytes.
    pub route_bytes_max: Vec<(Route, usize)>,
    /// Exchanges in flight at most.
    pub concurrent_max: usize,
    /// Exchanges in flight at most for one account.
    pub concurrent_per_account_max: usize,
    /// Requests an account may start per minute; `None` is no limit.
    pub requests_per_minute: Option<u64>,
    /// Tokens an account may use per minute; `None` is no limit.
    pub tokens_per_minute: Option<u64>,
    /// Seconds until the engine has accepted a connection.
    pub upstream_connect_secs: u64,
    /// Seconds the engine may be silent.
    pub upstream_idle_secs: u64,
    /// Seconds a client may take to accept the next piece of its answer.
    pub client_idle_secs: u64,
}

impl Limits {
    /// The longest request body of a route, in bytes.
    pub fn body_bytes_max(&self, route: Route) -> usize {
        let own = self.route_bytes_max.iter().find(|(of, _)| *of == route);
        own.map_or(self.request_bytes_max, |(_, bytes)| *bytes)
    }
}

/// `log.*`
#[derive(Clone, Debug)]
pub struct Log {
    /// `log.format`
    pub format: LogFormat,
    /// `log.filter`, in the syntax of tracing's EnvFilter.
    pub filter: String,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line a record, for people.
    Text,
    /// One JSON object a line.
    Json,
}
