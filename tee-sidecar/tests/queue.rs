//! Exchanges on an engine of the test's own: what is held, asked and charged where no answer comes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::keyset::ReceiptKey;
use broker_core::{
    Clock, Command, Cover, Digest32, Ledger, LedgerHandle, LocalSigner, MemoryLedger, Neuron,
    Outcome, ReceiptId, SystemClock, Tariff, Timestamp, UserId, WriterLimits, spawn_writer,
    spawn_writer_with,
};
use bytes::Bytes;
use tee_sidecar::config::{CacheSalt, Limits, OnDisconnect};
use tee_sidecar::exchange::admission::Admission;
use tee_sidecar::exchange::prices::Prices;
use tee_sidecar::exchange::refusals::Refusals;
use tee_sidecar::exchange::salt::CacheSalts;
use tee_sidecar::exchange::stop::StopSwitch;
use tee_sidecar::exchange::{Ask, Exchange, Fingerprints, Shared};
use tee_sidecar::fault::{Envelope, Fault};
use tee_sidecar::identity::Identities;
use tee_sidecar::route::Route;
use tee_sidecar::signals::Signals;
use tee_sidecar::upstream::{Catalog, Engines, Post, Reply, Tag, Upstream, UpstreamFuture};

/// Counts what it is asked, and never answers. It takes the request, or is not even reached.
#[derive(Default)]
struct Engine {
    asked: AtomicUsize,
    takes: bool,
}

impl Upstream for Engine {
    fn post(&self, post: Post<'_>, _: Tag<'_>, _: bool) -> UpstreamFuture<'_, Reply> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        post.begun.store(self.takes, Ordering::Relaxed);
        Box::pin(std::future::pending())
    }

    fn models(&self, _: &str) -> UpstreamFuture<'_, Bytes> {
        Box::pin(async { Ok(Bytes::from_static(b"{\"data\":[{\"id\":\"tiny\"}]}")) })
    }
}

/// An exchange on this ledger and engine, at a neuron a token.
fn exchange(ledger: LedgerHandle, engine: Arc<Engine>) -> Exchange {
    let limits = Limits {
        request_bytes_max: 1024,
        route_bytes_max: Vec::new(),
        concurrent_max: 8,
        concurrent_per_account_max: 8,
        requests_per_minute: None,
        tokens_per_minute: None,
        upstream_connect_secs: 1,
        upstream_idle_secs: 1,
        client_idle_secs: 1,
    };
    let clock = Arc::new(SystemClock);
    let one = Neuron::new(1);
    let shared = Shared {
        ledger,
        signer: Arc::new(LocalSigner::from_secret(&[7; 32]).unwrap()),
        identities: Arc::new(Identities::new(ReceiptKey::from_secret(&[7; 32]), None, clock.now())),
        log: Digest32([7; 32]),
        refusals: Arc::<Refusals>::default(),
        recent: Arc::default(),
        catalog: Arc::new(Catalog::new(None, Engines::of(&["http://engine".to_owned()]))),
        prices: Arc::new(Prices::new(Tariff {
            input_price: one,
            output_price: one,
            schedule: None,
        })),
        admission: Admission::new(limits),
        on_disconnect: OnDisconnect::Abort,
        salts: CacheSalts::new(CacheSalt::Auto, true).unwrap(),
        client_idle: Duration::from_secs(1),
        clock,
        stop: StopSwitch::default().watch(),
        fingerprint: Fingerprints::default(),
        funds: None,
        live: Arc::default(),
        signals: Signals::new(SystemClock.now()),
    };
    Exchange { shared: Arc::new(shared), engine }
}

fn ask(exchange: &Exchange, user: UserId) -> Ask {
    let body = Bytes::from_static(b"{\"model\":\"tiny\",\"messages\":[]}");
    Ask {
        id: ReceiptId::mint(Timestamp(1)),
        user,
        route: Route::Chat,
        content_type: None,
        request_hash: Digest32::sha256(&body),
        body,
        permit: Arc::new(exchange.enter(user).unwrap()),
        client_key: None,
        request_id: "r".into(),
        envelope: Envelope::default(),
        checkpoint_events: None,
        visit: Arc::default(),
    }
}

#[tokio::test]
async fn a_full_ledger_queue_is_a_503_before_the_engine_is_asked() {
    let full = WriterLimits { queue_commands_max: 0, ..WriterLimits::default() };
    let ledger = MemoryLedger::default();
    let ledger = spawn_writer_with(Box::new(ledger), Arc::new(SystemClock), full);
    let engine = Arc::new(Engine::default());
    let exchange = exchange(ledger.clone(), engine.clone());
    let asked = ask(&exchange, UserId::named("open"));
    let failed = exchange.answer(asked).await.map(drop).unwrap_err();
    assert!(!failed.has_ended);
    let fault = failed.fault;
    assert!(matches!(fault, Fault::Unavailable { .. }), "{fault:?}");
    assert_eq!((fault.status(), fault.retry_after_secs()), (503, Some(1)));
    assert!(fault.to_string().contains("busy"));
    assert_eq!(engine.asked.load(Ordering::Relaxed), 0);
    // The place is given back.
    exchange.shared.admission.idle().await;
    ledger.stop();
}

// Nobody pays for an engine that nobody reaches.
#[tokio::test]
async fn a_client_that_gives_up_pays_its_prompt_only_where_an_engine_was_given_it() {
    for takes in [false, true] {
        let ledger = MemoryLedger::default();
        let reader = ledger.reader().unwrap();
        let ledger = spawn_writer(Box::new(ledger), Arc::new(SystemClock));
        let user = UserId::named("open");
        let cover = Cover::UpTo(Neuron::new(1 << 40));
        ledger.apply(Command::Mirror { user, cover }).await.unwrap().unwrap();
        let engine = Arc::new(Engine { takes, ..Engine::default() });
        let exchange = exchange(ledger.clone(), engine.clone());
        let asked = ask(&exchange, user);
        let id = asked.id;
        let answer = tokio::time::timeout(Duration::from_millis(200), exchange.answer(asked));
        assert!(answer.await.is_err(), "it answered");
        exchange.shared.admission.idle().await;
        let receipt = reader.receipt(&id).unwrap().unwrap();
        assert_eq!((receipt.outcome, receipt.fee.get() > 0), (Outcome::ClientGone, takes));
        let proof = receipt.proof.unwrap();
        assert_eq!(proof.claims.forwarded_hash.is_some(), takes);
        assert_eq!(engine.asked.load(Ordering::Relaxed), 1);
        ledger.stop();
    }
}
