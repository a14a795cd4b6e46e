//! An engine that fails: never a signed success, and the client can tell.

use std::time::Duration;

use crate::support::{
    Engine, MODEL, Response, Seen, Sidecar, Step, chunk_event, get, post, sse, wait_until, whole,
};

fn ask(stream: bool) -> String {
    format!("{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":{stream}}}")
}

/// Asks once and returns the answer with its receipt's outcome, usage (input, output) and fee.
fn outcome_of(sidecar: &Sidecar, stream: bool) -> (Response, String, (u64, u64), u128) {
    let request = ask(stream);
    let response = post(sidecar.addr, "/v1/chat/completions", &[], &request);
    let id = response.receipt();
    let receipt = sidecar.receipt(&id);
    assert_eq!(receipt.status, response.status);
    let signed = sidecar.signature(&id, request.as_bytes(), &response.body);
    assert_eq!(signed["outcome"], receipt.outcome.as_str());
    let usage = (receipt.usage.input, receipt.usage.output);
    (response, receipt.outcome.as_str().to_owned(), usage, receipt.fee.get())
}

// B8: bytes and status pass as they are; the receipt says what they were.
#[test]
fn what_is_no_answer_passes_as_it_is_and_costs_nothing() {
    for (status, body) in [
        (200, "<html>busy</html>"),
        (200, ""),
        (200, "{\"choices\":[{\"message\":"),
        (200, "{\"error\":{\"message\":\"boom\"}}"),
        (200, "{\"object\":\"error\",\"message\":\"boom\"}"),
        (400, "{\"error\":{\"message\":\"bad\",\"type\":\"BadRequestError\"}}"),
        (500, "{\"error\":{\"message\":\"boom\"}}"),
        (503, "later"),
    ] {
        let engine = Engine::start(move |_| vec![Step::Raw(whole(status, body.as_bytes()))]);
        let sidecar = Sidecar::start(&engine);
        for stream in [false, true] {
            let (response, outcome, usage, fee) = outcome_of(&sidecar, stream);
            assert_eq!((response.status, response.text().as_str()), (status, body));
            assert_eq!((outcome.as_str(), usage, fee), ("upstream_error", (0, 0), 0), "{body}");
        }
        sidecar.audit_is_clean();
    }
}

// B6: an error inside a stream, in the first event or in a later one.
#[test]
fn an_error_inside_a_stream_is_no_signed_success() {
    for before in [0, 4] {
        let engine = Engine::start(move |_| {
            let mut steps = vec![sse()];
            steps.extend((1..=before).map(|k| Step::Chunk(chunk_event(k, true).into())));
            steps.push(Step::Chunk(b"data: {\"error\":{\"message\":\"boom\"}}\n\n".to_vec()));
            steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
            steps.push(Step::EndChunks);
            steps
        });
        let sidecar = Sidecar::start(&engine);
        let (response, outcome, usage, fee) = outcome_of(&sidecar, true);
        assert!(response.text().contains("boom"));
        assert_eq!(outcome, "upstream_error");
        let paid = if before == 0 { (0, 0) } else { (13, before) };
        assert_eq!((usage, fee), (paid, u128::from(paid.0 * 100 + paid.1 * 200)));
    }
}

// B6: a stream that ends well but holds no piece of an answer is none.
#[test]
fn a_stream_without_an_answer_is_no_signed_success() {
    for stream in ["data: [DONE]\n\n", ": ping\n\n: ping\n\ndata: [DONE]\n\n"] {
        let engine =
            Engine::start(move |_| vec![sse(), Step::Chunk(stream.into()), Step::EndChunks]);
        let sidecar = Sidecar::start(&engine);
        let (response, outcome, usage, fee) = outcome_of(&sidecar, true);
        assert_eq!(response.text(), stream);
        assert_eq!((outcome.as_str(), usage, fee), ("upstream_error", (0, 0), 0), "{stream:?}");
        sidecar.audit_is_clean();
    }
}

// B10, B11, M9: cut at every event and inside one; ended without `[DONE]`; an event without end.
#[test]
fn a_stream_that_breaks_off_is_cut_and_never_ended() {
    let mut endings: Vec<(u64, Vec<Step>)> = Vec::new();
    for k in 0..=6 {
        endings.push((k, vec![Step::Close]));
        endings.push((k, vec![Step::EndChunks]));
        endings.push((k, vec![Step::Chunk(b"data: {\"id\":\"x\",\"cho".to_vec()), Step::Close]));
        endings.push((k, vec![Step::Raw(b"zz\r\nnot http".to_vec()), Step::Close]));
    }
    endings.push((2, vec![Step::Chunk(vec![b'x'; 5 * 1024 * 1024]), Step::EndChunks]));
    let shared = std::sync::Arc::new(std::sync::Mutex::new(endings.clone().into_iter()));
    let engine = Engine::start(move |_| {
        let (k, end) = shared.lock().unwrap().next().unwrap();
        let mut steps = vec![sse()];
        steps.extend((1..=k).map(|n| Step::Chunk(chunk_event(n, true).into())));
        steps.extend(end);
        steps
    });
    let sidecar = Sidecar::start(&engine);
    for (k, _) in endings {
        let (response, outcome, usage, fee) = outcome_of(&sidecar, true);
        assert!(!response.complete, "the client cannot tell after {k} events");
        let want: String = (1..=k).map(|n| chunk_event(n, false)).collect();
        assert_eq!(response.text(), want);
        assert_eq!(outcome, "truncated_upstream");
        let paid = if k == 0 { (0, 0) } else { (13, k) };
        assert_eq!((usage, fee), (paid, u128::from(paid.0 * 100 + paid.1 * 200)));
    }
    sidecar.audit_is_clean();
}

