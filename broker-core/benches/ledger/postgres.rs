//! PostgreSQL: the ledger, the ledger with one commit a command, and the bare engine.

use std::time::{Duration, Instant};

use broker_core::{LedgerReader, PostgresLedger, PostgresReader};
use postgres::{Client, NoTls};

use crate::exchanges::{Run, Turn, drive, report};
use crate::{audit, pg};

/// What PostgreSQL adds to a row of one column: its header and the pointer to it.
const ROW_OVERHEAD: u64 = 28;

/// Short turns, one after the other: a disk's speed changes from one second to the next.
pub(crate) fn exchanges() {
    let Some(server) = pg::server() else { return };
    let time = Duration::from_secs_f64(crate::number("SECS", 2) as f64);
    let mut turns = Vec::new();
    for turn in 0..crate::number("ROUNDS", 9) {
        let database = server.database();
        let (grouped, size, written) = measured(&database, time);
        let [(stored, carried), (filled, _)] = bare_turns(&database, &grouped, size, written);
        let rows = rows(&database, &grouped);
        let single = (turn % 3 == 0).then(|| ledger_turn(&server.database(), 1, time).rate());
        turns.push(Turn { ledger: grouped.rate(), rows, stored, written: filled, single });
        println!(
            "postgres turn {turn}: {:.0} exchanges/s, {:.0} commits/s, {} bytes stored and {} \
             logged for each; bare engine with the same rows {rows:.0}/s, with the bytes stored \
             {stored:.0}/s ({carried} logged), with the bytes logged {filled:.0}/s",
            grouped.rate(),
            grouped.commits() as f64 / grouped.seconds,
            size / grouped.exchanges,
            written / grouped.exchanges,
        );
    }
    report("postgres", &turns);
}

/// A run of the ledger, the bytes that its tables grew by and those that it logged.
fn measured(database: &pg::Database<'_>, time: Duration) -> (Run, u64, u64) {
    PostgresLedger::open(&database.url()).unwrap();
    let mut client = Client::connect(&database.url(), NoTls).unwrap();
    let (size, logged) = (tables(&mut client), log_end(&mut client));
    let run = ledger_turn(database, 128, time);
    (run, tables(&mut client) - size, log_end(&mut client) - logged)
}

/// As in service: with a caretaker, which chains the entries.
fn ledger_turn(database: &pg::Database<'_>, batch: usize, time: Duration) -> Run {
    let ledger = PostgresLedger::open(&database.url()).unwrap();
    let caretaker = ledger.caretaker(Duration::from_millis(100)).unwrap();
    let run = drive(Box::new(ledger), batch, time);
    drop(caretaker);
    run
}

/// The rows of each commit of the ledger, put into tables of their kind in a durable commit by one
/// function, with nothing decided, locked, hashed or sent: the same rows, indexes and checks but
/// for the queue of what is to be chained. Exchanges a second.
fn rows(database: &pg::Database<'_>, run: &Run) -> f64 {
    let mut client = Client::connect(&database.url(), NoTls).unwrap();
    client.batch_execute(ROWS).unwrap();
    let put = client.prepare("SELECT bare.put($1, $2)").unwrap();
    let began = Instant::now();
    let mut done = 0;
    for upto in run.ends.iter().copied() {
        client.execute(&put, &[&done, &upto]).unwrap();
        done = upto;
    }
    let rate = run.exchanges as f64 / began.elapsed().as_secs_f64();
    let copied = client
        .query_one(
            "SELECT (SELECT count(*) FROM bare.receipt), (SELECT count(*) FROM bare.open_hold)",
            &[],
        )
        .unwrap();
    assert_eq!((copied.get(0), copied.get(1)), (i64::try_from(run.exchanges).unwrap(), 0_i64));
    client.batch_execute("DROP SCHEMA bare CASCADE").unwrap();
    rate
}

