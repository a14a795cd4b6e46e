//! From settings to a running server: evidence first, then the ledger, then the ports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use broker_core::settlement::LedgerStore;
use broker_core::{
    Chain, Clock, Command, Cover, Digest32, LedgerError, LedgerHandle, LedgerReader, Signer,
    SystemClock, UserId,
};

use crate::attest::report::ReportParts;
use crate::attest::{self, KeysetKeeper, ReportService, Tee};
use crate::config::{Auth, Limits, Settings};
use crate::exchange::admission::Admission;
use crate::exchange::prices::Prices;
use crate::exchange::salt::CacheSalts;
use crate::exchange::stop::StopSwitch;
use crate::exchange::{Exchange, Fingerprints, Shared};
use crate::http::auth::{Authenticator, OPEN_ACCOUNT};
use crate::http::{AppState, Notices};
use crate::identity::Identities;
use crate::keys::{self, KeyError};
use crate::ledger::{self, EndMark, Lead, Opened};
use crate::network::Network;
use crate::network::service::Route;
use crate::otlp::Exporter;
use crate::signals::Signals;
use crate::tls::{Tls, TlsKeeper};
use crate::upstream::{Catalog, Engines, Vllm};

mod error;
mod keeping;
mod keysets;
mod network;
mod reload;
mod run;
mod servers;

pub use error::StartError;
pub use run::{Order, Orders};

use keeping::Keeping;
use reload::Reloader;
use servers::{Listening, Servers};

/// Bytes that a client does not take for so long beyond `clientIdleSecs` end its connection.
const CLIENT_SILENCE: Duration = Duration::from_secs(60);
/// The simulation's secret, in the folder for what lies beside the ledger.
const SECRET_FILE: &str = "simulated-tee.secret";

/// A sidecar that has its ports and is ready to run.
pub struct Application {
    public: Listening,
    admin: Listening,
    switch: StopSwitch,
    shared: Arc<Shared>,
    keeping: Keeping,
    engine: Arc<Vllm>,
    network: Option<Arc<Network>>,
    tls: Option<Arc<TlsKeeper>>,
    reports: ReportService,
    reloader: Reloader,
    mark: EndMark,
    exporter: Option<Exporter>,
}

impl Application {
    /// Does everything that can fail before the first request. Needs to run in an actix system.
    ///
    /// # Errors
    /// What is missing or wrong; nothing has been served.
    pub async fn build(settings: Settings) -> Result<Self, StartError> {
        Self::build_on(settings, None).await
    }

