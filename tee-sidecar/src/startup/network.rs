//! What a sidecar on the 0G network starts with, and what one without does not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker_core::settlement::{LedgerStore, read};
use broker_core::{Binding, Chain, Clock, Signer};
use tokio::time::timeout;

use super::StartError;
use crate::config::{Auth, Settings};
use crate::exchange::funds::Funds;
use crate::ledger::Lead;
use crate::network::book::Book;
use crate::network::connect::reach;
use crate::network::escrows::Escrows;
use crate::network::service::{Route, Services};
use crate::network::sessions::Sessions;
use crate::network::{Network, NetworkParts};

/// What the chain does not hold of a registration, in the folder for what lies beside the ledger.
const SERVICE_FILE: &str = "service.json";
/// The chain gets this long to tell the service before requests are taken.
const FIRST_LOOK_TIME: Duration = Duration::from_secs(5);

/// Starts to settle on `chain`, or on the one of the settings; `None` where there is none.
pub(super) async fn start(
    settings: &Settings,
    chain: Option<Arc<dyn Chain>>,
    store: LedgerStore,
    lead: Lead,
    (signer, clock): (Arc<dyn Signer>, Arc<dyn Clock>),
) -> Result<Option<Arc<Network>>, StartError> {
    let chain = match (chain, &settings.network) {
        (Some(chain), _) => chain,
        (None, Some(network)) => reach(network).await.map_err(StartError::Network)?,
        (None, None) => return Ok(None),
    };
    check_binding(&store, &*chain).await?;
    let settlement = settings.settlement;
    let parts = NetworkParts { chain, store, lead, signer, clock, settlement };
    Ok(Some(Arc::new(Network::start(parts).map_err(StartError::Server)?)))
}

/// Lets the service on the chain steer `route`.
pub(super) fn serve(
    network: &Network,
    settings: &Arc<Settings>,
    route: Route,
) -> Result<(), StartError> {
    let book = Book::at(settings.state_dir().join(SERVICE_FILE));
    let services = Services::open(network, settings.clone(), route, book);
    let _ = network.services.set(Arc::new(services.map_err(StartError::Service)?));
    Ok(())
}

/// Requests are charged what the chain says: it is asked before the first one can come.
pub(super) async fn first_look(network: &Network, beside: &Path) {
    let bound = read(&network.store, |reader| reader.binding()).await.ok().flatten();
    if let Some(why) = left_behind(bound, beside) {
        tracing::warn!("{why}");
    }
    let Some(services) = network.services.get() else { return };
    match timeout(FIRST_LOOK_TIME, services.reconcile()).await {
        Ok(Ok(Some(_))) => {}
        Ok(Ok(None)) => {
            tracing::warn!(
                "no service is registered on the chain: register one by POST /v1/service"
            );
        }
        Ok(Err(error)) => tracing::warn!(%error, "the chain does not tell the service"),
        Err(_) => tracing::warn!("the chain does not tell the service in time"),
    }
}

/// What is said where a ledger that has collected fees lies apart from what belongs to it.
fn left_behind(bound: Option<Binding>, beside: &Path) -> Option<String> {
    let Binding { provider, .. } = bound.filter(|_| !beside.join(SERVICE_FILE).exists())?;
    Some(format!(
        "the ledger is that of provider {provider}, and {SERVICE_FILE} is not in {}: where the \
         ledger was moved, move what lay beside it too (registration, archives, a simulated TEE's \
         secret), or set ledger.stateDir to its folder",
        beside.display()
    ))
}

async fn check_binding(store: &LedgerStore, chain: &dyn Chain) -> Result<(), StartError> {
    let ours = Binding { domain: chain.domain(), provider: chain.provider() };
    match read(store, |reader| reader.binding()).await? {
        Some(bound) if bound != ours => {
            let (bound, ours) = (bound.provider, ours.provider);
            Err(StartError::BoundElsewhere { bound, ours })
        }
        _ => Ok(()),
    }
}

/// How clients of the 0G network are known, and what they may spend.
#[derive(Default)]
pub(super) struct Clients {
    pub(super) sessions: Option<Arc<Sessions>>,
    pub(super) funds: Option<Arc<dyn Funds>>,
}

impl Clients {
    pub(super) fn of(
        settings: &Settings,
        network: Option<&Arc<Network>>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let (Some(network), Auth::SessionTokens) = (network, &settings.auth) else {
            return Self::default();
        };
        let (provider, accounts) = (network.chain.provider(), network.accounts.clone());
        let reserve = settings.settlement.min_reserve;
        let funds = Escrows::new(network.clone(), accounts.clone(), reserve);
        let sessions = Sessions::new(provider, accounts, clock.clone());
        Self { sessions: Some(Arc::new(sessions)), funds: Some(Arc::new(funds)) }
    }
}

#[cfg(test)]
mod tests {
    use broker_core::testing::{SimChain, SimOptions};

    use super::*;

    #[test]
    fn a_ledger_that_was_moved_without_what_lay_beside_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let chain = SimChain::new(SimOptions::default());
        let bound = Some(Binding { domain: chain.domain(), provider: chain.provider() });
        assert_eq!(left_behind(None, folder.path()), None, "a new ledger");
        let told = left_behind(bound, folder.path()).unwrap();
        assert!(told.contains("set ledger.stateDir"), "{told}");
        std::fs::write(folder.path().join(SERVICE_FILE), "{}").unwrap();
        assert_eq!(left_behind(bound, folder.path()), None);
    }
}
