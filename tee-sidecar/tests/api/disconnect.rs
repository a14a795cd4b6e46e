//! A client that leaves pays for what it was handed, and the engine stops.

use std::time::Duration;

use tee_sidecar::config::OnDisconnect;

use crate::support::{
    Conn, Engine, MODEL, Sidecar, Step, chunk_event, end_event, sha256_hex, sse, whole,
};

const EVENTS: u64 = 200;

fn ask(stream: bool) -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":{stream},\"max_tokens\":{EVENTS}}}")
}

/// Sends event k, then waits until the test has seen it.
fn gated() -> Engine {
    Engine::start(|_| {
        let mut steps = vec![sse()];
        for k in 1..=EVENTS {
            steps.push(Step::Chunk(chunk_event(k, true).into_bytes()));
            steps.push(Step::Gate);
        }
        steps
    })
}

// M1, S4: for every k of a stream of 200 events. The engine sends an event only after the client
// has read the one before, so k is exact.
#[test]
fn a_client_that_leaves_after_k_events_pays_for_k() {
    let engine = gated();
    let sidecar = Sidecar::start(&engine);
    let request = ask(true);
    for k in 1..=EVENTS {
        let mut conn = Conn::open(sidecar.addr);
        conn.send("POST", "/v1/chat/completions", &[], request.as_bytes());
        let id = conn.head().receipt();
        let mut body = Vec::new();
        for n in 1..=k {
            body.extend(conn.chunk().unwrap().unwrap());
            if n < k {
                engine.open_gate();
            }
        }
        let want: String = (1..=k).map(|n| chunk_event(n, false)).collect();
        assert_eq!(body, want.as_bytes());
        drop(conn);
        engine.aborted.recv_timeout(Duration::from_secs(10)).expect("the engine was not stopped");
        let receipt = sidecar.receipt(&id);
        assert_eq!(receipt.outcome.as_str(), "client_gone");
        assert_eq!((receipt.usage.input, receipt.usage.output), (13, k));
        assert_eq!(receipt.fee.get(), u128::from(13 * 100 + k * 200));
        assert_eq!((receipt.events, receipt.bytes), (k, body.len() as u64));
        let signed = sidecar.signature(&id, request.as_bytes(), &body);
        assert_eq!(signed["outcome"], "client_gone");
    }
    sidecar.audit_is_clean();
}

#[test]
fn a_client_that_leaves_before_anything_pays_its_prompt_and_stops_the_engine() {
    for stream in [false, true] {
        let engine = Engine::start(|_| vec![Step::Gate]);
        let sidecar = Sidecar::start(&engine);
        let request = ask(stream);
        let mut conn = Conn::open(sidecar.addr);
        conn.send("POST", "/v1/chat/completions", &[], request.as_bytes());
        let id = engine.wait_for_request().header("x-request-id").unwrap().to_owned();
        drop(conn);
        engine.aborted.recv_timeout(Duration::from_secs(10)).expect("the engine was not stopped");
        let receipt = sidecar.receipt(&id);
        assert_eq!(receipt.outcome.as_str(), "client_gone");
        assert_eq!((receipt.usage.output, receipt.bytes), (0, 0));
        assert!(receipt.usage.input > 0);
        assert_eq!(receipt.response_hash.to_string(), sha256_hex(b""));
        sidecar.audit_is_clean();
    }
}

#[test]
fn a_host_that_drains_charges_the_final_count_and_the_ledger_says_so() {
    let engine = Engine::start(|_| {
        let mut steps = vec![sse(), Step::Chunk(chunk_event(1, true).into_bytes()), Step::Gate];
        steps.extend((2..=9).map(|k| Step::Chunk(chunk_event(k, true).into_bytes())));
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    });
    let sidecar = Sidecar::with(&engine, |s| s.upstream.on_disconnect = OnDisconnect::Drain);
    let request = ask(true);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", "/v1/chat/completions", &[], request.as_bytes());
    let id = conn.head().receipt();
    assert_eq!(conn.chunk().unwrap().unwrap(), chunk_event(1, false).into_bytes());
    drop(conn);
    engine.open_gate();
    let receipt = sidecar.receipt(&id);
    assert_eq!((receipt.outcome.as_str(), receipt.drained), ("client_gone", true));
    // More events may have been on their way before the client's end was seen.
    assert!((1..=9).contains(&receipt.events), "{}", receipt.events);
    assert_eq!(receipt.usage.output, 9);
    let handed: String = (1..=receipt.events).map(|k| chunk_event(k, false)).collect();
    sidecar.signature(&id, request.as_bytes(), handed.as_bytes());
    sidecar.audit_is_clean();
}

