//! Engines that keep everyone waiting.

use std::thread;
use std::time::Duration;

use crate::support::*;

const STREAM: &str = "{\"model\":\"tiny\",\"messages\":[],\"stream\":true}";

#[test]
fn an_engine_that_never_answers_ends_every_request_and_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let silent = || vec![Step::Pause(Duration::from_secs(30)), Step::Close];
    let limits = "limits: {upstreamIdleSecs: 2}\n";
    let (_engine, process) = serve(folder.path(), limits, silent);
    let addr = process.addr;
    let asked: Vec<_> =
        (0..100).map(|_| thread::spawn(move || post(addr, CHAT, &[], STREAM))).collect();
    (0..20).for_each(|_| is_served(addr));
    for answer in asked {
        let answer = answer.join().unwrap();
        assert_eq!(answer.status, 504, "{}", answer.text());
        let id = answer.receipt();
        let signed = get(addr, &format!("/v1/signature/{id}"), &[]).json();
        assert_eq!(signed["outcome"], "upstream_error");
    }
    is_served(addr);
    is_settled(&process);
}

#[test]
fn an_engine_of_one_byte_at_a_time_is_waited_for_and_stops_no_other() {
    const STREAMS: usize = 64;
    let folder = tempfile::tempdir().unwrap();
    let slow = || {
        let bytes = chunk_event(1, true).into_bytes();
        let drip = bytes
            .into_iter()
            .cycle()
            .take(2_000)
            .flat_map(|byte| [Step::Chunk(vec![byte]), Step::Pause(Duration::from_millis(50))]);
        std::iter::once(sse()).chain(drip).collect()
    };
    let (engine, process) = serve(folder.path(), "", slow);
    is_served(process.addr);
    let before = peak_kb(&process);
    let mut clients: Vec<_> = (0..STREAMS).map(|_| Conn::open(process.addr)).collect();
    for client in &mut clients {
        client.send("POST", CHAT, &[], STREAM.as_bytes());
    }
    // Every one of them has its first event, which came in pieces, as one piece.
    for client in &mut clients {
        assert_eq!(client.head().status, 200);
        let first = client.chunk().unwrap().unwrap();
        assert_eq!(String::from_utf8(first).unwrap(), chunk_event(1, false));
        is_served(process.addr);
    }
    let more = peak_kb(&process).saturating_sub(before);
    assert!(more < 32 * 1024, "{more} KB more for {STREAMS} streams");
    // Who leaves is not waited for: the engine is told at once.
    drop(clients);
    for _ in 0..STREAMS {
        engine.aborted.recv_timeout(SOON).expect("the engine was not told");
    }
    is_served(process.addr);
    is_settled(&process);
}
