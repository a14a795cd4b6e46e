//! From a request to a signed, charged answer.
//!
//! ```text
//! parse → admit → hold (durable) → forward → hand over → sign + charge (durable) → the last bytes
//! ```
//!
//! A task of its own, the pump, owns the exchange from the hold to the charge. The HTTP handler
//! only waits for the answer's head and passes bytes on, so it may be dropped at any time: the pump
//! sees that, charges what was handed over and ends the hold. No token is generated without a
//! durable hold; no client gets the end of an answer before fee and signature are durable.

use std::num::NonZeroU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use broker_core::{
    Clock, Digest32, Fingerprint, Hold, LedgerHandle, Neuron, Receipt, ReceiptId, RequestKey,
    Signer, Tariff, TokenBound, UserId,
};
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::config::OnDisconnect;
use crate::fault::{Envelope, Fault};
use crate::identity::Identities;
use crate::ledger::Live;
use crate::route::Route;
use crate::signals::{Signals, Visit, record};
use crate::upstream::{Catalog, Model, Upstream};

pub mod admission;
mod billing;
mod buffered;
mod checkpoints;
pub mod estimate;
pub mod event;
mod finish;
pub mod funds;
pub mod handover;
pub mod meter;
pub mod prices;
mod pump;
pub mod reader;
pub mod recent;
pub mod refusals;
pub mod request;
pub mod salt;
pub mod sse;
pub mod stop;
mod streamed;
pub mod usage;
mod whole;

use admission::Admission;
pub use admission::Permit;
use funds::Funds;
use handover::Receiver;
use prices::Prices;
use recent::Recent;
use refusals::{Refusals, Refused};
use request::Request;
use salt::CacheSalts;
use stop::Stop;

/// The longest name of a model that a receipt quotes.
pub(crate) const MODEL_BYTES_MAX: usize = 256;
/// No answer takes longer: it is cut and charged as far as it came.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// A hold that nobody ended may be swept after this time: longer than any answer takes.
const HOLD_EXPIRY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// What all exchanges share.
pub struct Shared {
    /// The fee ledger.
    pub ledger: LedgerHandle,
    /// The attested key.
    pub signer: Arc<dyn Signer>,
    /// The key that signs receipts, and its keyset.
    pub identities: Arc<Identities>,
    /// The log that receipts stand in.
    pub log: Digest32,
    /// What was refused of late.
    pub refusals: Arc<Refusals>,
    /// What ended of late.
    pub recent: Arc<Recent>,
    /// The served model.
    pub catalog: Arc<Catalog>,
    /// The prices new requests are admitted under.
    pub prices: Arc<Prices>,
    /// Who may have how much in flight.
    pub admission: Arc<Admission>,
    /// Where users' money comes from; `None` where only the ledger knows.
    pub funds: Option<Arc<dyn Funds>>,
    /// What happens to a request whose client has left.
    pub on_disconnect: OnDisconnect,
    /// What keeps accounts' prefix caches apart.
    pub salts: CacheSalts,
    /// How long a client may take to accept the next piece.
    pub client_idle: Duration,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Tells when the sidecar is stopping.
    pub stop: Stop,
    /// What the engine was last known by.
    pub fingerprint: Fingerprints,
    /// The holds of exchanges that run, which do not expire.
    pub live: Arc<Live>,
    /// What is counted.
    pub signals: Arc<Signals>,
}

/// The engine's `system_fingerprint`, as its last total told it.
#[derive(Debug, Default)]
pub struct Fingerprints(RwLock<Option<String>>);

impl Fingerprints {
    fn last(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, fingerprint: String) {
        let same = |known: &Option<String>| known.as_deref() == Some(fingerprint.as_str());
        if !same(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        }
    }
}

/// Runs exchanges against one connection pool to the engine.
#[derive(Clone)]
pub struct Exchange {
    /// What all exchanges share.
    pub shared: Arc<Shared>,
    /// The engine.
    pub engine: Arc<dyn Upstream>,
}

/// A request as the HTTP layer hands it in.
pub struct Ask {
    /// The id of this exchange, already promised to the client in a header.
    pub id: ReceiptId,
    /// Who pays.
    pub user: UserId,
    /// What is asked for, under whatever spelling.
    pub route: Route,
    /// The body's bytes as they arrived.
    pub body: Bytes,
    /// The client's `Content-Type`, which a form with files cannot do without.
    pub content_type: Option<String>,
    /// Their SHA-256.
    pub request_hash: Digest32,
    /// The place of the exchange, taken before its body was read. Whoever hands the answer on
    /// shares it, so that it is given back when both are done.
    pub permit: Arc<Permit>,
    /// The client's own name for the request, so that a retry is known as one.
    pub client_key: Option<Vec<u8>>,
    /// The id that goes through the logs.
    pub request_id: String,
    /// The shape in which an error of ours leaves, which is signed too.
    pub envelope: Envelope,
    /// Events between two checkpoints in a stream; none were asked for with `None`.
    pub checkpoint_events: Option<NonZeroU64>,
    /// Its clock.
    pub visit: Arc<Visit>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What the client is told.
    pub fault: Fault,
    /// The exchange has a receipt, or never will.
    pub has_ended: bool,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self { fault, has_ended: false }
    }
}