    /// As [`Self::build`], on another chain than `network.*` names: a simulated one, in tests.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub async fn build_on(
        settings: Settings,
        chain: Option<Arc<dyn Chain>>,
    ) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Tee { attester, keys } = attest::choose(settings.tee).await?;
        let platform = attester.platform();
        let secret_file = settings.state_dir().join(SECRET_FILE);
        let signer = keys::signer(&keys, &secret_file).await?;
        let receipt_key = keys::receipt_key(&keys, &secret_file)?;
        let tls = open_tls(&settings, &clock)?;
        let tls_spki = tls.as_ref().map(|tls| tls.spki());
        let identities = Arc::new(Identities::new(receipt_key, tls_spki, clock.now()));
        let engines = Engines::of(&settings.upstream.engines());
        let catalog = Arc::new(Catalog::new(settings.upstream.model.clone(), engines));
        let told = catalog.clone();
        catalog.advertise(settings.service.model.clone());
        let model = move || told.advertised().or_else(|| told.known().map(|m| m.name.clone()));
        let reports = ReportService::new(ReportParts {
            attester,
            gpus: attest::choose_gpu(settings.gpu, platform)?,
            signer: signer.clone(),
            identities: identities.clone(),
            model: Box::new(model),
            tls_spki,
            clock: clock.clone(),
        });
        reports.self_check().await?;
        let Opened { ledger, reader, lead } = ledger::open(&settings.ledger, clock.clone()).await?;
        let signals = Signals::new(clock.now());
        let ledger = signals.commits.timed(ledger);
        reports.show_ledger(reader.clone());
        let ledger = broker_core::spawn_writer(ledger, clock.clone());
        cover_accounts(&ledger, &settings.auth).await?;
        if reports.is_simulated() {
            tracing::warn!(
                "SIMULATED TEE: the evidence proves nothing and every answer says so; \
                 use it to try things out, never to serve others"
            );
        }
        let network = {
            let store = LedgerStore { handle: ledger.clone(), reader: reader.clone() };
            network::start(&settings, chain, store, lead.clone(), (signer.clone(), clock.clone()))
                .await?
        };
        let log = log_of(&reader).await?;
        let receipts = (identities, log);
        let parts = Parts {
            signer,
            receipts,
            catalog,
            reports,
            ledger,
            lead,
            clock,
            network,
            tls,
            signals,
        };
        let settings = Arc::new(settings);
        let beside = settings.state_dir();
        let keysets = keysets::keeper(&parts, &reader).await?;
        let application = Self::bind(&settings, parts, (reader, keysets))?;
        if let Some(network) = &application.network {
            network::first_look(network, &beside).await;
        }
        Ok(application)
    }

    fn bind(
        settings: &Arc<Settings>,
        parts: Parts,
        (reader, keysets): (Arc<dyn LedgerReader>, KeysetKeeper),
    ) -> Result<Self, StartError> {
        let switch = StopSwitch::default();
        let prices = Arc::new(Prices::new(settings.service.tariff.clone()));
        let (ledger, clock, lead) = (&parts.ledger, &parts.clock, parts.lead.clone());
        let keeping = Keeping::of(settings, ledger, &reader, clock, lead.clone(), prices.clone());
        let keeping = keeping.beside(keysets);
        let clients = network::Clients::of(settings, parts.network.as_ref(), &parts.clock);
        let shared = parts.share(settings, &switch, prices)?;
        let shared = Arc::new(Shared { funds: clients.funds, live: keeping.live(), ..shared });
        // Connections belong to the thread that made them: each server thread has its own client.
        // This one shows at start that the next ones can be built.
        let engines = shared.catalog.engines().clone();
        let engine = Arc::new(Vllm::new(engines.clone(), &settings.limits)?);
        if let Some(network) = &parts.network {
            let (shared, probe) = (shared.clone(), engine.clone());
            network::serve(network, settings, Route { shared, probe })?;
        }
        let auth = Arc::new(Authenticator::new(&settings.auth, clients.sessions));
        let mark = EndMark::of(settings);
        let (tls, last_end) = (parts.tls.clone(), mark.last());
        let notices = Arc::new(Notices { tls, last_end, ..Notices::default() });
        let reports = parts.reports;
        let tls = parts.tls.map(|tls| TlsKeeper::of(tls, &reports, &shared));
        let told = (auth.clone(), notices.clone());
        let exporter =
            Exporter::of(&settings.tracing, &shared.signals).map_err(StartError::Tracing)?;
        let reloader = Reloader::of(settings, shared.clone(), told, tls.clone());
        let exchange = Exchange { shared: shared.clone(), engine: engine.clone() };
        let shown = (reports.clone(), parts.network.clone());
        let state = state_of(settings, exchange, (auth, notices), (reader, lead), shown);
        let state = of_thread(state, engines, settings.limits.clone());
        let (public, admin) = listen(settings, state, tls.as_ref())?;
        Ok(Self {
            public,
            admin,
            switch,
            shared,
            keeping,
            engine,
            network: parts.network,
            tls,
            reports,
            reloader,
            mark,
            exporter,
        })
    }

    /// Where the public routes are.
    pub const fn public_addr(&self) -> SocketAddr {
        self.public.addr
    }

    /// Where the operator's routes are.
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin.addr
    }
}

struct Parts {
    signer: Arc<dyn Signer>,
    /// Who signs receipts, and the log that they stand in.
    receipts: (Arc<Identities>, Digest32),
    catalog: Arc<Catalog>,
    reports: ReportService,
    ledger: LedgerHandle,
    lead: Lead,
    clock: Arc<dyn Clock>,
    network: Option<Arc<Network>>,
    signals: Arc<Signals>,
    tls: Option<Arc<Tls>>,
}

