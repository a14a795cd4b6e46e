//! A ledger that can take no more: clients are told to come back before anything is held or asked.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker_core::keyset::ReceiptKey;
use broker_core::{
    Clock, Digest32, LocalSigner, MemoryLedger, ReceiptId, SystemClock, Tariff, UserId,
    WriterLimits, spawn_writer_with,
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
use tee_sidecar::upstream::{
    Catalog, Engines, Post, Reply, Tag, Upstream, UpstreamError, UpstreamFuture,
};

/// Counts what it is asked.
#[derive(Default)]
struct Engine(AtomicUsize);

impl Upstream for Engine {
    fn post(&self, _: Post<'_>, _: Tag<'_>, _: bool) -> UpstreamFuture<'_, Reply> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Err(UpstreamError::Broken("asked".into())) })
    }

    fn models(&self, _: &str) -> UpstreamFuture<'_, Bytes> {
        Box::pin(async { Ok(Bytes::from_static(b"{\"data\":[{\"id\":\"tiny\"}]}")) })
    }
}

#[tokio::test]
async fn a_full_ledger_queue_is_a_503_before_the_engine_is_asked() {
    let clock = Arc::new(SystemClock);
    let full = WriterLimits { queue_commands_max: 0, ..WriterLimits::default() };
    let ledger = spawn_writer_with(Box::new(MemoryLedger::default()), clock.clone(), full);
    let engine = Arc::new(Engine::default());
    let switch = StopSwitch::default();
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
    let shared = Shared {
        ledger: ledger.clone(),
        signer: Arc::new(LocalSigner::from_secret(&[7; 32]).unwrap()),
        identities: Arc::new(Identities::new(
            ReceiptKey::from_secret(&[7; 32]),
            None,
            SystemClock.now(),
        )),
        log: Digest32([7; 32]),
        refusals: Arc::<Refusals>::default(),
        catalog: Arc::new(Catalog::new(None, Engines::of(&["http://engine".to_owned()]))),
        prices: Arc::new(Prices::new(Tariff::default())),
        admission: Admission::new(limits),
        on_disconnect: OnDisconnect::Abort,
        salts: CacheSalts::new(CacheSalt::Auto, true).unwrap(),
        client_idle: Duration::from_secs(1),
        clock,
        stop: switch.watch(),
        fingerprint: Fingerprints::default(),
        funds: None,
        live: Arc::default(),
        signals: Signals::new(SystemClock.now()),
    };
    let exchange = Exchange { shared: Arc::new(shared), engine: engine.clone() };
    let user = UserId::named("open");
    let ask = Ask {
        id: ReceiptId::mint(),
        user,
        route: Route::Chat,
        content_type: None,
        body: Bytes::from_static(b"{\"model\":\"tiny\",\"messages\":[]}"),
        request_hash: Digest32::sha256(b"{\"model\":\"tiny\",\"messages\":[]}"),
        permit: Arc::new(exchange.enter(user).unwrap()),
        client_key: None,
        request_id: "r".into(),
        envelope: Envelope::default(),
        checkpoint_events: None,
        visit: Arc::default(),
    };
    let failed = exchange.answer(ask).await.map(drop).unwrap_err();
    assert!(!failed.has_ended);
    let fault = failed.fault;
    assert!(matches!(fault, Fault::Unavailable { .. }), "{fault:?}");
    assert_eq!((fault.status(), fault.retry_after_secs()), (503, Some(1)));
    assert!(fault.to_string().contains("busy"));
    assert_eq!(engine.0.load(Ordering::Relaxed), 0);
    // The place is given back.
    exchange.shared.admission.idle().await;
    ledger.stop();
}
