//! A node between the sidecar and anvil that tests can make fail: at any call, before or after it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It reaches anvil, and its answer comes back.
    Through,
    /// It never reaches anvil, and no answer comes back.
    Lost,
    /// It reaches anvil, and no answer comes back.
    Unanswered,
    /// It reaches anvil, and an error comes back instead of the answer.
    Denied,
}

/// Decides by the call's number, counted from 0, and its methods.
type Judge = Box<dyn FnMut(usize, &[String]) -> Fate + Send>;

/// The proxy. Its threads end with the test's process.
pub(crate) struct Proxy {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    calls: usize,
    judge: Judge,
    log: Vec<String>,
}

impl Proxy {
    /// In front of the node at `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let judge: Judge = Box::new(|_, _| Fate::Through);
        let state = Arc::new(Mutex::new(State { calls: 0, judge, log: Vec::new() }));
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that leaves ends its thread, and nothing else.
                    let _ = serve(client, upstream, &shared);
                });
            }
        });
        Self { url, state }
    }

    /// From now on calls are counted from 0, and `judge` decides.
    pub(crate) fn judge(&self, judge: impl FnMut(usize, &[String]) -> Fate + Send + 'static) {
        let mut state = self.state.lock().unwrap();
        (state.calls, state.judge) = (0, Box::new(judge));
        state.log.clear();
    }

    /// Every call goes through from now on.
    pub(crate) fn heal(&self) {
        self.judge(|_, _| Fate::Through);
    }

    /// How many calls were made since the judge came, and what they asked for.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }
}

fn serve(client: TcpStream, upstream: SocketAddr, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    while let Some(body) = read_message(&mut reader)? {
        let methods = methods(&body);
        let fate = {
            let mut state = state.lock().unwrap();
            let number = state.calls;
            state.calls += 1;
            state.log.push(methods.join("+"));
            (state.judge)(number, &methods)
        };
        if fate == Fate::Lost {
            return Ok(());
        }
        let answer = forward(upstream, &body)?;
        match fate {
            Fate::Unanswered => return Ok(()),
            Fate::Denied => respond(&mut client, &denial(&body))?,
            _ => respond(&mut client, &answer)?,
        }
    }
    Ok(())
}

fn methods(body: &[u8]) -> Vec<String> {
    let name = |call: &Value| call["method"].as_str().unwrap_or_default().to_owned();
    match serde_json::from_slice(body).unwrap_or_default() {
        Value::Array(calls) => calls.iter().map(name).collect(),
        call => vec![name(&call)],
    }
}

fn denial(body: &[u8]) -> Vec<u8> {
    let error = |call: &Value| {
        let error = serde_json::json!({"code": -32603, "message": "the test says no"});
        serde_json::json!({"jsonrpc": "2.0", "id": call["id"], "error": error})
    };
    let answer = match serde_json::from_slice(body).unwrap_or_default() {
        Value::Array(calls) => calls.iter().map(error).collect(),
        call => error(&call),
    };
    answer.to_string().into_bytes()
}

fn forward(upstream: SocketAddr, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut node = TcpStream::connect(upstream)?;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: {upstream}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    node.write_all(head.as_bytes())?;
    node.write_all(body)?;
    Ok(read_message(&mut BufReader::new(node))?.unwrap_or_default())
}

fn respond(client: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body)
}

/// The body of a request or an answer that gives its length; `None` at the end of the connection.
fn read_message(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut line = String::new();
    let mut is_first = true;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() && !is_first {
            break;
        }
        is_first = false;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}
