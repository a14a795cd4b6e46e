//! An audit names the leaf or the node of the receipt log that was changed behind the ledger's
//! back.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/forged_log.rs"]
mod forged_log;
#[cfg(feature = "postgres")]
#[path = "shared/pg.rs"]
mod pg;
#[path = "shared/tamper.rs"]
mod tamper;

use books::{NOW, log_all, prove, user};
use broker_core::{Command, Digest32, Ledger, SqliteLedger};
use forged_log::FORGERIES;
use tamper::{audit, change};

/// Three hundred leaves, the first ten of receipts that were let go. Leaf n is entry 2n + 3.
fn fill(ledger: &mut dyn Ledger, linked: impl Fn()) {
    prove(ledger, user(1), 0..300);
    linked();
    log_all(ledger);
    let retire = broker_core::Retire { upto: 22, archive: Digest32([7; 32]) };
    ledger.apply(&[Command::Retire(retire)], NOW).unwrap().remove(0).unwrap();
    linked();
    let report = ledger.audit().unwrap();
    assert_eq!((report.fault, report.receipts), (None, 290));
}

#[test]
fn every_forgery_of_the_log_in_a_file_is_found_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&original).unwrap();
    fill(&mut ledger, || ());
    drop(ledger);
    for (n, (sql, table, row)) in FORGERIES.iter().enumerate() {
        let copy = folder.path().join(format!("{n}.db"));
        std::fs::copy(&original, &copy).unwrap();
        change(&copy, &sql.replace("ZEROS", "zeroblob(32)"));
        let fault = audit(&copy).unwrap_or_else(|| panic!("{sql} is not found"));
        assert_eq!((fault.table, fault.row.as_str()), (*table, *row), "{sql}: {fault}");
    }
}

#[cfg(feature = "postgres")]
#[test]
fn every_forgery_of_the_log_in_postgresql_is_found_and_its_row_is_named() {
    use broker_core::{LedgerReader, PostgresLedger};
    let Some(server) = pg::server() else { return };
    for (sql, table, row) in FORGERIES {
        let database = server.database();
        let mut ledger = PostgresLedger::open(&database.url()).unwrap();
        let reader = ledger.reader().unwrap();
        let caretaker = ledger.caretaker(std::time::Duration::from_millis(10)).unwrap();
        fill(&mut ledger, || {
            while reader.unlinked().unwrap() > 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        caretaker.stop();
        let sql = sql.replace("ZEROS", "decode(repeat('00', 32), 'hex')");
        database.sql(&format!(
            "SET session_replication_role = replica; SET search_path = broker_ledger; {sql}"
        ));
        let fault = LedgerReader::audit(&*reader).unwrap().fault;
        let fault = fault.unwrap_or_else(|| panic!("{sql} is not found"));
        assert_eq!((fault.table, fault.row.as_str()), (*table, *row), "{sql}: {fault}");
    }
}

#[test]
fn the_log_s_tables_refuse_to_be_changed_without_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    fill(&mut ledger, || ());
    let raw = rusqlite::Connection::open(&path).unwrap();
    for table in ["log", "log_leaf", "log_node"] {
        let deleted = raw.execute(&format!("DELETE FROM {table}"), []);
        assert!(deleted.unwrap_err().to_string().contains("append-only"), "{table}");
    }
    let changed = raw.execute("UPDATE log_leaf SET hash = zeroblob(32)", []);
    assert!(changed.unwrap_err().to_string().contains("append-only"));
}

#[test]
fn another_program_that_holds_the_file_for_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    prove(&mut ledger, user(1), 0..10);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let holding = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        other.execute_batch("ROLLBACK").unwrap();
    });
    log_all(&mut ledger);
    holding.join().unwrap();
    assert_eq!(ledger.reader().unwrap().log().unwrap().size, 10);
}
