//! A flood of requests for evidence beside running answers: little evidence is made, every answer
//! ends as if nobody had asked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Conn, Engine, MODEL, Sidecar, Step, chunk_event, get, nonce, report_of, sse, with_gpu,
};

/// What the report service admits, as its documentation has it: so many with a nonce at once, and
/// so many for each second after that.
const BURST: u64 = 64;
const PER_SEC: u64 = 8;
/// A report without a nonce is made anew after so many seconds.
const REFRESH_SECS: u64 = 150;

const STREAMS: usize = 32;
const REPORTS: u64 = 1000;

/// Events before and after the moment at which the flood is over.
const BEFORE: u64 = 40;
const AFTER: u64 = 5;

/// An engine that writes through the flood, and whose answers do not end before it.
fn engine() -> Engine {
    Engine::start(|_| {
        let mut steps = vec![sse()];
        for n in 1..=BEFORE {
            steps.push(Step::Chunk(chunk_event(n, true).into_bytes()));
            steps.push(Step::Pause(Duration::from_millis(5)));
        }
        steps.push(Step::Gate);
        let rest = BEFORE + 1..=BEFORE + AFTER;
        steps.extend(rest.map(|n| Step::Chunk(chunk_event(n, true).into_bytes())));
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    })
}

/// One of the thousand questions, and what its answer has to be.
enum Asked {
    Fresh(String),
    Shared { form: usize },
}

impl Asked {
    /// Every other one has a nonce of its own; the rest are of both forms that can be shared.
    fn nth(n: u64) -> (Self, String) {
        let base = ["", "/v1", "/v1/proxy"][n as usize % 3];
        let path = format!("{base}/attestation/report");
        let binding = ["", "binding=v2"][n as usize / 2 % 2];
        if n.is_multiple_of(2) {
            let nonce = nonce(n);
            let path = format!("{path}?nonce={nonce}&{binding}");
            (Self::Fresh(nonce), path)
        } else {
            (Self::Shared { form: n as usize / 2 % 2 }, format!("{path}?{binding}"))
        }
    }
}

#[test]
fn a_thousand_questions_for_evidence_make_few_quotes_and_touch_no_running_answer() {
    room_for_connections();
    let engine = engine();
    let sidecar = Sidecar::with(&engine, |settings| {
        with_gpu(settings);
        // The engine is silent until the flood is over, however slow this machine is.
        settings.limits.upstream_idle_secs = 300;
    });
    let mut streams: Vec<_> = (0..STREAMS).map(|n| Stream::begin(&sidecar, n)).collect();

    let mut connections: Vec<_> = (0..REPORTS).map(|_| Conn::open(sidecar.addr)).collect();
    let began = Instant::now();
    let asked: Vec<_> = (0..REPORTS).map(Asked::nth).collect();
    for (connection, (_, path)) in connections.iter_mut().zip(&asked) {
        connection.send("GET", path, &[], b"");
    }
    let mut seen = Seen::default();
    for (connection, (asked, _)) in connections.iter_mut().zip(&asked) {
        seen.answer(asked, connection);
    }
    let secs = began.elapsed().as_secs() + 1;
    let most = BURST + PER_SEC * secs;
    assert!((BURST..=most).contains(&seen.fresh), "{} in {secs} s", seen.fresh);
    assert_eq!(seen.fresh + seen.refused, REPORTS / 2);
    for made in seen.shared.map(|nonces| nonces.len() as u64) {
        assert!((1..=1 + secs / REFRESH_SECS).contains(&made), "{made} in {secs} s");
    }

    assert!(streams.iter().all(|stream| !stream.over));
    for _ in &streams {
        engine.open_gate();
    }
    for stream in &mut streams {
        stream.finish(&sidecar);
    }
    sidecar.audit_is_clean();
    // The door is not shut for good: who comes back when told to gets fresh evidence.
    std::thread::sleep(Duration::from_secs(1));
    let late = nonce(REPORTS);
    let path = format!("/v1/attestation/report?nonce={late}");
    assert_eq!(report_of(&get(sidecar.addr, &path, &[]))["request_nonce"], late.as_str());
}

/// What the flood got.
#[derive(Default)]
struct Seen {
    fresh: u64,
    refused: u64,
    /// The nonces of the reports that are made for everybody, by form.
    shared: [BTreeSet<String>; 2],
}

impl Seen {
    fn answer(&mut self, asked: &Asked, connection: &mut Conn) {
        let response = connection.response();
        match asked {
            Asked::Fresh(_) if response.status == 429 => {
                assert_eq!(response.error_type(), "rate_limited");
                assert_eq!(response.header("retry-after"), Some("1"));
                self.refused += 1;
            }
            Asked::Fresh(nonce) => {
                assert_eq!(report_of(&response)["request_nonce"], nonce.as_str());
                self.fresh += 1;
            }
            Asked::Shared { form } => {
                let Value::String(nonce) = report_of(&response)["request_nonce"].take() else {
                    panic!("no nonce")
                };
                self.shared[*form].insert(nonce);
            }
        }
    }
}

/// A running answer.
struct Stream {
    connection: Conn,
    request: String,
    id: String,
    body: Vec<u8>,
    over: bool,
}

impl Stream {
    /// Asks, and waits for the first event.
    fn begin(sidecar: &Sidecar, n: usize) -> Self {
        let request =
            format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":true,\"user\":\"{n}\"}}");
        let mut connection = Conn::open(sidecar.addr);
        connection.send("POST", "/v1/chat/completions", &[], request.as_bytes());
        let head = connection.head();
        assert_eq!(head.status, 200);
        let mut stream =
            Self { connection, request, id: head.receipt(), body: Vec::new(), over: false };
        stream.read();
        stream
    }

    fn read(&mut self) {
        match self.connection.chunk().unwrap() {
            Some(bytes) => self.body.extend(bytes),
            None => self.over = true,
        }
    }

    /// The rest of it, its bytes and its signature.
    fn finish(&mut self, sidecar: &Sidecar) {
        while !self.over {
            self.read();
        }
        let events: String = (1..=BEFORE + AFTER).map(|n| chunk_event(n, false)).collect();
        assert_eq!(String::from_utf8_lossy(&self.body), events + "data: [DONE]\n\n");
        let signed = sidecar.signature(&self.id, self.request.as_bytes(), &self.body);
        assert_eq!(signed["outcome"], "complete");
    }
}

/// Both ends of all connections are in this process: more files than many shells allow at first.
fn room_for_connections() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let allowed = line.split_whitespace().nth(3).unwrap();
    if allowed.parse::<u64>().is_ok_and(|allowed| allowed < FILES) {
        let me = std::process::id().to_string();
        let raised = std::process::Command::new("prlimit")
            .args(["--pid", &me, &format!("--nofile={FILES}:")])
            .status();
        assert!(raised.is_ok_and(|status| status.success()), "this test needs ulimit -n {FILES}");
    }
}

const FILES: u64 = 4096;