/// The head of an answer, and its body.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The engine's `Content-Type`.
    pub content_type: Option<String>,
    /// The bytes.
    pub body: AnswerBody,
}

/// An answer's bytes.
pub enum AnswerBody {
    /// All of them, charged and signed.
    Whole(Bytes),
    /// As they come; charged and signed before the last.
    Stream(Receiver),
}

impl Exchange {
    /// A place for an exchange of `user`'s.
    ///
    /// # Errors
    /// The sidecar is stopping or a limit is reached.
    pub fn enter(&self, user: UserId) -> Result<Permit, Fault> {
        let now = self.shared.clock.now();
        let permit = self.shared.admission.enter(user, now)?;
        if self.shared.identities.has_ended(now) {
            let message = "the keys of receipts have ended and the next are not attested yet";
            let retry_after = Duration::from_secs(10);
            return Err(Fault::Unavailable { message: message.into(), retry_after });
        }
        // Looked at after the place was taken: whoever stops the sidecar waits for taken places.
        self.shared.stop.accepting()?;
        Ok(permit)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// What the client is to be told instead. May be dropped at any point.
    pub async fn answer(&self, ask: Ask) -> Result<Answer, Failed> {
        let content_type = ask.content_type.as_deref();
        let mut request = Request::parse(ask.route, ask.body.clone(), content_type)?;
        let model = self.model_for(&request, &ask.request_id).await?;
        let salts = &self.shared.salts;
        if salts.apply(self.shared.catalog.takes_salt()) {
            request.salted(|given| salts.of(&ask.user, given))?;
        }
        let bound = request.size.bound(model.context_tokens);
        if let Some(funds) = &self.shared.funds {
            funds.admit(ask.user).await?;
        }
        // After the gate, which waits for the chain's prices: they are what is charged.
        let hold = self.hold(&ask, bound)?;
        let (answer, head) = oneshot::channel();
        let pump = pump::Pump { exchange: self.clone(), ask, request, bound, answer };
        tokio::spawn(pump.run(hold));
        // The pump died: its hold ends as `crashed`.
        let died = Failed { fault: Fault::Internal, has_ended: true };
        head.await.unwrap_or(Err(died))
    }

    /// Remembers that a request was refused, so that there is a receipt of it too.
    pub fn refuse(&self, refused: Refused, request_id: &str, visit: &Visit) {
        record::refused(request_id, &refused, visit);
        let exchanges = &self.shared.signals.exchanges;
        exchanges.refused(refused.endpoint, refused.status, refused.reason);
        refusals::refuse(&self.shared, refused);
    }

    /// What ended of late.
    pub fn recent(&self) -> &Recent {
        &self.shared.recent
    }

    /// The receipt of a refusal that the ledger does not have, and the prices of its time.
    ///
    /// # Errors
    /// It cannot be signed.
    pub async fn refusal(&self, id: &ReceiptId) -> Result<Option<(Receipt, Tariff)>, Fault> {
        let found = self.shared.refusals.find(id, &self.shared).await;
        found.map_err(|error| {
            tracing::error!(%error, "a refusal's receipt");
            Fault::Internal
        })
    }

    /// Whether `user` is one whose work may be taken. Asked before [`Self::enter`].
    ///
    /// # Errors
    /// What the user is told instead.
    pub async fn greet(&self, user: UserId) -> Result<(), Fault> {
        match &self.shared.funds {
            Some(funds) => funds.greet(user).await,
            None => Ok(()),
        }
    }

    /// The served model, if the request is for that.
    async fn model_for(&self, request: &Request, request_id: &str) -> Result<Arc<Model>, Fault> {
        let model = self.shared.catalog.model(&*self.engine).await.map_err(|error| {
            tracing::warn!(request_id, %error, "engine not ready");
            Fault::BadGateway("the model server cannot be reached; try again")
        })?;
        check_model(request, &model, &self.shared.catalog)?;
        Ok(model)
    }

    fn hold(&self, ask: &Ask, bound: TokenBound) -> Result<Hold, Fault> {
        let shared = &self.shared;
        let tariff = shared.prices.now();
        let amount = ceiling(&tariff, bound)?;
        let key = match &ask.client_key {
            // As ledgers have them since clients could name their requests.
            Some(name) => RequestKey::derive(&ask.user, &[b"client:", name.as_slice()].concat()),
            None => RequestKey::minted(&ask.id),
        };
        Ok(Hold {
            key,
            fingerprint: Fingerprint(ask.request_hash),
            receipt: ask.id,
            user: ask.user,
            amount,
            tariff,
            expires: shared.clock.now().plus_millis(HOLD_EXPIRY_MILLIS),
        })
    }
}

fn ceiling(tariff: &Tariff, bound: TokenBound) -> Result<Neuron, Fault> {
    tariff.ceiling(bound).ok_or_else(|| Fault::BadParameter {
        param: "max_tokens",
        message: "what 'n' answers of 'max_tokens' can cost is beyond any account".into(),
    })
}

/// The engine's own name for the model, and the one that is advertised, are both good.
fn check_model(request: &Request, model: &Model, catalog: &Catalog) -> Result<(), Fault> {
    match &request.model {
        Some(asked) if *asked != model.name && catalog.advertised().as_ref() != Some(asked) => {
            Err(Fault::UnknownModel { asked: asked.clone(), served: model.name.clone() })
        }
        _ => Ok(()),
    }
}
