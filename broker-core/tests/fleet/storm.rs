//! Eight writers in one process, over the same ten accounts, while connections are ended.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use broker_core::testing::Rng;
use broker_core::{
    Applied, Command, Cover, Hold, Ledger, LedgerReader, PostgresLedger, PostgresReader, Refusal,
    ReleaseReason, UserId,
};

use crate::books::{NOW, capture, neuron, user};
use crate::deal::{COVER, FEE, PLENTY, USERS, audited, cover, earned, named, times};
use crate::pg;

const WRITERS: u64 = 8;
const SECONDS: u64 = 8;

/// What one writer was told.
#[derive(Default)]
struct Told {
    captured: BTreeMap<UserId, (u128, u64)>,
    open: Vec<Hold>,
    refused: u64,
}

#[test]
fn no_neuron_is_lost_or_doubled_while_connections_are_ended_at_random() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let url = database.url();
    cover(&mut PostgresLedger::open(&url).unwrap(), COVER);
    let is_over = AtomicBool::new(false);
    let told: Vec<Told> = std::thread::scope(|scope| {
        let (is_over, url) = (&is_over, url.as_str());
        let write = |writer| scope.spawn(move || write(writer, url, is_over));
        let writers: Vec<_> = (0..WRITERS).map(write).collect();
        let ended = terminate(&database, Duration::from_secs(SECONDS * times()));
        is_over.store(true, Ordering::Relaxed);
        println!("{ended} connections ended");
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let mut sums: BTreeMap<UserId, (u128, u64)> = (0..USERS).map(|n| (user(n), (0, 0))).collect();
    for (user, (fee, count)) in told.iter().flat_map(|told| &told.captured) {
        let sum = sums.get_mut(user).unwrap();
        *sum = (sum.0 + fee, sum.1 + count);
    }
    let captures: u64 = sums.values().map(|(_, count)| count).sum();
    let open: usize = told.iter().map(|told| told.open.len()).sum();
    let refused: u64 = told.iter().map(|told| told.refused).sum();
    println!("{captures} captures, {refused} refused for want of money, {open} still open");
    assert!(captures > 100 && refused > 0, "{captures} captures, {refused} refused");
    assert_eq!(earned(&url), sums);
    let last = PostgresLedger::open(&url).unwrap();
    let caretaker = last.caretaker(Duration::from_millis(20)).unwrap();
    let report = audited(&url);
    drop(caretaker);
    assert_eq!((report.receipts, report.open_holds), (captures, open as u64));
}

/// Ends a connection of the ledgers' now and then.
fn terminate(database: &pg::Database<'_>, how_long: Duration) -> u64 {
    let began = Instant::now();
    let mut ended = 0;
    while began.elapsed() < how_long {
        let done = database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = \
             current_database() AND application_name = 'broker-ledger' ORDER BY random() LIMIT 1",
        );
        ended += u64::from(done == "t");
        std::thread::sleep(Duration::from_millis(60));
    }
    ended
}

fn write(writer: u64, url: &str, is_over: &AtomicBool) -> Told {
    let mut ledger = PostgresLedger::open(url).unwrap();
    let caretaker = ledger.caretaker(Duration::from_millis(200)).unwrap();
    let mut rng = Rng::new(writer);
    let mut told = Told::default();
    let mut n: u64 = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        if writer == 0 {
            // New money now and then, and never enough.
            let who = user(u8::try_from(rng.below(u64::from(USERS))).unwrap());
            let cover = Cover::UpTo(neuron(COVER + u128::from(n) / 2));
            batch.push(Command::Mirror { user: who, cover });
        }
        // In an order that is never the same, over users that everybody wants.
        for _ in 0..1 + rng.below(6) {
            n += 1;
            let who = user(u8::try_from(rng.below(u64::from(USERS))).unwrap());
            batch.push(Command::Reserve(named(&format!("{writer} {n}"), who)));
        }
        while !told.open.is_empty() && rng.below(4) > 0 {
            let held = told.open.swap_remove(rng.below(told.open.len() as u64) as usize);
            batch.push(match rng.below(5) {
                0 => Command::Release { key: held.key, why: ReleaseReason::NotForwarded },
                _ => capture(&held, FEE),
            });
        }
        let decisions = ledger.apply(&batch, NOW).unwrap();
        for (command, decision) in batch.into_iter().zip(decisions) {
            note(&mut told, command, decision);
        }
    }
    drop(caretaker);
    told
}

fn note(told: &mut Told, command: Command, decision: broker_core::Decision) {
    match (command, decision) {
        (Command::Reserve(held), Ok(Applied::Held { .. })) => told.open.push(held),
        (Command::Reserve(_), Err(Refusal::InsufficientFunds { .. })) => told.refused += 1,
        (Command::Capture { receipt, .. }, Ok(Applied::Captured { fee })) => {
            let sum = told.captured.entry(receipt.user).or_default();
            *sum = (sum.0 + fee.get(), sum.1 + 1);
        }
        (Command::Release { .. }, Ok(Applied::Released)) => {}
        (Command::Mirror { .. }, Ok(Applied::Mirrored)) => {}
        (command, decision) => panic!("{command:?}: {decision:?}"),
    }
}

#[test]
fn keys_that_everybody_reserves_at_once_are_reserved_once() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let url = database.url();
    let mut ledgers: Vec<_> = (0..WRITERS).map(|_| PostgresLedger::open(&url).unwrap()).collect();
    cover(&mut ledgers[0], PLENTY);
    for round in 0..10 * times() {
        let held: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(&mut ledgers)
                .map(|(n, ledger)| {
                    scope.spawn(move || {
                        let mut rng = Rng::new(round * WRITERS + n);
                        let mut batch: Vec<_> = (0..16)
                            .map(|key| {
                                // The same keys, for other users.
                                let who = user(u8::try_from((key + n) % 10).unwrap());
                                Command::Reserve(named(&format!("{round} {key}"), who))
                            })
                            .collect();
                        for end in (1..batch.len()).rev() {
                            batch.swap(end, rng.below(end as u64 + 1) as usize);
                        }
                        let decisions = ledger.apply(&batch, NOW).unwrap();
                        decisions.iter().filter(|decision| decision.is_ok()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(held, 16, "round {round}");
    }
    let reader = PostgresReader::open(&url).unwrap();
    assert_eq!(reader.totals().unwrap().open_holds, 160 * times());
    assert_eq!(reader.audit().unwrap().fault, None);
}
