//! A node: HTTP as small as it can be, in front of a made-up chain.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use broker_core::chain::evm::{EvmChain, EvmConfig};
use broker_core::{Address, LocalSigner, Neuron};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

/// What stands in the path and query of the node's address, and nowhere else.
pub(crate) const API_KEY: &str = "0123456789abcdef";

pub(crate) const PATIENCE: Duration = Duration::from_millis(1600);

/// What a node answers.
pub(crate) enum Reply {
    Result(Value),
    Error(i64, String, Value),
    /// These bytes as the whole body, with this status.
    Body(u16, Vec<u8>),
    /// Nothing, for as long as anybody listens.
    Silence,
    /// The connection ends.
    HangUp,
}

type Rule = Box<dyn FnMut(&mut World, &Value) -> Option<Reply> + Send>;

#[derive(Clone)]
pub(crate) struct FakeNode {
    port: u16,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) calls: Vec<(String, Value)>,
    rules: Vec<(&'static str, Rule)>,
}

impl FakeNode {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { world: World::default(), calls: Vec::new(), rules: Vec::new() };
        let node = Self { port, state: Arc::new(Mutex::new(state)) };
        let server = node.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(server.clone(), stream));
            }
        });
        node
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on `method` is answered by `rule`, where it has an answer.
    pub(crate) fn rule(
        &self,
        method: &'static str,
        rule: impl FnMut(&mut World, &Value) -> Option<Reply> + Send + 'static,
    ) {
        self.state().rules.push((method, Box::new(rule)));
    }

    pub(crate) fn config(&self) -> EvmConfig {
        EvmConfig {
            url: format!("http://127.0.0.1:{}/v2/{API_KEY}?key={API_KEY}", self.port),
            chain_id: 31337,
            contract: Address([0xcc; 20]),
            confirmations: 2,
            max_gas_price: None,
            patience: PATIENCE,
        }
    }

    pub(crate) fn chain(&self) -> EvmChain {
        self.chain_with(self.config())
    }

    pub(crate) fn chain_with(&self, config: EvmConfig) -> EvmChain {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        EvmChain::new(client, config, LocalSigner::from_secret(&[0x46; 32]).unwrap())
    }

    /// The prices of the transactions that arrived, in their order.
    pub(crate) fn prices(&self) -> Vec<Neuron> {
        self.state().world.arrived.iter().map(|transaction| transaction.price).collect()
    }

    fn answer(&self, request: &Value) -> Reply {
        let method = request["method"].as_str().unwrap().to_owned();
        let params = &request["params"];
        let mut guard = self.state();
        let state = &mut *guard;
        state.calls.push((method.clone(), params.clone()));
        for (name, rule) in state.rules.iter_mut().rev() {
            if *name == method
                && let Some(reply) = rule(&mut state.world, params)
            {
                return reply;
            }
        }
        state.world.answer(&method, params)
    }
}

async fn serve(node: FakeNode, mut stream: TcpStream) {
    let Some(request) = read(&mut stream).await else { return };
    let id = &request["id"];
    let (status, body) = match node.answer(&request) {
        Reply::Result(result) => {
            (200, json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string().into_bytes())
        }
        Reply::Error(code, message, data) => {
            let error = json!({"code": code, "message": message, "data": data});
            (200, json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string().into_bytes())
        }
        Reply::Body(status, body) => (status, body),
        Reply::Silence => return std::future::pending().await,
        Reply::HangUp => return,
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // A client that has seen enough hangs up.
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
}

async fn read(stream: &mut TcpStream) -> Option<Value> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length? {
                return serde_json::from_str(body).ok();
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
