//! SQLite: the ledger, the ledger with one commit a command, and the bare engine.

use std::path::Path;
use std::time::{Duration, Instant};

use broker_core::SqliteLedger;
use rusqlite::Connection;

use crate::exchanges::{Run, drive};

pub(crate) fn exchanges() {
    let time = Duration::from_secs(crate::number("SECS", 5));
    for round in 1..=crate::number("ROUNDS", 3) {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        let ledger = |name: &str| Box::new(SqliteLedger::open(&of(name)).unwrap());
        let grouped = drive(ledger("grouped.db"), 128, time);
        let single = drive(ledger("single.db"), 1, time);
        let size = std::fs::metadata(of("grouped.db")).unwrap().len();
        let bare = bare(&of("bare.db"), &grouped, size);
        println!(
            "sqlite round {round}: {:.0} exchanges/s in {:.0} commits/s ({} bytes each); \
             bare engine {:.0}/s: ratio {:.2}; one commit a command {:.0}/s: {:.1} times",
            grouped.rate(),
            grouped.commits as f64 / grouped.seconds,
            size / grouped.exchanges,
            bare,
            grouped.rate() / bare,
            single.rate(),
            grouped.rate() / single.rate(),
        );
    }
}

/// As many bytes in as many durable commits, into one table without an index; exchanges a second.
fn bare(path: &Path, run: &Run, bytes: u64) -> f64 {
    let mut db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    db.pragma_update(None, "synchronous", "FULL").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 8192).unwrap();
    db.execute_batch("CREATE TABLE row (n INTEGER PRIMARY KEY, bytes BLOB NOT NULL)").unwrap();
    let row = vec![0x5a_u8; usize::try_from(bytes / run.exchanges / 2).unwrap()];
    let commands = run.exchanges * 2;
    let began = Instant::now();
    let mut written = 0;
    for commit in 1..=run.commits {
        let tx = db.transaction().unwrap();
        let mut insert = tx.prepare_cached("INSERT INTO row (bytes) VALUES (?1)").unwrap();
        while written < commands * commit / run.commits {
            insert.execute([&row]).unwrap();
            written += 1;
        }
        drop(insert);
        tx.commit().unwrap();
    }
    run.exchanges as f64 / began.elapsed().as_secs_f64()
}
