//! SQLite: the ledger, the ledger with one commit a command, and the bare engine.

use std::path::Path;
use std::time::{Duration, Instant};

use broker_core::SqliteLedger;
use rusqlite::Connection;

use crate::exchanges::{Run, drive, report};

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
        let stored = bare(&of("stored.db"), &grouped, size, false);
        let carried = bare(&of("carried.db"), &grouped, written, true);
        let single = (turn % 3 == 0).then(|| drive(ledger("single.db"), 1, time));
        turns.push([grouped.rate(), stored, carried, single.map_or(0.0, |run| run.rate())]);
        println!(
            "sqlite turn {turn}: {:.0} exchanges/s, {:.0} commits/s, {} bytes stored and {} \
             written for each; bare engine with the bytes stored {stored:.0}/s, with the bytes \
             written {carried:.0}/s",
            grouped.rate(),
            grouped.commits as f64 / grouped.seconds,
            size / grouped.exchanges,
            written / grouped.exchanges,
        );
    }
    report("sqlite", &turns);
}

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
    for commit in 1..=run.commits {
        let due = bytes * commit / run.commits;
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
