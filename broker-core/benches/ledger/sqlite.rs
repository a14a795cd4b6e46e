//! SQLite: the ledger, the ledger with one commit a command, and the bare engine.

use std::path::Path;
use std::time::{Duration, Instant};

use broker_core::SqliteLedger;
use rusqlite::Connection;

use crate::exchanges::{Run, Turn, drive, report};

/// Short turns, one after the other: a disk's speed changes from one second to the next.
pub(crate) fn exchanges() {
    let time = Duration::from_secs_f64(crate::number("SECS", 2) as f64);
    let mut turns = Vec::new();
    for turn in 0..crate::number("ROUNDS", 9) {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        let ledger = |name: &str| Box::new(SqliteLedger::open(&of(name)).unwrap());
        let written = written_bytes();
        let grouped = drive(ledger("grouped.db"), 128, time);
        let written = written_bytes() - written;
        let size = std::fs::metadata(of("grouped.db")).unwrap().len();
        let rows = rows(&of("rows.db"), &of("grouped.db"), &grouped);
        let stored = bare(&of("stored.db"), &grouped, size, false);
        let carried = bare(&of("carried.db"), &grouped, written, true);
        let single = (turn % 3 == 0).then(|| drive(ledger("single.db"), 1, time).rate());
        turns.push(Turn { ledger: grouped.rate(), rows, stored, written: carried, single });
        println!(
            "sqlite turn {turn}: {:.0} exchanges/s, {:.0} commits/s, {} bytes stored and {} \
             written for each; bare engine with the same rows {rows:.0}/s, with the bytes stored \
             {stored:.0}/s, with the bytes written {carried:.0}/s",
            grouped.rate(),
            grouped.commits() as f64 / grouped.seconds,
            size / grouped.exchanges,
            written / grouped.exchanges,
        );
    }
    report("sqlite", &turns);
}

/// The rows of each commit of a ledger, put into the tables of another one in a durable commit,
/// with nothing decided, hashed or handed over: the same rows, indexes and checks, by few
/// statements. Exchanges a second.
fn rows(path: &Path, from: &Path, run: &Run) -> f64 {
    drop(SqliteLedger::open(path).unwrap());
    let mut db = Connection::open(path).unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.pragma_update(None, "foreign_keys", "ON").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 8192).unwrap();
    db.pragma_update(None, "cache_size", -16_384).unwrap();
    db.execute("ATTACH ?1 AS ledger", [from.to_str()]).unwrap();
    db.pragma_update(Some("ledger"), "cache_size", -16_384).unwrap();
    let began = Instant::now();
    let mut done = 0;
    for upto in run.ends.iter().copied() {
        let tx = db.transaction().unwrap();
        for sql in ROWS {
            tx.prepare_cached(sql).unwrap().execute([done, upto]).unwrap();
        }
        tx.commit().unwrap();
        done = upto;
    }
    let seconds = began.elapsed().as_secs_f64();
    let receipts = "SELECT (SELECT count(*) FROM main.receipt), (SELECT count(*) FROM open_hold)";
    let copied = db.query_row(receipts, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(copied, (i64::try_from(run.exchanges).unwrap(), 0_i64));
    run.exchanges as f64 / seconds
}

/// What a commit of a ledger writes, of the entries behind one place and up to another.
const ROWS: [&str; 6] = [
    "INSERT INTO main.entry SELECT * FROM ledger.entry WHERE seq > ?1 AND seq <= ?2",
    "INSERT INTO main.hold SELECT * FROM ledger.hold WHERE entry > ?1 AND entry <= ?2",
    "INSERT INTO main.open_hold SELECT entry FROM ledger.hold WHERE entry > ?1 AND entry <= ?2",
    "INSERT INTO main.receipt SELECT * FROM ledger.receipt WHERE entry > ?1 AND entry <= ?2",
    "DELETE FROM main.open_hold WHERE hold IN \
     (SELECT hold FROM ledger.receipt WHERE entry > ?1 AND entry <= ?2)",
    // A row that is as it was is not written.
    "INSERT INTO main.account SELECT * FROM ledger.account \
     WHERE user IN (SELECT user FROM ledger.entry WHERE seq > ?1 AND seq <= ?2) \
     ON CONFLICT (user) DO UPDATE SET cover = excluded.cover, held = excluded.held, \
     earned = excluded.earned, exchanges = account.exchanges + 1",
];

/// As many bytes in as many durable commits, into one table without an index; exchanges a second.
/// The bytes are those of the rows, or those that reach the disk with the log and its pages.
fn bare(path: &Path, run: &Run, bytes: u64, as_written: bool) -> f64 {
    let mut db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 8192).unwrap();
    db.execute_batch("CREATE TABLE row (n INTEGER PRIMARY KEY, bytes BLOB NOT NULL)").unwrap();
    let row = vec![0x5a_u8; usize::try_from(bytes / run.exchanges / 2).unwrap().min(2_000)];
    let (began, start) = (Instant::now(), written_bytes());
    let mut stored = 0;
    for commit in 1..=run.commits() {
        let due = bytes * commit / run.commits();
        let done = if as_written { written_bytes() - start } else { stored };
        let tx = db.transaction().unwrap();
        let mut insert = tx.prepare_cached("INSERT INTO row (bytes) VALUES (?1)").unwrap();
        let mut left = due.saturating_sub(done);
        while left > 0 {
            insert.execute([&row]).unwrap();
            stored += row.len() as u64;
            left = left.saturating_sub(row.len() as u64);
        }
        drop(insert);
        tx.commit().unwrap();
    }
    run.exchanges as f64 / began.elapsed().as_secs_f64()
}

/// What this process has given to the system to write, as Linux tells.
fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or_default()
}
