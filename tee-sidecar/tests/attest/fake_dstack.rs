//! A guest agent in a thread: raw HTTP over a Unix socket, so that it can also be cut short.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use broker_core::Address;
use serde_json::{Value, json};
use tee_sidecar::evidence::simulator::SoftwarePlatform;
use tee_sidecar::evidence::{Nonce32, ReportData};

/// What the agent sends for a call and its JSON, as it goes over the wire.
pub(crate) type Answer = Box<dyn Fn(&str, &Value) -> Vec<u8> + Send + Sync>;

/// The key that the good agent gives.
pub(crate) const KEY: [u8; 32] = [0x5f; 32];

/// A socket with an agent behind it.
pub(crate) struct FakeAgent {
    socket: PathBuf,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl FakeAgent {
    /// An agent as it should be.
    pub(crate) fn good(socket: &Path) -> Self {
        Self::start(socket, Box::new(good))
    }

    /// An agent that answers everything with `answer`.
    pub(crate) fn start(socket: &Path, answer: Answer) -> Self {
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = UnixListener::bind(socket).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (calls.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || serve(stream.unwrap(), &seen, &answer));
            }
        });
        Self { socket: socket.to_owned(), calls }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The calls so far and their JSON.
    pub(crate) fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, calls: &Mutex<Vec<(String, Value)>>, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let call = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    assert!(line.starts_with("POST /"), "{line}");
    let mut length = 0;
    let mut is_json = false;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        is_json |= header == "content-type: application/json";
    }
    assert!(is_json);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    calls.lock().unwrap().push((call.clone(), asked.clone()));
    // The client may be gone, or have seen enough.
    let _ = stream.write_all(&answer(&call, &asked));
}

/// What a good agent answers.
pub(crate) fn good(call: &str, asked: &Value) -> Vec<u8> {
    ok(&good_json(call, asked))
}

/// The same as JSON, for tests that change it.
pub(crate) fn good_json(call: &str, asked: &Value) -> Value {
    let platform = SoftwarePlatform::new().unwrap();
    match call {
        "GetQuote" => {
            let report_data = hex::decode(asked["report_data"].as_str().unwrap()).unwrap();
            let report_data = parse(&report_data);
            let quote = platform.quote_now(&report_data).unwrap();
            json!({
                "quote": hex::encode(quote.bytes),
                "event_log": quote.event_log,
                "report_data": report_data.to_string(),
                "vm_config": quote.vm_config,
            })
        }
        "GetKey" => json!({"key": hex::encode(KEY), "signature_chain": ["ab", "cd"]}),
        "Info" => {
            let mut info = platform.info().clone();
            info["tcb_info"] = Value::from(info["tcb_info"].to_string());
            info["not_for_the_world"] = Value::from("unknown field");
            info
        }
        _ => json!({"error": "no such call"}),
    }
}

/// Report data of the one layout that these tests ask for.
pub(crate) fn parse(bytes: &[u8]) -> ReportData {
    let address = Address(bytes[..20].try_into().unwrap());
    let nonce = Nonce32::from_bytes(bytes[32..].try_into().unwrap());
    let report_data = ReportData::ecdsa_and_nonce(address, &nonce);
    assert_eq!(report_data.as_bytes().as_slice(), bytes);
    report_data
}

/// A whole answer of status 200.
pub(crate) fn ok(body: &Value) -> Vec<u8> {
    answer("200 OK", body.to_string())
}

/// A whole answer.
pub(crate) fn answer(status: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
