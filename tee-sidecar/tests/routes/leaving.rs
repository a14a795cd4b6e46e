//! Clients that leave before a typed stream told its usage.

use broker_core::UsageSource;
use tee_sidecar::config::OnDisconnect;
use tee_sidecar::route::Route;

use super::streamed::{MESSAGE, RESPONSE};
use crate::support::{Conn, Engine, Sidecar, Step, sse};

/// An engine that sends the first events, waits at the gate and sends the rest.
fn gated(first: usize, events: &'static [&'static str]) -> Engine {
    let chunk = |event: &&str| Step::Chunk((*event).to_owned().into_bytes());
    Engine::start(move |_| {
        let mut steps = vec![sse()];
        steps.extend(events[..first].iter().map(chunk));
        steps.push(Step::Gate);
        steps.extend(events[first..].iter().map(chunk));
        steps.push(Step::EndChunks);
        steps
    })
}

fn read_until(conn: &mut Conn, text: &str) {
    let mut body = Vec::new();
    while !String::from_utf8_lossy(&body).contains(text) {
        body.extend(conn.chunk().unwrap().unwrap());
    }
}

// M1: prompt and what was handed over, by the engine's count where there is one.
#[test]
fn a_client_that_leaves_a_typed_stream_pays_its_prompt_and_what_it_was_handed() {
    let message = r#"{"messages":[],"stream":true,"max_tokens":50}"#;
    let response = r#"{"input":"a","stream":true,"max_output_tokens":50}"#;
    for (route, request, events, input) in [
        (Route::Messages, message, &MESSAGE[..], 13),
        (Route::Responses, response, &RESPONSE[..], (response.len() as u64).div_ceil(3) + 4),
    ] {
        let engine = gated(4, events);
        let sidecar = Sidecar::start(&engine);
        let mut conn = Conn::open(sidecar.addr);
        conn.send("POST", route.path(), &[], request.as_bytes());
        let id = conn.head().receipt();
        read_until(&mut conn, events[3]);
        drop(conn);
        let receipt = sidecar.receipt(&id);
        assert_eq!(receipt.outcome.as_str(), "client_gone");
        // Eight bytes of text without a count, and for a message one token that was counted.
        let output = 8_u64.div_ceil(3) + 4 + u64::from(route == Route::Messages);
        assert_eq!((receipt.usage.input, receipt.usage.output), (input, output), "{route:?}");
        assert_eq!(receipt.usage.source, UsageSource::Estimate);
        engine.aborted.recv_timeout(crate::support::SOON).unwrap();
    }
}

#[test]
fn where_the_host_reads_on_the_last_count_of_a_typed_stream_is_charged() {
    for (route, request, events, usage) in [
        (Route::Messages, r#"{"messages":[],"stream":true}"#, &MESSAGE[..], (13, 4)),
        (Route::Responses, r#"{"input":"a","stream":true}"#, &RESPONSE[..], (11, 3)),
    ] {
        let engine = gated(2, events);
        let drain = OnDisconnect::Drain;
        let sidecar = Sidecar::with(&engine, |s| s.upstream.on_disconnect = drain);
        let mut conn = Conn::open(sidecar.addr);
        conn.send("POST", route.path(), &[], request.as_bytes());
        let id = conn.head().receipt();
        read_until(&mut conn, events[1]);
        conn.leave();
        engine.open_gate();
        let receipt = sidecar.receipt(&id);
        assert_eq!((receipt.usage.input, receipt.usage.output), usage, "{route:?}");
        assert_eq!((receipt.outcome.as_str(), receipt.drained), ("client_gone", true));
    }
}

// Nothing but the end tells what a picture is: leaving before it must not make pictures free.
#[test]
fn a_response_with_pictures_is_read_to_its_count_although_the_client_left() {
    let request = r#"{"input":[{"type":"input_image"}],"stream":true,"max_output_tokens":50}"#;
    let engine = gated(2, &RESPONSE);
    let sidecar = Sidecar::start(&engine);
    let mut conn = Conn::open(sidecar.addr);
    conn.send("POST", Route::Responses.path(), &[], request.as_bytes());
    let id = conn.head().receipt();
    read_until(&mut conn, RESPONSE[1]);
    drop(conn);
    engine.open_gate();
    let receipt = sidecar.receipt(&id);
    // The engine's count of the prompt, and what was handed over, five bytes without a count.
    let handed = 5_u64.div_ceil(3) + 4;
    assert_eq!((receipt.usage.input, receipt.usage.output), (11, handed));
    assert_eq!(receipt.usage.source, UsageSource::Estimate);
}