#[test]
fn a_buffered_answer_that_breaks_off_is_a_502() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\":[".to_vec();
    let engine = Engine::start(move |_| vec![Step::Raw(cut.clone()), Step::Close]);
    let sidecar = Sidecar::start(&engine);
    let (response, outcome, _, fee) = outcome_of(&sidecar, false);
    assert_eq!((response.status, response.error_type().as_str()), (502, "server_error"));
    assert_eq!((outcome.as_str(), fee), ("truncated_upstream", 0));
}

// R13, B12: down, silent, not HTTP, encoded: each its own answer.
#[test]
fn an_engine_that_gives_no_answer_is_told_apart() {
    let gzip = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b";
    for (steps, status) in [
        (vec![Step::Raw(b"\x15\x03\x01 garbage\r\n\r\n".to_vec()), Step::Close], 502),
        (vec![Step::Close], 502),
        (vec![Step::Raw(gzip.to_vec())], 502),
        (vec![Step::Pause(Duration::from_secs(3)), Step::Close], 504),
    ] {
        let engine = Engine::start(move |_| steps.clone());
        let sidecar = Sidecar::with(&engine, |s| s.limits.upstream_idle_secs = 1);
        let (response, outcome, usage, fee) = outcome_of(&sidecar, false);
        assert_eq!((response.status, response.error_type().as_str()), (status, "server_error"));
        assert_eq!((outcome.as_str(), usage, fee), ("upstream_error", (0, 0), 0));
    }
}

#[test]
fn a_silent_stream_is_cut() {
    let engine = Engine::start(|_| {
        let event = chunk_event(1, true).into_bytes();
        vec![sse(), Step::Chunk(event), Step::Pause(Duration::from_secs(4)), Step::Close]
    });
    let sidecar = Sidecar::with(&engine, |s| s.limits.upstream_idle_secs = 1);
    let (response, outcome, usage, _) = outcome_of(&sidecar, true);
    assert!(!response.complete);
    assert_eq!((outcome.as_str(), usage), ("truncated_upstream", (13, 1)));
}

#[test]
fn an_engine_that_is_down_at_start_is_a_502_and_not_ready() {
    let engine = Engine::start(|_| Vec::new());
    let sidecar = Sidecar::with(&engine, |s| s.upstream.url = "http://127.0.0.1:9".into());
    let response = post(sidecar.addr, "/v1/chat/completions", &[], ask(false));
    assert_eq!((response.status, response.error_type().as_str()), (502, "server_error"));
    response.receipt();
    let ready = get(sidecar.addr, "/readyz", &[]);
    assert_eq!(ready.status, 503);
    assert!(ready.json()["reasons"][0].as_str().unwrap().contains("model server"));
}

// O3: readiness is of now, not of the day the engine first answered.
#[test]
fn readiness_follows_an_engine_that_dies_and_comes_back() {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}";
    let script = move |_: &Seen| vec![Step::Raw(whole(200, answer.as_bytes()))];
    let mut engine = Engine::start(script);
    let sidecar = Sidecar::start(&engine);
    let status = || get(sidecar.addr, "/readyz", &[]).status;
    assert_eq!(post(sidecar.addr, "/v1/chat/completions", &[], ask(false)).status, 200);
    assert_eq!(status(), 200);
    engine.die();
    wait_until("not ready without an engine", Duration::from_secs(30), || status() == 503);
    let engine = Engine::start_at(engine.addr, script);
    wait_until("ready with the new engine", Duration::from_secs(30), || status() == 200);
    assert_eq!(post(sidecar.addr, "/v1/chat/completions", &[], ask(false)).status, 200);
    assert_eq!(engine.requests(), 1);
}

// M5, M6: no usage at all is an estimate and says so; a zero of the engine's is a zero.
#[test]
fn absent_usage_is_estimated_and_zero_usage_is_zero() {
    let zero = "{\"choices\":[{\"message\":{\"content\":\"日本語\"}}],\
                \"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}";
    let none = "{\"choices\":[{\"message\":{\"content\":\"日本語\"}}]}";
    for (body, source, output) in [(zero, "engine", 0), (none, "estimate", 7)] {
        let engine = Engine::start(move |_| vec![Step::Raw(whole(200, body.as_bytes()))]);
        let sidecar = Sidecar::start(&engine);
        let request = ask(false);
        let response = post(sidecar.addr, "/v1/chat/completions", &[], &request);
        let id = response.receipt();
        let signed = sidecar.signature(&id, request.as_bytes(), body.as_bytes());
        assert_eq!(signed["outcome"], "complete");
        assert_eq!(signed["usage"]["source"], source);
        assert_eq!(signed["usage"]["output_tokens"], output);
    }
    let engine = Engine::start(|_| {
        let events: String = (1..=9).map(|n| chunk_event(n, false)).collect();
        let all = format!("{events}data: [DONE]\n\n");
        vec![sse(), Step::Chunk(all.into_bytes()), Step::EndChunks]
    });
    let sidecar = Sidecar::start(&engine);
    let (_, outcome, usage, _) = outcome_of(&sidecar, true);
    // Nine pieces of six bytes (é, 日 and a digit).
    assert_eq!((outcome.as_str(), usage.1), ("complete", 9 * 6 / 3 + 4));
}
