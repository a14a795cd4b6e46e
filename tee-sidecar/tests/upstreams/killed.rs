//! An engine that dies under load, and comes back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use broker_core::{LedgerReader, Neuron, Outcome, UserId};

use crate::support::*;

const CLIENTS: usize = 12;

/// Answers in pieces, so that some requests are in each state at every moment.
fn busy(at: SocketAddr) -> Engine {
    Engine::start_at(at, |request| {
        if !request.text().contains("\"stream\":true") {
            return vec![Step::Pause(Duration::from_millis(5)), answer()];
        }
        let mut steps = vec![Step::Pause(Duration::from_millis(2)), sse()];
        for n in 1..=5 {
            steps.push(Step::Chunk(chunk_event(n, true).into_bytes()));
            steps.push(Step::Pause(Duration::from_millis(2)));
        }
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    })
}

/// Asks until told to stop; the answers, each with whether it was a stream.
fn client(addr: SocketAddr, number: usize, stop: &AtomicBool) -> Vec<(bool, Response)> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let stream = (answers.len() + number).is_multiple_of(2);
        answers.push((stream, post(addr, CHAT, &[], if stream { ASK_STREAM } else { ASK })));
    }
    answers
}

#[test]
fn an_engine_that_dies_under_load_fails_no_request_but_those_whose_answer_had_begun() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (mut victim, others) = (busy(any), [busy(any), busy(any)]);
    let sidecar = before(&[&others[0], &victim, &others[1]]);
    let (addr, stop) = (sidecar.addr, AtomicBool::new(false));
    let answers: Vec<(bool, Response)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let stop = &stop;
                    move || client(addr, number, stop)
                })
            })
            .collect();
        wait_until("load on the victim", SOON, || victim.requests() > 100);
        victim.die();
        let (dead_at, rest) = (victim.requests(), seen(&[&others[0], &others[1]]));
        wait_until("load on the others", SOON, || {
            seen(&[&others[0], &others[1]]).iter().zip(&rest).all(|(now, then)| *now > then + 50)
        });
        assert_eq!(victim.requests(), dead_at);
        assert_eq!(readiness(&sidecar).0, 200);
        let back = busy(victim.addr);
        wait_until("load on who came back", SOON, || back.requests() > 50);
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let (mut fees, mut cut) = (Neuron::ZERO, 0);
    for (stream, answer) in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(*stream || answer.complete, "a buffered answer is whole or is none");
        let receipt = sidecar.receipt(&answer.receipt());
        let expected = if answer.complete { Outcome::Complete } else { Outcome::TruncatedUpstream };
        assert_eq!(receipt.outcome, expected);
        cut += usize::from(!answer.complete);
        fees = fees.checked_add(receipt.fee).unwrap();
    }
    assert!(cut <= CLIENTS, "{cut} answers had begun");
    assert!(answers.len() > 200, "{} answers", answers.len());
    let account = sidecar.reader().account(&UserId::named("open")).unwrap();
    assert_eq!((account.held, account.earned), (Neuron::ZERO, fees));
    sidecar.audit_is_clean();
}
