//! The service of this provider: registered on the chain first, and only then in force.
//!
//! The chain is the truth for prices. What it does not hold (the engine's address, the operator's
//! name for the service) is in a file beside the ledger: a change is written there as pending
//! before it is sent, and becomes current when the chain has it, however often the process dies in
//! between.

use std::sync::{Arc, Mutex as Cell, PoisonError};

use broker_core::chain::{Service, ServiceParams};
use broker_core::{Address, Chain, ChainError, Clock, Tariff};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::book::{Book, Page, Registered};
use super::gate::{Gate, Prices};
use super::{Network, Settling, info};
use crate::config::Settings;
use crate::exchange::Shared;
use crate::upstream::{UpstreamError, Vllm};

/// Why a service is not registered, changed or removed. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The kind of service is unknown.
    #[error("invalid service type")]
    InvalidType,
    /// The kind of service is known and not served here.
    #[error("services of the type zgStorage are not served by this sidecar; register a chatbot")]
    NotServed,
    /// Another service is registered.
    #[error("service already exists in contract")]
    Exists,
    /// No service of this name is registered.
    #[error(
        "no service of this name was registered here; where GET /v1/contract-service shows one, \
         POST /v1/service takes it over"
    )]
    Unknown,
    /// Clients could not be told where to go.
    #[error("servingUrl is not configured; set it to this sidecar's public address and restart")]
    NoServingUrl,
    /// The engine's address cannot be used.
    #[error("URL: {0}")]
    Target(UpstreamError),
    /// Fees would be lost.
    #[error("{0}")]
    Fees(String),
    /// The chain did not take it, or gave no answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The file did not take it.
    #[error("the file of the registration: {0}")]
    File(#[from] std::io::Error),
    /// A task of ours ended early.
    #[error("an internal error; see the log")]
    Internal,
}

/// What a sidecar on the network serves, and at which prices.
pub struct Services {
    chain: Arc<dyn Chain>,
    gate: Arc<Gate>,
    signer: Address,
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    probe: Arc<Vllm>,
    book: Book,
    /// What the book holds.
    page: Cell<Page>,
    /// Held while the chain is written or compared with the book.
    writing: Mutex<()>,
}

/// What the live route is made of.
pub struct Route {
    /// Prices, model, signer.
    pub shared: Arc<Shared>,
    /// A client that tells whether an address can be used.
    pub probe: Arc<Vllm>,
}

impl Services {
    /// What the book holds is in force at once; [`Self::reconcile`] compares it with the chain.
    ///
    /// # Errors
    /// The book cannot be read.
    pub fn open(
        network: &Network,
        settings: Arc<Settings>,
        route: Route,
        book: Book,
    ) -> std::io::Result<Self> {
        let page = book.read()?;
        let Route { shared, probe } = route;
        network.gate.price(Prices::Awaited);
        let services = Self {
            chain: network.chain.clone(),
            gate: network.gate.clone(),
            signer: shared.signer.address(),
            clock: shared.clock.clone(),
            settings,
            shared,
            probe,
            book,
            page: Cell::new(page),
            writing: Mutex::new(()),
        };
        if let Some(current) = services.current() {
            services.steer(Some(&current), &services.params(&current, String::new()));
        }
        Ok(services)
    }

    /// What is in force, where it was registered here.
    pub fn current(&self) -> Option<Registered> {
        self.page().current
    }

