//! What is tried at another engine, what is not, and what it costs: one hold, one receipt and one
//! charge, whatever happens.

use std::time::{Duration, Instant};

use broker_core::{Digest32, LedgerReader, Neuron, UserId};
use tee_sidecar::route::Route;

use crate::support::*;

/// The account has paid these fees and nothing is held; each request has one row.
fn paid(sidecar: &Sidecar, requests: usize, fees: u128) {
    let account = sidecar.reader().account(&UserId::named("open")).unwrap();
    assert_eq!((account.held, account.earned), (Neuron::ZERO, Neuron::new(fees)));
    assert_eq!(rows(sidecar).len(), requests);
    sidecar.audit_is_clean();
}

fn failing(steps: Vec<Step>) -> Engine {
    Engine::start(move |_| steps.clone())
}

fn refusing(status: u16) -> Engine {
    failing(vec![Step::Raw(whole(status, format!("{{\"at\":{status}}}").as_bytes()))])
}

#[test]
fn a_refused_request_is_answered_by_another_engine_to_the_byte_and_charged_once() {
    for steps in [
        vec![Step::Raw(whole(503, b"later"))],
        vec![Step::Raw(whole(502, b"<html>"))],
        // Gone before it answered.
        vec![Step::Close],
    ] {
        let (bad, good) = (failing(steps), quick());
        let sidecar = before(&[&bad, &good]);
        let answer = ask(&sidecar);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer.receipt();
        sidecar.signature(&id, ASK.as_bytes(), &answer.body);
        let [first, second] = [&bad, &good].map(Engine::wait_for_request);
        assert_eq!((first.body.as_slice(), &first.body), (ASK.as_bytes(), &second.body));
        for name in ["x-request-id", "traceparent", "content-type", "accept", "content-length"] {
            assert!(first.header(name).is_some(), "{name}");
            assert_eq!(first.header(name), second.header(name), "{name}");
        }
        assert_eq!(first.header("x-request-id"), Some(id.as_str()));
        let receipt = sidecar.receipt(&id);
        assert_eq!(receipt.request_hash, Digest32::sha256(ASK.as_bytes()));
        assert_eq!((receipt.outcome.as_str(), receipt.fee.get()), ("complete", FEE));
        assert_eq!(seen(&[&bad, &good]), [1, 1]);
        paid(&sidecar, 1, FEE);
        let metrics = get(sidecar.admin, "/metrics", &[]).text();
        let line = "tee_sidecar_upstream_engine_failures_total{engine=\"1\"} 1\n";
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[test]
fn the_hidden_options_of_a_stream_are_the_same_at_both_engines() {
    let stream = || {
        let done = Step::Chunk(b"data: [DONE]\n\n".to_vec());
        let event = chunk_event(1, true).into_bytes();
        Engine::start(move |_| {
            vec![sse(), Step::Chunk(event.clone()), done.clone(), Step::EndChunks]
        })
    };
    let (bad, good) = (refusing(503), stream());
    let sidecar = before(&[&bad, &good]);
    let answer = post(sidecar.addr, CHAT, &[], ASK_STREAM);
    assert!(answer.complete && !answer.text().contains("usage"), "{}", answer.text());
    let [first, second] = [&bad, &good].map(Engine::wait_for_request);
    assert!(first.text().contains("include_usage") && first.body == second.body);
    paid(&sidecar, 1, 13 * 100 + 200);
}

#[test]
fn an_engine_that_takes_no_connection_gets_no_request() {
    let (mut dead, good) = (quick(), quick());
    let sidecar = before(&[&dead, &good]);
    assert_eq!(ask(&sidecar).status, 200);
    dead.die();
    (0..8).for_each(|_| assert_eq!(ask(&sidecar).status, 200));
    assert_eq!(seen(&[&dead, &good]), [1, 8]);
    assert!(readiness(&sidecar).1.contains("model server 1 of 2 gets requests last"));
    paid(&sidecar, 9, 9 * FEE);
}

// The one that fails at once has always the fewest in flight.
#[test]
fn an_engine_that_answers_with_errors_of_its_own_is_taken_last() {
    let (bad, good) = (refusing(500), quick());
    let sidecar = before(&[&bad, &good]);
    let statuses: Vec<_> = (0..9).map(|_| ask(&sidecar).status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 500).count(), 1, "{statuses:?}");
    assert_eq!(seen(&[&bad, &good]), [1, 8]);
    let metrics = get(sidecar.admin, "/metrics", &[]).text();
    let line = "tee_sidecar_upstream_engine_failures_total{engine=\"1\"} 1\n";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn where_every_engine_refuses_the_last_one_s_answer_is_passed_on_and_costs_nothing() {
    let engines = [refusing(503), refusing(502), refusing(503)];
    let all: Vec<&Engine> = engines.iter().collect();
    let sidecar = before(&all);
    let answer = ask(&sidecar);
    assert_eq!((answer.status, answer.text().as_str()), (503, "{\"at\":503}"));
    assert_eq!(seen(&all), [1, 1, 1], "each is tried once");
    paid(&sidecar, 1, 0);
}

// A request that kills engines does not get to kill all of them.
#[test]
fn a_request_under_which_two_engines_went_away_is_not_shown_to_a_third() {
    let engines = [failing(vec![Step::Close]), failing(vec![Step::Close]), quick()];
    let all: Vec<&Engine> = engines.iter().collect();
    let sidecar = before(&all);
    let answer = ask(&sidecar);
    assert_eq!((answer.status, answer.error_type().as_str()), (502, "server_error"));
    assert_eq!(seen(&all), [1, 1, 0]);
    assert_eq!(ask(&sidecar).status, 200);
    paid(&sidecar, 2, FEE);
}

#[test]
fn what_an_engine_may_have_worked_on_is_not_tried_again() {
    let silent = vec![Step::Pause(Duration::from_secs(3)), Step::Close];
    let no_http = vec![Step::Raw(b"zz not http\r\n\r\n".to_vec()), Step::Close];
    let begun = vec![sse(), Step::Chunk(chunk_event(1, true).into_bytes()), Step::Close];
    let half = vec![Step::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec())];
    let half = [half, vec![Step::Close]].concat();
    for (path, body, steps, status, fee) in [
        (CHAT, ASK, silent, 504, 0),
        (CHAT, ASK, no_http, 502, 0),
        (CHAT, ASK_STREAM, begun, 200, 13 * 100 + 200),
        (CHAT, ASK, half, 502, 0),
        (CHAT, ASK, vec![Step::Raw(whole(500, b"boom"))], 500, 0),
        (CHAT, ASK, vec![Step::Raw(whole(429, b"slowly"))], 429, 0),
        // Its tools may have run.
        ("/v1/responses", r#"{"input":"x"}"#, vec![Step::Close], 502, 0),
    ] {
        let (bad, good) = (failing(steps), quick());
        let sidecar = Sidecar::with(&bad, |settings| {
            settings.upstream.urls = vec![url(&good)];
            settings.limits.upstream_idle_secs = 1;
        });
        let answer = post(sidecar.addr, path, &[], body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(seen(&[&bad, &good]), [1, 0], "{status}");
        sidecar.receipt(&answer.receipt());
        paid(&sidecar, 1, fee);
    }
    assert!(Route::Responses.streams());
}

#[test]
fn all_tries_together_take_no_longer_than_one_may() {
    let pause = |millis| Step::Pause(Duration::from_millis(millis));
    let late = failing(vec![pause(1800), Step::Raw(whole(503, b"later"))]);
    let silent = failing(vec![pause(10_000), Step::Close]);
    let sidecar = Sidecar::with(&late, |settings| {
        settings.upstream.urls = vec![url(&silent)];
        (settings.limits.upstream_connect_secs, settings.limits.upstream_idle_secs) = (1, 2);
    });
    assert_eq!(get(sidecar.addr, "/readyz", &[]).status, 200);
    let asked = Instant::now();
    assert_eq!(ask(&sidecar).status, 504);
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(2800), "{took:?}");
    assert!(took < Duration::from_millis(3600), "{took:?}: the second try had its own time");
    assert_eq!(seen(&[&late, &silent]), [1, 1]);
    paid(&sidecar, 1, 0);
}
