//! An orderly end: running answers end, or are closed with a receipt that says so.

use crate::support::{
    Conn, Engine, MODEL, SOON, Sidecar, Step, chunk_event, get, post, sha256_hex, sse, wait_until,
};

fn ask() -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":true}}")
}

// O1: what runs is finished, what comes is refused.
#[test]
fn a_running_stream_is_finished_before_the_end() {
    let engine = Engine::start(|_| {
        vec![
            sse(),
            Step::Chunk(chunk_event(1, true).into_bytes()),
            Step::Gate,
            Step::Chunk(b"data: [DONE]\n\n".to_vec()),
            Step::EndChunks,
        ]
    });
    let mut sidecar = Sidecar::start(&engine);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", "/v1/chat/completions", &[], ask().as_bytes());
    let id = conn.head().receipt();
    let mut body = conn.chunk().unwrap().unwrap();
    sidecar.ask_to_stop();
    wait_until("stopping", SOON, || get(sidecar.addr, "/readyz", &[]).status == 503);
    let late = post(sidecar.addr, "/v1/chat/completions", &[], ask());
    assert_eq!((late.status, late.error_type().as_str()), (503, "server_error"));
    assert_eq!(late.header("retry-after"), Some("5"));
    engine.open_gate();
    body.extend(conn.chunk().unwrap().unwrap());
    assert_eq!(conn.chunk().unwrap(), None);
    sidecar.stop();
    let receipt = sidecar.receipt(&id);
    assert_eq!(receipt.outcome.as_str(), "complete");
    assert_eq!(receipt.response_hash.to_string(), sha256_hex(&body));
    sidecar.audit_is_clean();
}
