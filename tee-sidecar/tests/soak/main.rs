//! Mixed load for a while: clients that leave, an engine that dies and comes back, a ledger that
//! stalls. No fee is lost or doubled, and nothing grows: memory, files, holds.
//!
//! `SOAK_SECS` sets how long (120 by default; `make soak-long` takes half an hour).
#![cfg(feature = "simulator")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use broker_core::{LedgerReader as _, Neuron, Outcome, ReceiptId, SqliteReader, UserId};

#[path = "../hostile/support.rs"]
mod support;
mod watch;

use support::*;
use watch::Watch;

const CLIENTS: u64 = 16;
/// Prices of the configuration, in neuron, and the prompt's tokens.
const PRICES: (u64, u64) = (100, 200);
const PROMPT: u64 = 13;

/// What clients were given.
#[derive(Default)]
struct Given {
    /// Fees of the answers that came whole, by receipt.
    whole: HashMap<String, u64>,
    left: u64,
    refused: u64,
    failed: u64,
    /// Of these, while the engine was up from before the request to behind it.
    unexplained: u64,
    /// The most that those may owe that left or failed, in neuron.
    most: u64,
}

/// What clients know of the test.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    turns: AtomicU64,
    /// Goes up when the engine is about to die and when it has come back: odd while it is away.
    engine: AtomicU64,
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Answers with as many tokens as are asked for.
fn start_engine(at: SocketAddr) -> Engine {
    Engine::start_at(at, |request| {
        let number = |text: &str| text.split(',').next().and_then(|n| n.trim().parse().ok());
        let tokens = request.text().split("\"max_tokens\":").nth(1).and_then(number).unwrap_or(1);
        if !request.text().contains("\"stream\":true") {
            let answer = format!(
                "{{\"choices\":[],\"usage\":{{\"prompt_tokens\":{PROMPT},\
                 \"completion_tokens\":{tokens}}}}}"
            );
            return vec![Step::Raw(whole(200, answer.as_bytes()))];
        }
        let mut steps = vec![sse()];
        for n in 1..=tokens {
            steps.push(Step::Chunk(chunk_event(n, true).into_bytes()));
            steps.push(Step::Pause(Duration::from_millis(1)));
        }
        steps.push(Step::Chunk(b"data: [DONE]\n\n".to_vec()));
        steps.push(Step::EndChunks);
        steps
    })
}

/// Asks until told to stop.
fn client(number: u64, addr: SocketAddr, shared: &Shared) -> Given {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (number + 1));
    let mut given = Given::default();
    while !shared.stop.load(Ordering::Relaxed) {
        shared.turns.fetch_add(1, Ordering::Relaxed);
        let tokens = 1 + dice.below(40);
        let stream = dice.below(2) == 0;
        let body = match dice.below(20) {
            0 => "{\"messages\":".to_owned(),
            _ => format!(
                "{{\"max_tokens\":{tokens},\"model\":\"tiny\",\"messages\":[],\"stream\":{stream}}}"
            ),
        };
        // Its tokens, and for the prompt what is counted or what is estimated.
        let most = PROMPT.max(body.len() as u64 / 3 + 5) * PRICES.0 + tokens * PRICES.1;
        let before = shared.engine.load(Ordering::SeqCst);
        let Some(mut conn) = Conn::try_open(addr) else { continue };
        if stream && dice.below(4) == 0 {
            conn.send("POST", CHAT, &[], body.as_bytes());
            (0..dice.below(4)).for_each(|_| sleep(Duration::from_millis(dice.below(9))));
            given.left += 1;
            given.most += most;
            continue;
        }
        match conn.try_send("POST", CHAT, &[], body.as_bytes()) {
            Some(answer) if answer.status == 200 && is_whole(&answer, stream) => {
                let fee = PROMPT * PRICES.0 + tokens * PRICES.1;
                assert_eq!(given.whole.insert(answer.receipt(), fee), None);
            }
            Some(answer) if answer.status == 400 => given.refused += 1,
            _ => {
                given.failed += 1;
                given.most += most;
                let is_calm = before % 2 == 0 && shared.engine.load(Ordering::SeqCst) == before;
                given.unexplained += u64::from(is_calm);
            }
        }
    }
    given
}