/// Tables with the ledger's columns, checks and indexes, and what puts into them the rows of the
/// entries behind one number and up to another, with the links that the leader adds later.
const ROWS: &str = "
CREATE SCHEMA bare;
CREATE TABLE bare.account (LIKE broker_ledger.account INCLUDING ALL) WITH (fillfactor = 50);
CREATE TABLE bare.entry (LIKE broker_ledger.entry INCLUDING ALL);
CREATE TABLE bare.link (LIKE broker_ledger.link INCLUDING ALL);
CREATE TABLE bare.hold (LIKE broker_ledger.hold INCLUDING ALL);
CREATE TABLE bare.open_hold (LIKE broker_ledger.open_hold INCLUDING ALL);
CREATE TABLE bare.receipt (LIKE broker_ledger.receipt INCLUDING ALL);
CREATE FUNCTION bare.put(behind bigint, upto bigint) RETURNS void LANGUAGE plpgsql
SET search_path = bare SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET jit = off AS $$ BEGIN
  INSERT INTO entry SELECT * FROM broker_ledger.entry WHERE number > behind AND number <= upto;
  INSERT INTO link SELECT * FROM broker_ledger.link WHERE entry > behind AND entry <= upto;
  INSERT INTO hold SELECT * FROM broker_ledger.hold WHERE entry > behind AND entry <= upto;
  INSERT INTO open_hold SELECT entry, substr(key, 1, 16) FROM broker_ledger.hold
    WHERE entry > behind AND entry <= upto;
  INSERT INTO receipt SELECT * FROM broker_ledger.receipt WHERE entry > behind AND entry <= upto;
  DELETE FROM open_hold WHERE hold IN
    (SELECT hold FROM broker_ledger.receipt WHERE entry > behind AND entry <= upto);
  INSERT INTO account SELECT * FROM broker_ledger.account WHERE user_id IN
    (SELECT user_id FROM broker_ledger.entry WHERE number > behind AND number <= upto)
    ON CONFLICT (user_id) DO UPDATE SET cover = excluded.cover, held = excluded.held,
    earned = excluded.earned, exchanges = account.exchanges + 1;
END $$;
ANALYZE broker_ledger.entry, broker_ledger.link, broker_ledger.hold, broker_ledger.receipt;
";

/// The bare engine with as many bytes stored, and with so many rows that it logs as much: of each
/// the exchanges a second and the bytes that it logged.
fn bare_turns(database: &pg::Database<'_>, run: &Run, size: u64, logged: u64) -> [(f64, u64); 2] {
    let stored = bare(database, run, size);
    // What a byte of rows logs is known from the first.
    let rows = u128::from(size) * u128::from(logged) / u128::from(stored.1.max(1));
    [stored, bare(database, run, u64::try_from(rows).unwrap())]
}

/// As many bytes of rows in as many durable commits, by one connection into one plain table.
fn bare(database: &pg::Database<'_>, run: &Run, bytes: u64) -> (f64, u64) {
    let mut client = Client::connect(&database.url(), NoTls).unwrap();
    client.batch_execute("DROP TABLE IF EXISTS plain; CREATE TABLE plain (bytes bytea)").unwrap();
    let insert = client.prepare("INSERT INTO plain SELECT unnest($1::bytea[])").unwrap();
    let width = (bytes / run.exchanges / 2).clamp(2 * ROW_OVERHEAD, 1_900);
    let row = vec![0x5a_u8; usize::try_from(width - ROW_OVERHEAD).unwrap()];
    let (logged, began) = (log_end(&mut client), Instant::now());
    let mut done = 0;
    for commit in 1..=run.commits() {
        let due = bytes * commit / run.commits() / width;
        let rows = vec![row.as_slice(); usize::try_from(due - done).unwrap()];
        client.execute(&insert, &[&rows]).unwrap();
        done = due;
    }
    let rate = run.exchanges as f64 / began.elapsed().as_secs_f64();
    (rate, log_end(&mut client) - logged)
}

fn tables(client: &mut Client) -> u64 {
    let sum = "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
        JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind = 'r' AND n.nspname = 'broker_ledger'";
    u64::try_from(client.query_one(sum, &[]).unwrap().get::<_, i64>(0)).unwrap()
}

fn log_end(client: &mut Client) -> u64 {
    let end = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint";
    u64::try_from(client.query_one(end, &[]).unwrap().get::<_, i64>(0)).unwrap()
}

/// In a process of its own, whose peak is the audit's.
pub(crate) fn audit() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let transfers = crate::number("TRANSFERS", 200_000);
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    let caretaker = ledger.caretaker(Duration::from_millis(20)).unwrap();
    audit::fill(&mut ledger, transfers);
    let reader = PostgresReader::open(&database.url()).unwrap();
    // Until every entry has its place: one or more for each user, two an exchange.
    while reader.head().unwrap().0 < transfers / 3 * 2 + audit::USERS {
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(caretaker);
    println!("postgres:");
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    assert!(process.args(["audit-of-postgres", &database.url()]).status().unwrap().success());
}

pub(crate) fn audit_of(url: &str) {
    audit::report(&PostgresReader::open(url).unwrap());
}