impl Parts {
    /// What exchanges share; nobody's funds are looked at, and none is running.
    fn share(
        &self,
        settings: &Settings,
        switch: &StopSwitch,
        prices: Arc<Prices>,
    ) -> Result<Shared, StartError> {
        let has_accounts = !matches!(settings.auth, Auth::Open);
        let salts = CacheSalts::new(settings.upstream.cache_salt, has_accounts);
        Ok(Shared {
            ledger: self.ledger.clone(),
            signer: self.signer.clone(),
            identities: self.receipts.0.clone(),
            log: self.receipts.1,
            refusals: Arc::default(),
            recent: Arc::default(),
            catalog: self.catalog.clone(),
            prices,
            admission: Admission::new(settings.limits.clone()),
            funds: None,
            on_disconnect: settings.upstream.on_disconnect,
            salts: salts.map_err(|error| KeyError::Random(error.to_string()))?,
            client_idle: Duration::from_secs(settings.limits.client_idle_secs),
            clock: self.clock.clone(),
            stop: switch.watch(),
            fingerprint: Fingerprints::default(),
            live: Arc::default(),
            signals: self.signals.clone(),
        })
    }
}

/// TLS, where the settings ask for it.
fn open_tls(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Option<Arc<Tls>>, StartError> {
    let Some(files) = settings.server.tls.clone() else { return Ok(None) };
    let host = settings.service.serving_host();
    Ok(Some(Tls::open(files, host, clock.clone())?))
}

/// The receipt log of the ledger.
async fn log_of(reader: &Arc<dyn LedgerReader>) -> Result<Digest32, StartError> {
    let reader = reader.clone();
    let read = rt::task::spawn_blocking(move || reader.log()).await;
    Ok(read.unwrap_or(Err(LedgerError::Stopped))?.id)
}

/// Both servers, with their ports.
fn listen(
    settings: &Settings,
    state: impl Fn() -> AppState + Clone + Send + 'static,
    tls: Option<&Arc<TlsKeeper>>,
) -> Result<(Listening, Listening), StartError> {
    let client_idle = Duration::from_secs(settings.limits.client_idle_secs);
    let tls = tls.map(|keeper| keeper.tls.clone());
    let servers = Servers { silence: client_idle + CLIENT_SILENCE, tls, state };
    let public = servers.public("server.listen", settings.server.listen)?;
    let has_tls = settings.server.admin_tls().is_some();
    let admin = servers.admin("server.adminListen", settings.server.admin_listen, has_tls)?;
    Ok((public, admin))
}

/// What servers answer from.
fn state_of(
    settings: &Settings,
    exchange: Exchange,
    (auth, notices): (Arc<Authenticator>, Arc<Notices>),
    (reader, lead): (Arc<dyn LedgerReader>, Lead),
    (reports, network): (ReportService, Option<Arc<Network>>),
) -> AppState {
    AppState {
        exchange,
        auth,
        notices,
        reader,
        lead,
        reports,
        network,
        limits: Arc::new(settings.limits.clone()),
        pace: Arc::default(),
        documents: Arc::default(),
        service: Arc::new(settings.service.clone()),
        allow_origins: settings.server.allow_origins.clone(),
        admin_token: settings.admin_token.clone().map(Arc::new),
    }
}

/// The state of each server thread, with a client for the engines of its own.
fn of_thread(
    state: AppState,
    engines: Arc<Engines>,
    limits: Limits,
) -> impl Fn() -> AppState + Clone + Send + 'static {
    move || {
        let mut state = state.clone();
        match Vllm::new(engines.clone(), &limits) {
            Ok(engine) => state.exchange.engine = Arc::new(engine),
            Err(error) => {
                tracing::warn!(%error, "a server thread shares its connections to engines")
            }
        }
        state
    }
}

/// Gives every account of the settings the cover it has there.
async fn cover_accounts(ledger: &LedgerHandle, auth: &Auth) -> Result<(), StartError> {
    let covers: Vec<(&str, Cover)> = match auth {
        Auth::Open => vec![(OPEN_ACCOUNT, Cover::Unlimited)],
        Auth::ApiKeys(keys) => keys.iter().map(|key| (key.account.as_str(), key.cover)).collect(),
        // Their cover is what the chain says, when they are first seen.
        Auth::SessionTokens => Vec::new(),
    };
    for (account, cover) in covers {
        cover_account(ledger, account, cover).await?;
    }
    Ok(())
}

async fn cover_account(
    ledger: &LedgerHandle,
    account: &str,
    cover: Cover,
) -> Result<(), StartError> {
    let command = Command::Mirror { user: UserId::of_account(account), cover };
    let decided = ledger.apply(command).await?;
    decided.map_err(|why| StartError::Credit { account: account.to_owned(), why })?;
    Ok(())
}
