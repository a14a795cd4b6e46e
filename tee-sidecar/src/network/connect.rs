//! From `network.*` to the chain.

use std::sync::Arc;
use std::time::Duration;

use broker_core::chain::evm::{EvmChain, EvmConfig};
use broker_core::{Chain, ChainError, LocalSigner};
use tokio::time::timeout;

use crate::config;
use crate::net;

/// A transaction is waited for so long; after that it counts as on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// The node gets this long to say at start which chain it is of.
const CHECK_TIME: Duration = Duration::from_secs(5);

/// The chain of the settings, which is not another one as far as its node tells. A node that is
/// away is no error: the gate stays closed until it is back, and says why.
///
/// # Errors
/// [`ChainError::WrongNetwork`], and what [`connect`] ends with.
pub async fn reach(settings: &config::Network) -> Result<Arc<dyn Chain>, ChainError> {
    let chain = connect(settings)?;
    match timeout(CHECK_TIME, chain.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error @ ChainError::WrongNetwork(_))) => return Err(error),
        Ok(Err(error)) => tracing::warn!(%error, "the chain cannot be checked yet"),
        Err(_) => tracing::warn!("the chain's node does not answer in time"),
    }
    Ok(Arc::new(chain))
}

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
