//! The sidecar itself, built as `serve` builds it, on free ports.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::{Chain, Cover, LedgerReader, Neuron, Receipt, Signature, SqliteReader, Tariff};
use serde_json::Value;
use tee_sidecar::config::{
    ApiKey, Auth, CacheSalt, GpuProvider, LedgerUrl, Limits, Log, LogFormat, OnDisconnect, Secret,
    Server, Service, Settings, TeeProvider, Upstream,
};
use tee_sidecar::route::Route;
use tee_sidecar::startup::Application;

use super::{Engine, get, sha256_hex};

/// What the scripted engine serves.
pub(crate) const MODEL: &str = "tiny";

/// A running sidecar; stopped in an orderly way when dropped.
pub(crate) struct Sidecar {
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) ledger: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: Option<tempfile::TempDir>,
}

impl Sidecar {
    pub(crate) fn start(engine: &Engine) -> Self {
        Self::with(engine, |_| {})
    }

    pub(crate) fn with(engine: &Engine, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(engine.addr, folder.path().join("ledger.db"));
        change(&mut settings);
        let mut sidecar = Self::run(settings);
        sidecar._folder = Some(folder);
        sidecar
    }

    pub(crate) fn run(settings: Settings) -> Self {
        Self::run_on(settings, None)
    }

    /// On a chain of the test's own.
    pub(crate) fn run_on(settings: Settings, chain: Option<Arc<dyn Chain>>) -> Self {
        let ledger = match &settings.ledger {
            LedgerUrl::Sqlite(path) => path.clone(),
            LedgerUrl::Postgres(_) => PathBuf::new(),
        };
        let (ready, told) = std::sync::mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let application = Application::build_on(settings, chain).await.unwrap();
                ready.send((application.public_addr(), application.admin_addr())).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                application.run_until(stopped).await.unwrap();
            });
        });
        let (addr, admin) = told.recv_timeout(Duration::from_secs(60)).unwrap();
        Self { addr, admin, ledger, stop: Some(stop), thread: Some(thread), _folder: None }
    }

    /// Asks it to stop; does not wait.
    pub(crate) fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops it and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn reader(&self) -> SqliteReader {
        SqliteReader::open(&self.ledger).unwrap()
    }

    /// The receipt of an exchange, once it has ended.
    pub(crate) fn receipt(&self, id: &str) -> Receipt {
        let id = broker_core::ReceiptId::parse(id).unwrap();
        let reader = self.reader();
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(receipt) = reader.receipt(&id).unwrap() {
                return receipt;
            }
            assert!(Instant::now() < until, "the exchange never ended");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn audit_is_clean(&self) {
        let report = self.reader().audit().unwrap();
        assert_eq!(report.fault, None);
    }

    /// The signature answer, checked against the bytes of both sides.
    pub(crate) fn signature(&self, id: &str, request: &[u8], response: &[u8]) -> Value {
        let answer = get(self.addr, &format!("/v1/signature/{id}"), &[]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body = answer.json();
        let text = format!("{}:{}", sha256_hex(request), sha256_hex(response));
        assert_eq!(body["text"], text);
        assert_eq!(recover(&body), body["signing_address"].as_str().unwrap());
        assert_eq!(body["signing_algo"], "ecdsa");
        assert_eq!(body["simulated"], true);
        body
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.ask_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The address that a signature answer recovers to.
pub(crate) fn recover(body: &Value) -> String {
    let hex = body["signature"].as_str().unwrap().strip_prefix("0x").unwrap();
    let mut bytes = [0; 65];
    hex::decode_to_slice(hex, &mut bytes).unwrap();
    let text = body["text"].as_str().unwrap();
    broker_core::recover_text_signer(text, &Signature(bytes)).unwrap().to_string()
}

pub(crate) fn api_key(account: &str, key: &str, credit: Option<u128>) -> ApiKey {
    ApiKey {
        account: account.into(),
        key: Secret::new(key.into()),
        cover: credit.map_or(Cover::Unlimited, |neuron| Cover::UpTo(Neuron::new(neuron))),
    }
}

pub(crate) fn settings(engine: SocketAddr, ledger: PathBuf) -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        network: None,
        settlement: tee_sidecar::config::Settlement::default(),
        server: Server {
            listen: any,
            admin_listen: any,
            allow_plain_http: false,
            tls: None,
            drain_secs: 25,
            allow_origins: Vec::new(),
        },
        upstream: Upstream {
            url: format!("http://{engine}"),
            urls: Vec::new(),
            model: None,
            on_disconnect: OnDisconnect::Abort,
            cache_salt: CacheSalt::Auto,
        },
        tee: TeeProvider::Simulated,
        gpu: GpuProvider::None,
        ledger: LedgerUrl::Sqlite(ledger),
        state_dir: None,
        retention: tee_sidecar::config::Retention::default(),
        service: Service {
            serving_url: None,
            kind: "chatbot".into(),
            model: None,
            verifiability: "TeeML".into(),
            tariff: Tariff::per_token(Neuron::new(100), Neuron::new(200)),
            routes: Route::BY_DEFAULT.to_vec(),
        },
        auth: Auth::Open,
        admin_token: None,
        limits: Limits {
            request_bytes_max: 1024 * 1024,
            route_bytes_max: Vec::new(),
            concurrent_max: 512,
            concurrent_per_account_max: 512,
            requests_per_minute: None,
            tokens_per_minute: None,
            upstream_connect_secs: 2,
            upstream_idle_secs: 20,
            client_idle_secs: 20,
        },
        log: Log { format: LogFormat::Text, filter: "info".into() },
        tracing: tee_sidecar::config::Tracing::default(),
    }
}