    fn page(&self) -> Page {
        self.page.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn turn(&self, page: Page) -> Result<(), ServiceError> {
        if page != self.page() {
            self.book.write(&page)?;
            *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
        }
        Ok(())
    }

    /// Registers the service, or changes it: the chain first, then the route.
    ///
    /// # Errors
    /// What stands against it; the route is what it was.
    pub async fn register(
        &self,
        wanted: Registered,
        network: &Network,
    ) -> Result<(), ServiceError> {
        match wanted.kind.as_str() {
            "chatbot" => {}
            "zgStorage" => return Err(ServiceError::NotServed),
            _ => return Err(ServiceError::InvalidType),
        }
        let serving = self.settings.service.serving_url.clone();
        let serving = serving.ok_or(ServiceError::NoServingUrl)?;
        self.probe.accepts(&wanted.url).map_err(ServiceError::Target)?;
        let _writing = self.writing.lock().await;
        let existing = self.compare().await?;
        let page = self.page();
        // What is gone from the chain does not stand in the way of another.
        let current = page.current.filter(|_| existing.is_some());
        if current.as_ref().is_some_and(|current| current.name != wanted.name) {
            return Err(ServiceError::Exists);
        }
        let wanted = wanted.at(self.clock.now(), current.as_ref());
        let params = self.params(&wanted, serving.trim_end_matches('/').to_owned());
        let is_there = existing.as_ref().is_some_and(|service| service.params == params);
        if !is_there {
            self.turn(Page { current: current.clone(), pending: Some(wanted.clone()) })?;
            if let Err(error) = self.send(existing.as_ref(), &params, network).await {
                if is_certain(&error) {
                    self.turn(Page { current, pending: None })?;
                }
                return Err(error);
            }
        }
        self.turn(Page { current: Some(wanted.clone()), pending: None })?;
        self.steer(Some(&wanted), &params);
        self.gate.price(Prices::Known);
        network.settler.check().await;
        tracing::info!(name = wanted.name, model = wanted.model, "the service is registered");
        self.compare_model(&wanted).await;
        Ok(())
    }

    /// Bodies reach the engine as they are: it has to know the model by the registered name.
    async fn compare_model(&self, wanted: &Registered) {
        match self.shared.catalog.model(&*self.probe).await {
            Ok(model) if model.name != wanted.model => tracing::warn!(
                engine = model.name,
                registered = wanted.model,
                "the engine lists another model than was registered: start it with the registered \
                 name too, as with vLLM's --served-model-name"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the engine does not list its models yet"),
        }
    }

    async fn send(
        &self,
        existing: Option<&Service>,
        params: &ServiceParams,
        network: &Network,
    ) -> Result<(), ServiceError> {
        match existing {
            None => {
                let terms = self.chain.terms().await.map_err(unsent)?;
                let (has, needs) = (terms.wallet, terms.stake);
                if let Some(missing) = needs.checked_sub(has).filter(|missing| !missing.is_zero()) {
                    return Err(ChainError::TooPoor { has, needs, missing }.into());
                }
                tracing::warn!(
                    stake_neuron = %terms.stake, wallet = %self.chain.provider(),
                    "the first registration sends the contract's stake"
                );
            }
            Some(service) => {
                let old = &service.params;
                if old.tee_signer != params.tee_signer {
                    let settling: &dyn Settling = &network.settler;
                    settling.before_signer_change().await.map_err(ServiceError::Fees)?;
                }
                if params.resets_acknowledgement(old) {
                    tracing::warn!(
                        "this change resets the acknowledgement of the contract's owner: paid work \
                         and settlement wait until the owner acknowledges the signer again"
                    );
                }
            }
        }
        let transaction = self.chain.register(params.clone()).await?;
        // The chain's own word counts, not that of the call.
        let there = self.chain.service().await?;
        if there.is_none_or(|service| service.params != *params) {
            return Err(ChainError::Pending(transaction).into());
        }
        tracing::info!(%transaction, "the chain has the service");
        Ok(())
    }

    /// Compares the book with the chain, which counts: what was pending is in force once the chain
    /// has it, and the prices are the chain's. Returns the chain's service.
    ///
    /// # Errors
    /// The chain or the file gave no answer; what was in force stays.
    pub async fn reconcile(&self) -> Result<Option<Service>, ServiceError> {
        let _writing = self.writing.lock().await;
        self.compare().await
    }

    async fn compare(&self) -> Result<Option<Service>, ServiceError> {
        // Sidecars that share the folder share the book.
        let written = self.book.read()?;
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = written;
        let service = self.chain.service().await?;
        let Some(service) = service else {
            self.gate.price(Prices::Absent);
            return Ok(None);
        };
        let page = self.page();
        let landed = page.pending.filter(|pending| pending.is_on_chain(&service.params));
        if let Some(pending) = &landed {
            tracing::info!(name = pending.name, "the chain has the pending registration");
            self.turn(Page { current: Some(pending.clone()), pending: None })?;
        }
        self.steer(landed.or(page.current).as_ref(), &service.params);
        self.gate.price(self.shown(&service.params.additional_info));
        Ok(Some(service))
    }

    /// Tiers and cache prices are the settings'; clients know those that the chain shows.
    fn shown(&self, additional_info: &str) -> Prices {
        let ours = info::additional_info(&self.settings.service);
        if info::same_prices(&ours, additional_info) { Prices::Known } else { Prices::Others }
    }

    /// Compares again and again, for ever: other software may change the service, and what was
    /// pending may land late.
    pub async fn watch(&self) {
        let mut fails = false;
        loop {
            sleep(self.gate.look_again_after()).await;
            let failed = self.reconcile().await.err();
            if let Some(error) = failed.as_ref().filter(|_| !fails) {
                tracing::warn!(%error, "the service on the chain cannot be compared");
            }
            fails = failed.is_some();
        }
    }

    /// Removes the service, which returns the stake, once nothing is owed under it. The gate stays
    /// closed until there is another.
    ///
    /// # Errors
    /// What stands against it; the gate is what it was.
    pub async fn remove(&self, name: &str, network: &Network) -> Result<(), ServiceError> {
        let _writing = self.writing.lock().await;
        let page = self.page();
        if page.current.as_ref().is_none_or(|current| current.name != name) {
            return Err(ServiceError::Unknown);
        }
        // Nothing new begins while we look at what is owed.
        let before = self.gate.price(Prices::Leaving);
        if let Err(error) = self.remove_from_chain(name, network).await {
            self.gate.price(before);
            return Err(error);
        }
        self.gate.price(Prices::Absent);
        network.settler.check().await;
        self.turn(Page::default())
    }

    async fn remove_from_chain(&self, name: &str, network: &Network) -> Result<(), ServiceError> {
        // What is in flight becomes a debt when it ends, so it is looked at first.
        if self.shared.admission.in_flight() > 0 {
            let why = "requests are in flight, whose fees could not be collected; try again";
            return Err(ServiceError::Fees(why.to_owned()));
        }
        let settling: &dyn Settling = &network.settler;
        settling.before_removal().await.map_err(ServiceError::Fees)?;
        if self.chain.service().await?.is_some() {
            let transaction = self.chain.remove_service().await?;
            tracing::warn!(%transaction, name, "the service is removed; the stake is returned");
        }
        Ok(())
    }

    fn params(&self, registered: &Registered, url: String) -> ServiceParams {
        ServiceParams {
            kind: registered.kind.clone(),
            url,
            model: registered.model.clone(),
            verifiability: registered.verifiability.clone(),
            input_price: registered.input_price,
            output_price: registered.output_price,
            additional_info: info::additional_info(&self.settings.service),
            tee_signer: self.signer,
        }
    }

    /// Lets requests to come go the way of this service.
    fn steer(&self, registered: Option<&Registered>, params: &ServiceParams) {
        let url = registered.map(|registered| registered.url.as_str());
        self.shared.catalog.steer(url, &params.model);
        let tariff = Tariff {
            input_price: params.input_price,
            output_price: params.output_price,
            schedule: self.settings.service.tariff.schedule.clone(),
        };
        if tariff != self.shared.prices.now() {
            tracing::info!(
                input_price = %tariff.input_price, output_price = %tariff.output_price,
                "new prices for requests to come"
            );
            self.shared.prices.set(tariff);
        }
    }
}

/// Before anything was sent every failure is certain.
fn unsent(error: ChainError) -> ServiceError {
    ServiceError::Fees(error.to_string())
}

/// Whether the chain cannot take it any more. Where the node gave no answer, it still may.
const fn is_certain(error: &ServiceError) -> bool {
    !matches!(
        error,
        ServiceError::Chain(
            ChainError::Unreachable(_) | ChainError::Node(_) | ChainError::Pending(_)
        )
    )
}