#[test]
fn a_host_that_drains_charges_a_buffered_answer_that_nobody_took() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":30}}";
    let engine = Engine::start(move |_| vec![Step::Gate, Step::Raw(whole(200, answer.as_bytes()))]);
    let sidecar = Sidecar::with(&engine, |s| s.upstream.on_disconnect = OnDisconnect::Drain);
    let request = ask(false);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", "/v1/chat/completions", &[], request.as_bytes());
    let id = engine.wait_for_request().header("x-request-id").unwrap().to_owned();
    drop(conn);
    engine.open_gate();
    let receipt = sidecar.receipt(&id);
    assert_eq!((receipt.outcome.as_str(), receipt.drained), ("client_gone", true));
    assert_eq!((receipt.usage.input, receipt.usage.output, receipt.bytes), (13, 30, 0));
    assert_eq!(receipt.fee.get(), 13 * 100 + 30 * 200);
    sidecar.signature(&id, request.as_bytes(), b"");
    sidecar.audit_is_clean();
}

// The event that ends an answer waits for the engine's fingerprint. Until it is handed on, its
// token is not charged.
#[test]
fn an_event_that_is_held_back_is_not_charged() {
    const K: u64 = 3;
    let engine = Engine::start(|_| {
        let mut steps = vec![sse()];
        steps.extend((1..K).map(|k| Step::Chunk(chunk_event(k, true).into_bytes())));
        let last = chunk_event(K, true) + &end_event(K + 1, true);
        steps.extend([Step::Chunk(last.into_bytes()), Step::Gate]);
        steps
    });
    let sidecar = Sidecar::start(&engine);
    let request = ask(true);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", "/v1/chat/completions", &[], request.as_bytes());
    let id = conn.head().receipt();
    let want: String = (1..=K).map(|k| chunk_event(k, false)).collect();
    let mut body = Vec::new();
    while body.len() < want.len() {
        body.extend(conn.chunk().unwrap().unwrap());
    }
    assert_eq!(String::from_utf8(body).unwrap(), want);
    drop(conn);
    engine.aborted.recv_timeout(Duration::from_secs(10)).expect("the engine was not stopped");
    let receipt = sidecar.receipt(&id);
    assert_eq!(receipt.outcome.as_str(), "client_gone");
    assert_eq!((receipt.events, receipt.usage.output), (K, K));
    assert_eq!(receipt.fee.get(), u128::from(13 * 100 + K * 200));
    sidecar.signature(&id, request.as_bytes(), want.as_bytes());
}

#[test]
fn a_client_that_takes_nothing_for_too_long_has_left() {
    let engine = Engine::start(|_| {
        let mut steps = vec![sse()];
        steps.extend((1..=60_000).map(|k| Step::Chunk(chunk_event(k, true).into_bytes())));
        steps
    });
    let sidecar = Sidecar::with(&engine, |s| s.limits.client_idle_secs = 1);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", "/v1/chat/completions", &[], ask(true).as_bytes());
    let id = conn.head().receipt();
    engine.aborted.recv_timeout(Duration::from_secs(20)).expect("the engine was not stopped");
    let receipt = sidecar.receipt(&id);
    assert_eq!(receipt.outcome.as_str(), "client_gone");
    // Still connected, the client finds a beginning of the signed bytes and no end.
    let mut body = Vec::new();
    while let Ok(Some(piece)) = conn.chunk() {
        body.extend(piece);
    }
    let all: String = (1..=receipt.events).map(|k| chunk_event(k, false)).collect();
    assert_eq!(sha256_hex(all.as_bytes()), receipt.response_hash.to_string());
    assert!(all.as_bytes().starts_with(&body));
}
