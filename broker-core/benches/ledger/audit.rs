//! An audit of a million transfers.

use std::path::Path;
use std::time::Instant;

use broker_core::{Command, Cover, Ledger, LedgerReader, SqliteLedger, SqliteReader};
use rusqlite::Connection;

use crate::books::{NOW, capture, neuron};
use crate::exchanges::{nth, payer};

pub(crate) const USERS: u64 = 100;

/// A tenth and the whole, to show that memory does not grow with it.
pub(crate) fn audit() {
    let transfers = crate::number("TRANSFERS", 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    for transfers in [transfers / 10, transfers] {
        let path = folder.path().join(format!("{transfers}.db"));
        let began = Instant::now();
        fill(&mut SqliteLedger::open(&path).unwrap(), transfers);
        println!(
            "filled: {:.0} exchanges/s",
            transfers as f64 / 3.0 / began.elapsed().as_secs_f64()
        );
        for round in 1..=crate::number("ROUNDS", 3) {
            let began = Instant::now();
            let rows = scan(&path);
            let scanned = began.elapsed().as_secs_f64();
            print!("audit round {round}: bare scan of {rows} rows {scanned:.2} s; ");
            // A process of its own, whose peak is the audit's.
            let mut process = std::process::Command::new(std::env::current_exe().unwrap());
            assert!(process.args(["audit-of", path.to_str().unwrap()]).status().unwrap().success());
        }
    }
}

pub(crate) fn audit_of(path: &str) {
    report(&SqliteReader::open(Path::new(path)).unwrap());
}

/// Audits, and says how long it took and how much memory this process had at most.
pub(crate) fn report(reader: &dyn LedgerReader) {
    let began = Instant::now();
    let report = reader.audit().unwrap();
    let audited = began.elapsed().as_secs_f64();
    assert_eq!(report.fault, None);
    println!(
        "audit of {} transfers, {} entries {audited:.2} s: {:.0} transfers/s, {} MiB at most",
        report.transfers,
        report.entries,
        report.transfers as f64 / audited,
        peak_kibibytes() / 1024,
    );
}

/// Three transfers an exchange: the hold, the fee and the rest.
pub(crate) fn fill(ledger: &mut dyn Ledger, transfers: u64) {
    for n in 0..USERS {
        let cover = Cover::UpTo(neuron(u128::MAX >> 8));
        ledger.apply(&[Command::Mirror { user: payer(n), cover }], NOW).unwrap();
    }
    let exchanges: Vec<u64> = (0..transfers / 3).collect();
    for some in exchanges.chunks(2_000) {
        let commands = some.iter().flat_map(|n| {
            let held = nth(*n, payer(n % USERS));
            [Command::Reserve(held.clone()), capture(&held, 25)]
        });
        ledger.apply(&commands.collect::<Vec<_>>(), NOW).unwrap();
    }
}

/// Every column of every row of the tables that an audit reads.
fn scan(path: &Path) -> u64 {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "cache_size", -65_536).unwrap();
    let mut rows = 0;
    for table in ["entry", "hold", "receipt"] {
        let mut statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            for column in 0..columns {
                std::hint::black_box(row.get_ref(column).unwrap());
            }
            rows += 1;
        }
    }
    rows
}

/// The most memory that the process ever had, as Linux tells.
fn peak_kibibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
