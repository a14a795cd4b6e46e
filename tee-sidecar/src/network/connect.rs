//! From `network.*` to the chain.

use std::time::Duration;

use broker_core::chain::evm::{EvmChain, EvmConfig};
use broker_core::{ChainError, LocalSigner};

use crate::config;
use crate::net;

/// A transaction is waited for so long; after that it counts as on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// The chain of the settings, which is asked nothing yet.
///
/// # Errors
/// The wallet's key is none, or the HTTP client cannot be built.
pub fn connect(settings: &config::Network) -> Result<EvmChain, ChainError> {
    let is_plain = settings.url.starts_with("http://");
    let builder = if is_plain { net::plain_client_builder() } else { net::client_builder() };
    let unreachable = |error: reqwest::Error| ChainError::Unreachable(error.to_string());
    let client = builder.build().map_err(unreachable)?;
    let wallet = LocalSigner::from_secret(settings.wallet.expose())
        .map_err(|error| ChainError::WrongNetwork(format!("network.privateKeys: {error}")))?;
    let config = EvmConfig {
        url: settings.url.clone(),
        chain_id: settings.chain_id,
        contract: settings.contract,
        confirmations: settings.confirmations,
        max_gas_price: settings.max_gas_price,
        patience: PATIENCE,
    };
    Ok(EvmChain::new(client, config, wallet))
}
