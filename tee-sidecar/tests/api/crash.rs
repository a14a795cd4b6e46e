//! SIGKILL at random moments under load: no acknowledged fee is lost or doubled.
//!
//! `KILLS` sets how often (20 by default).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::{LedgerReader, ReceiptId, SqliteReader};

use crate::support::{
    Conn, Engine, MODEL, Process, Step, chunk_event, get, sha256_hex, sse, whole,
};

const CLIENTS: u64 = 8;
/// The most that one of these requests can cost: by any count its prompt has at most 40 tokens
/// (fewer than 100 bytes), and the engine generates at most 7.
const LARGEST_FEE: u128 = 40 * 100 + 7 * 200;

/// What a client saw of a request whose end it was given.
struct Acknowledged {
    id: String,
    text: String,
    fee: u128,
}

fn engine() -> Engine {
    Engine::start(|seen| {
        let n = seen.body.len() as u64 % 7 + 1;
        if seen.text().contains("\"stream\":true") {
            let mut steps = vec![sse()];
            for k in 1..=n {
                steps.push(Step::Chunk(chunk_event(k, true).into_bytes()));
                steps.push(Step::Pause(Duration::from_millis(1)));
            }
            steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
            steps.push(Step::EndChunks);
            return steps;
        }
        let body = format!(
            "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":13,\"completion_tokens\":{n}}}}}"
        );
        vec![Step::Pause(Duration::from_millis(n)), Step::Raw(whole(200, body.as_bytes()))]
    })
}

/// Asks until the sidecar is gone.
fn client(addr: SocketAddr, number: u64, stop: &AtomicBool) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let stream = (turn + number).is_multiple_of(2);
        let pad = "x".repeat((turn % 11) as usize);
        let request = format!(
            "{{\"model\":\"{MODEL}\",\"messages\":[],\"stream\":{stream},\"user\":\"{pad}\"}}"
        );
        // The engine counts by the length of what it is sent.
        let ours = "\"stream_options\":{\"include_usage\":true,\"continuous_usage_stats\":true},";
        let sent = request.len() + if stream { ours.len() } else { 0 };
        let tokens = sent as u128 % 7 + 1;
        let Some(response) = Conn::try_ask(addr, request.as_bytes()) else { continue };
        let whole = response.complete && (!stream || response.body.ends_with(b"data: [DONE]\n\n"));
        if response.status != 200 || !whole {
            continue;
        }
        acknowledged.push(Acknowledged {
            id: response.receipt(),
            text: format!("{}:{}", sha256_hex(request.as_bytes()), sha256_hex(&response.body)),
            fee: 13 * 100 + tokens * 200,
        });
    }
    acknowledged
}

#[test]
fn a_killed_sidecar_loses_and_doubles_nothing_it_acknowledged() {
    let kills: u64 = std::env::var_os("KILLS").map_or(20, |n| n.to_str().unwrap().parse().unwrap());
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let mut seen: HashMap<String, u128> = HashMap::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let (mut crashed, mut acknowledged_total) = (0, 0);
    for kill in 0..kills {
        let mut process = Process::start(folder.path(), &engine, "");
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (addr, stop) = (process.addr, stop.clone());
                std::thread::spawn(move || client(addr, number, &stop))
            })
            .collect();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(30 + (seed >> 33) % 400));
        process.kill();
        stop.store(true, Ordering::Relaxed);
        let new: Vec<Acknowledged> =
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        acknowledged_total += new.len();
        let reader = SqliteReader::open(&ledger).unwrap();
        crashed += reader.totals().unwrap().open_holds;
        let process = Process::start(folder.path(), &engine, "");
        let audit = process.run(&["ledger", "audit"]);
        assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stderr));
        for one in new {
            let id = ReceiptId::parse(&one.id).unwrap();
            let receipt = reader.receipt(&id).unwrap();
            let receipt = receipt.unwrap_or_else(|| panic!("kill {kill}: {} is lost", one.id));
            assert_eq!((receipt.fee.get(), receipt.text()), (one.fee, one.text.clone()));
            assert!(seen.insert(one.id.clone(), one.fee).is_none(), "{} twice", one.id);
            if seen.len().is_multiple_of(16) {
                let signed = get(process.addr, &format!("/v1/signature/{}", one.id), &[]).json();
                assert_eq!(signed["text"], one.text.as_str());
            }
        }
        let totals = reader.totals().unwrap();
        assert_eq!((totals.open_holds, totals.held.get()), (0, 0), "a hold was left open");
        // The audit re-adds every receipt; so nothing is charged beyond them. What the clients were
        // given is there, and what is there beyond it is no more than unfinished answers can cost.
        let given: u128 = seen.values().sum();
        let unfinished = totals.receipts.checked_sub(seen.len() as u64).expect("receipts lost");
        assert!(totals.earned.get() >= given);
        assert!(totals.earned.get() <= given + u128::from(unfinished) * LARGEST_FEE);
        // Each receipt is of another request: one charged twice would have two.
        assert!(totals.receipts <= engine.requests(), "more receipts than requests");
    }
    println!("{kills} kills, {acknowledged_total} acknowledged, {crashed} cut off in flight");
    assert!(acknowledged_total > 0 && crashed > 0, "the kills hit nothing");
}