fn is_whole(answer: &Response, stream: bool) -> bool {
    answer.complete && (!stream || answer.body.ends_with(b"data: [DONE]\n\n"))
}

/// One thing that goes wrong, or nothing.
fn trouble(dice: &mut Dice, engine: &mut Engine, ledger: &Path, shared: &Shared) {
    match dice.below(3) {
        0 => {
            let at = engine.addr;
            shared.engine.fetch_add(1, Ordering::SeqCst);
            engine.die();
            sleep(Duration::from_millis(dice.below(800)));
            *engine = start_engine(at);
            shared.engine.fetch_add(1, Ordering::SeqCst);
        }
        1 => {
            // Another program holds the file's lock for writing.
            let other = rusqlite::Connection::open(ledger).unwrap();
            other.busy_timeout(Duration::from_secs(10)).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            sleep(Duration::from_millis(dice.below(1_500)));
            other.execute_batch("ROLLBACK").unwrap();
        }
        _ => sleep(Duration::from_millis(500)),
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how long, says the environment")]
fn hours_of_trouble_lose_no_fee_and_leave_nothing_behind() {
    let secs = std::env::var("SOAK_SECS").ok().map_or(120, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let mut engine = start_engine(SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut process = Process::start(folder.path(), &engine, "");
    is_served(process.addr);
    let shared = Arc::<Shared>::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (addr, shared) = (process.addr, shared.clone());
            thread::spawn(move || client(number, addr, &shared))
        })
        .collect();
    let mut dice = Dice(88_172_645_463_325_252);
    let mut watch = Watch::of(process.pid());
    let end = Instant::now() + Duration::from_secs(secs);
    while Instant::now() < end {
        assert!(process.ended().is_none(), "it has ended: {}", process.log());
        watch.look();
        trouble(&mut dice, &mut engine, &ledger, &shared);
        assert!(process.log().lines().all(|line| !line.contains("panicked")), "{}", process.log());
    }
    shared.stop.store(true, Ordering::Relaxed);
    let given: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    is_settled(&process);
    is_served(process.addr);
    let sum = |of: fn(&Given) -> u64| given.iter().map(of).sum::<u64>();
    let whole = sum(|given| given.whole.len() as u64);
    let unexplained = sum(|given| given.unexplained);
    println!(
        "{secs} s, {} requests: {whole} whole answers, {} left, {} refused, {} failed, \
         {unexplained} of them while the engine was there; {watch}",
        shared.turns.load(Ordering::Relaxed),
        sum(|given| given.left),
        sum(|given| given.refused),
        sum(|given| given.failed),
    );
    every_fee_is_there(&ledger, &given);
    watch.leaves_nothing_behind();
    assert!(whole > secs && sum(|given| given.left) > secs / 4, "too little was asked");
    assert!(unexplained * 100 <= whole, "{unexplained} failed beside {whole} whole answers");
}

/// Whoever has a whole answer finds its receipt with the fee of what was sent. The account owes
/// those at least, since who left pays too, and at most what those asked for who left or failed.
/// That it owes no more than its receipts, the audit has shown.
fn every_fee_is_there(ledger: &Path, given: &[Given]) {
    let reader = SqliteReader::open(ledger).unwrap();
    for (id, fee) in given.iter().flat_map(|given| &given.whole) {
        let receipt = reader.receipt(&ReceiptId::parse(id).unwrap()).unwrap();
        let receipt = receipt.unwrap_or_else(|| panic!("{id} has no receipt"));
        let told = (receipt.outcome, receipt.fee);
        assert_eq!(told, (Outcome::Complete, Neuron::new((*fee).into())), "{id}");
    }
    let account = reader.account(&UserId::named("open")).unwrap();
    let due: u64 = given.iter().flat_map(|given| given.whole.values()).sum();
    // Two more were asked by the test itself.
    let own = 2 * (PROMPT * PRICES.0 + PRICES.1);
    let most = own + due + given.iter().map(|given| given.most).sum::<u64>();
    assert!(account.earned >= Neuron::new(due.into()), "{} of {due} neuron", account.earned);
    assert!(account.earned <= Neuron::new(most.into()), "{} of {most} neuron", account.earned);
    assert!(account.held.is_zero());
}
