//! Why a sidecar does not start.

use std::net::SocketAddr;

use broker_core::{Address, ChainError, LedgerError};

use crate::attest::AttestError;
use crate::keys::KeyError;
use crate::tls::TlsError;
use crate::upstream::UpstreamError;

/// Why the sidecar does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no TEE that could be used, or its evidence does not hold.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// There is no signing key.
    #[error("the signing key: {0}")]
    Key(#[from] KeyError),
    /// The ledger does not open, or does not take its first commands.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The ledger refuses an account's cover.
    #[error("the ledger refuses the credit of account '{account}': {why}")]
    Credit {
        /// The account.
        account: String,
        /// What stands against it.
        why: broker_core::Refusal,
    },
    /// The ledger's vouchers are another provider's.
    #[error(
        "the ledger belongs to provider {bound} on another wallet, contract or chain than \
         network.* names ({ours}): give each of them a ledger of its own"
    )]
    BoundElsewhere {
        /// Whose it is.
        bound: Address,
        /// The configured one.
        ours: Address,
    },
    /// The HTTP client for the engine cannot be built.
    #[error("the model server's client: {0}")]
    Upstream(#[from] UpstreamError),
    /// The node or the contract is another than the settings name, or cannot be asked at all.
    #[error("network: {0}")]
    Network(ChainError),
    /// What the operator registered cannot be read.
    #[error("the registration beside the ledger: {0}")]
    Service(std::io::Error),
    /// TLS cannot end here.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Spans cannot be exported.
    #[error(
        "tracing.otlpEndpoint: the HTTP client for it cannot be built ({0}); an https address \
         needs the system's bundle of certificate authorities"
    )]
    Tracing(String),
    /// A port cannot be used.
    #[error("{key} {addr}: {cause}")]
    Listen {
        /// The setting.
        key: &'static str,
        /// Its value.
        addr: SocketAddr,
        /// What the operating system says.
        cause: std::io::Error,
    },
    /// A server failed.
    #[error("the server failed: {0}")]
    Server(std::io::Error),
}
