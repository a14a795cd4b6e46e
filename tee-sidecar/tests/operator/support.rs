//! A sidecar in this process on a chain in memory, engines that say who they are, a small client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::testing::{SimChain, SimOptions};
use broker_core::{Cover, Neuron, SqliteReader, Tariff};
use serde_json::Value;
use tee_sidecar::config::{
    ApiKey, Auth, CacheSalt, GpuProvider, LedgerUrl, Limits, Log, LogFormat, OnDisconnect, Secret,
    Server, Service, Settings, Settlement, TeeProvider, Upstream,
};
use tee_sidecar::startup::Application;
use tokio::sync::oneshot;

/// Where clients are told to go.
pub(crate) const SERVING_URL: &str = "https://provider.example";
/// The engine of this name breaks off every chat.
pub(crate) const DIES: &str = "dies";
/// Who asks in these tests.
pub(crate) const KEY: &str = "sk-0123456789abcdef";

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The text of the network's flat envelope.
    pub(crate) fn error(&self) -> String {
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        body["error"].as_str().unwrap().to_owned()
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let addr = SocketAddr::from(([127, 0, 0, 1], addr.port()));
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Response { status, head: head.to_owned(), body: body.to_owned() }
}

/// An engine that answers each chat with its own name as the text; ends with the process.
pub(crate) fn engine(name: &'static str, model: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream, name, model));
        }
    });
    addr
}

fn serve(mut stream: TcpStream, name: &str, model: &str) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut body).ok()?;
        let answer = if head.starts_with("GET /v1/models ") {
            format!(r#"{{"data":[{{"id":"{model}","max_model_len":4096}}]}}"#)
        } else if name == DIES {
            return None;
        } else if String::from_utf8_lossy(&body).contains("\"stream\":true") {
            // A stream ends with its connection.
            stream.write_all(events(name, model).as_bytes()).ok()?;
            return None;
        } else {
            let message = format!(r#""choices":[{{"index":0,"message":{{"content":"{name}"}}}}]"#);
            let usage = r#""usage":{"prompt_tokens":10,"completion_tokens":5}"#;
            format!(r#"{{"id":"c","model":"{model}",{message},{usage}}}"#)
        };
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{answer}").as_bytes()).ok()?;
    }
}

/// A streamed answer of one event and its total.
fn events(name: &str, model: &str) -> String {
    let event = |rest: String| format!("data: {{\"id\":\"c\",\"model\":\"{model}\",{rest}}}\n\n");
    let delta = format!(r#""choices":[{{"index":0,"delta":{{"content":"{name}"}}}}]"#);
    let usage = r#""choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}"#;
    let events = [event(delta), event(usage.to_owned()), "data: [DONE]\n\n".to_owned()].concat();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}"
    )
}

/// A running sidecar; stopped when dropped.
pub(crate) struct Sidecar {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) chain: SimChain,
    pub(crate) ledger: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Sidecar {
    /// On `chain`, with what is in `folder`, in front of the engine at `upstream`.
    pub(crate) fn start(
        folder: &Path,
        chain: &SimChain,
        upstream: SocketAddr,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let ledger = folder.join("ledger.db");
        let mut settings = settings(upstream, ledger.clone());
        change(&mut settings);
        let (ready, told) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let on = chain.clone();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let chain = Some(Arc::new(on) as _);
                let application = Application::build_on(settings, chain).await.unwrap();
                ready.send((application.public_addr(), application.admin_addr())).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                application.run_until(stopped).await.unwrap();
            });
        });
        let (public, admin) = told.recv_timeout(Duration::from_secs(60)).unwrap();
        let (stop, thread, chain) = (Some(stop), Some(thread), chain.clone());
        Self { public, admin, chain, ledger, stop, thread }
    }

    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> Response {
        let json = [("content-type", "application/json")];
        ask(self.admin, method, path, if body.is_empty() { &[] } else { &json }, body)
    }

    /// What a chat is answered, once the gate is open.
    pub(crate) fn chat(&self, model: &str) -> Response {
        let body =
            format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}]}}"#);
        let bearer = format!("Bearer {KEY}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        ask(self.public, "POST", "/v1/chat/completions", &headers, &body)
    }

    pub(crate) fn reader(&self) -> SqliteReader {
        SqliteReader::open(&self.ledger).unwrap()
    }

    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A chain on which nothing has happened.
pub(crate) fn chain() -> SimChain {
    SimChain::new(SimOptions::default())
}

/// The seed document's body, with this engine's address.
pub(crate) fn seed_body(engine: SocketAddr) -> String {
    format!(
        r#"{{
         "URL": "http://{engine}",
         "inputPrice": 100000,
         "outputPrice": 200000,
         "Type": "chatbot",
         "Name": "llama8Bb",
         "Model": "llama-3.1-8B-Instruct"
   }}"#
    )
}

/// Waits for what has to come, and fails where it does not.
pub(crate) fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn settings(upstream: SocketAddr, ledger: PathBuf) -> Settings {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let key =
        ApiKey { account: "alice".into(), key: Secret::new(KEY.into()), cover: Cover::Unlimited };
    Settings {
        network: None,
        settlement: Settlement::default(),
        server: Server {
            listen: any,
            admin_listen: any,
            allow_plain_http: false,
            tls: None,
            drain_secs: 25,
            allow_origins: Vec::new(),
        },
        upstream: Upstream {
            url: format!("http://{upstream}"),
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
            serving_url: Some(format!("{SERVING_URL}/")),
            kind: "chatbot".into(),
            model: None,
            verifiability: "TeeML".into(),
            tariff: Tariff::per_token(Neuron::new(1), Neuron::new(2)),
            routes: vec![tee_sidecar::route::Route::Chat],
        },
        auth: Auth::ApiKeys(vec![key]),
        admin_token: None,
        limits: Limits {
            request_bytes_max: 1024 * 1024,
            route_bytes_max: Vec::new(),
            concurrent_max: 16,
            concurrent_per_account_max: 16,
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
