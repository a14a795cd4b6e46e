//! A sidecar on a simulated chain, and users who sign tokens.
#![allow(dead_code, unused_imports, reason = "shared with the tests of the API")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use broker_core::chain::ServiceParams;
use broker_core::testing::{ONE, SimChain, SimOptions};
use broker_core::{
    Address, Chain, Clock, Digest32, LocalSigner, Neuron, Signer, SystemClock, Tariff, UserId,
    eip191_digest,
};
use tee_sidecar::config::{Auth, LedgerUrl, Settings};
use tee_sidecar::keys::SigningKeys;

#[path = "../api/support/client.rs"]
mod client;
#[path = "../api/support/engine.rs"]
mod engine;
#[path = "../api/support/sidecar.rs"]
mod sidecar;

pub(crate) use client::{Conn, Response, get, post, sha256_hex};
pub(crate) use engine::{Engine, Step, chunk_event, end_event, sse, whole};
pub(crate) use sidecar::{MODEL, Sidecar, recover, settings};

/// What a test waits for at most, where nothing has to take long.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// What a client is told in front of most refusals.
pub(crate) const PREFIX: &str = "Provider proxy: handle proxied service, validate request: ";

pub(crate) const CHAT: &str = "/v1/proxy/chat/completions";

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !reached() {
        assert!(Instant::now() < deadline, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A sidecar whose service is registered and acknowledged, with all that is around it.
pub(crate) struct World {
    pub(crate) chain: SimChain,
    pub(crate) engine: Engine,
    pub(crate) sidecar: Sidecar,
    pub(crate) service: ServiceParams,
    _folder: tempfile::TempDir,
}

impl World {
    /// An engine that answers at once; one and two neuron for a token; no reserve is asked for.
    pub(crate) fn start() -> Self {
        Self::with(SimChain::new(SimOptions::default()), |_| {})
    }

    pub(crate) fn with(chain: SimChain, change: impl FnOnce(&mut Settings)) -> Self {
        let answer = "{\"id\":\"engine-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\
                      \"completion_tokens\":10}}";
        let engine = Engine::start(|_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
        Self::before(engine, chain, change)
    }

    /// Before another engine.
    pub(crate) fn before(
        engine: Engine,
        chain: SimChain,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let served = Arc::new(chain.clone());
        Self::behind(engine, chain, served, change)
    }

    /// On a chain that the sidecar sees through `served`.
    pub(crate) fn behind(
        engine: Engine,
        chain: SimChain,
        served: Arc<dyn Chain>,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let world = Self::build(engine, chain, served, true, change);
        world.wait_for_the_gate();
        world
    }

    /// Whose signer nobody has acknowledged yet.
    pub(crate) fn unacknowledged(engine: Engine, chain: SimChain) -> Self {
        let served = Arc::new(chain.clone());
        Self::build(engine, chain, served, false, |_| {})
    }

    fn build(
        engine: Engine,
        chain: SimChain,
        served: Arc<dyn Chain>,
        acknowledged: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = sidecar::settings(engine.addr, folder.path().join("ledger.db"));
        settings.auth = Auth::SessionTokens;
        settings.settlement.min_reserve = Neuron::ZERO;
        settings.service.tariff = Tariff::per_token(Neuron::new(1), Neuron::new(2));
        change(&mut settings);
        let keys = SigningKeys::simulated(&folder.path().join("simulated-tee.secret")).unwrap();
        // What the chain says of prices is what counts.
        let Tariff { input_price, output_price, .. } = settings.service.tariff;
        let service = ServiceParams {
            kind: "chatbot".into(),
            url: "http://127.0.0.1".into(),
            model: MODEL.into(),
            verifiability: "TeeML".into(),
            input_price,
            output_price,
            additional_info: "{}".into(),
            tee_signer: keys.ecdsa().unwrap().address(),
        };
        block_on(chain.register(service.clone())).unwrap();
        chain.owner_acknowledges(acknowledged).unwrap();
        let sidecar = Sidecar::run_on(settings, Some(served));
        Self { chain, engine, sidecar, service, _folder: folder }
    }

    /// Until the sidecar knows that fees can be collected it takes no work.
    fn wait_for_the_gate(&self) {
        // Who has asked everything back has too little for anything.
        let nobody = self.user(99, ONE);
        self.chain.request_refund(nobody.id).unwrap();
        let bearer = nobody.bearer();
        wait_until("the gate is open", SOON, || self.chat(CHAT, &bearer).status != 503);
        assert!(self.engine.seen().is_empty());
    }

    /// A user with so much in escrow; zero is no account.
    pub(crate) fn user(&self, number: u8, neuron: u128) -> User {
        let user = User::new(number, self.chain.options().provider);
        if neuron > 0 {
            self.chain.deposit(user.id, Neuron::new(neuron)).unwrap();
        }
        user
    }

    pub(crate) fn chat(&self, path: &str, authorization: &str) -> Response {
        post(self.sidecar.addr, path, &[("authorization", authorization)], ask())
    }

    pub(crate) fn get(&self, path: &str, user: &User) -> Response {
        get(self.sidecar.addr, path, &[("authorization", &user.bearer())])
    }
}

/// The request that tests send.
pub(crate) fn ask() -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"max_tokens\":10}}")
}

/// What it can cost at most, in prompt tokens and in generated ones.
pub(crate) fn bounds() -> (u128, u128) {
    (ask().len() as u128 + 1024, 10)
}

/// The text of a refusal in 0G's shape.
pub(crate) fn flat(response: &Response) -> String {
    let body = response.json();
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["error"].as_str().unwrap().to_owned()
}

/// Who signs tokens.
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) address: Address,
    signer: LocalSigner,
    provider: Address,
}

impl User {
    pub(crate) fn new(number: u8, provider: Address) -> Self {
        let signer = LocalSigner::from_secret(&[number; 32]).unwrap();
        let address = signer.address();
        Self { id: UserId::new(address.0), address, signer, provider }
    }

    /// A token for a day.
    pub(crate) fn bearer(&self) -> String {
        self.token(|_| {})
    }

    /// A token after a change of its members.
    pub(crate) fn token(&self, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let now = SystemClock.now().0;
        let mut message = serde_json::json!({
            "address": self.address, "provider": self.provider, "timestamp": now,
            "expiresAt": now + 86_400_000, "nonce": "1-a", "generation": 0, "tokenId": 255,
        });
        change(&mut message);
        self.sign(&message.to_string())
    }

    pub(crate) fn sign(&self, raw: &str) -> String {
        let digest = eip191_digest(Digest32::keccak256(raw.as_bytes()).0);
        let signature = self.signer.sign_digest(&digest).unwrap();
        format!("Bearer app-sk-{}", BASE64_STANDARD.encode(format!("{raw}|{signature}")))
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
