//! An audit names the row that was changed behind the ledger's back.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use std::path::{Path, PathBuf};

use books::{NOW, capture, hold, key, neuron, receipt, release, user};
use broker_core::{
    Command, Cover, Fault, Ledger, Receipt, ReleaseReason, SqliteLedger, SqliteReader,
};
use rusqlite::Connection;

/// SQL that changes the books, the table at fault, and how the row's name begins.
type Tampering = (&'static str, &'static str, &'static str);

/// The books hold ten transfers: 1 and 2 cover and hold 1, 3 and 4 its fee and rest, 5 and 6 hold 2
/// and its release, 7 to 9 the hold, topped up, and the fee of the unlimited account, 10 the open
/// hold 4. Hold 5 was free.
const TAMPERINGS: &[Tampering] = &[
    ("UPDATE transfer SET amount = x'0000000000000000000000000000ffff' WHERE seq = 3", T, "3"),
    ("UPDATE transfer SET amount = zeroblob(16) WHERE seq = 3", T, "3"),
    ("UPDATE transfer SET amount = x'01' WHERE seq = 4", T, "4"),
    ("UPDATE transfer SET debit = credit WHERE seq = 2", T, "2"),
    ("UPDATE transfer SET credit = 9 WHERE seq = 2", T, "2"),
    ("UPDATE transfer SET kind = 4 WHERE seq = 4", T, "4"),
    ("UPDATE transfer SET user = zeroblob(20) WHERE seq = 5", T, "5"),
    ("UPDATE transfer SET key = NULL WHERE seq = 6", T, "6"),
    ("UPDATE transfer SET memo = zeroblob(32) WHERE seq = 3", T, "3"),
    ("UPDATE transfer SET at = at + 1 WHERE seq = 7", T, "7"),
    ("UPDATE transfer SET digest = zeroblob(32) WHERE seq = 8", T, "8"),
    ("UPDATE transfer SET seq = 99 WHERE seq = 10", T, "99"),
    ("DELETE FROM transfer WHERE seq = 2", T, "3"),
    ("DELETE FROM transfer WHERE seq = 10", "hold", "04040404"),
    ("UPDATE hold SET amount = x'000000000000000000000000000000ff' WHERE n = 4", "hold", "0404"),
    ("UPDATE hold SET user = zeroblob(20) WHERE n = 4", "hold", "0404"),
    ("UPDATE hold SET receipt = zeroblob(16) WHERE n = 1", "receipt", "01010101-0101"),
    ("DELETE FROM hold WHERE n = 2", "released", "0202"),
    ("DELETE FROM hold WHERE n = 5", "receipt", "05050505-"),
    ("DELETE FROM open_hold", "hold", "0404"),
    ("INSERT INTO open_hold SELECT key FROM hold WHERE n = 1", "hold", "0101"),
    ("INSERT INTO open_hold VALUES (zeroblob(32))", "open_hold", "0000"),
    ("UPDATE receipt SET fee = zeroblob(16) WHERE status = 201", "receipt", "01010101-"),
    ("UPDATE receipt SET output = 5 WHERE status = 205", "receipt", "05050505-"),
    ("UPDATE receipt SET outcome = 77 WHERE status = 203", "receipt", "03030303-"),
    ("UPDATE receipt SET signature = x'00' WHERE status = 203", "receipt", "03030303-"),
    ("UPDATE receipt SET upstream_id = NULL WHERE status = 203", "receipt", "03030303-"),
    ("UPDATE receipt SET key = zeroblob(32) WHERE status = 201", "receipt", "01010101-"),
    ("DELETE FROM receipt WHERE status = 201", "hold", "0101"),
    ("DELETE FROM receipt WHERE status = 205", "hold", "0505"),
    ("UPDATE released SET why = 9", "released", "0202"),
    ("UPDATE released SET key = (SELECT key FROM hold WHERE n = 4)", "released", "0404"),
    ("DELETE FROM released", "hold", "0202"),
    ("INSERT INTO released SELECT key, 1, 1 FROM hold WHERE n = 5", "hold", "0505"),
    ("UPDATE upstream_alias SET alias = 'other'", "upstream_alias", "other"),
    ("DELETE FROM upstream_alias", "receipt", "03030303-"),
    ("UPDATE account SET earned = zeroblob(16) WHERE NOT unlimited", "account", "0x0101"),
    ("UPDATE account SET cover = held WHERE unlimited", "account", "0x0202"),
    ("UPDATE account SET held = cover WHERE NOT unlimited", "account", "0x0101"),
    ("UPDATE account SET vouchered = earned WHERE unlimited", "account", "0x0202"),
    ("DELETE FROM account WHERE unlimited", "account", "0x0202"),
    (
        "INSERT INTO account SELECT zeroblob(20), cover, held, earned, vouchered, 0 FROM account \
      WHERE unlimited",
        "account",
        "0x0000",
    ),
];

const T: &str = "transfer";

#[test]
fn the_books_are_sound_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let report = SqliteReader::open(&books(folder.path())).unwrap().audit().unwrap();
    let counts = (report.transfers, report.accounts, report.receipts, report.open_holds);
    assert_eq!((counts, report.fault), ((10, 2, 3, 1), None));
}

#[test]
fn every_tampering_is_found_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = books(folder.path());
    for (n, (sql, table, row)) in TAMPERINGS.iter().enumerate() {
        let copy = folder.path().join(format!("{n}.db"));
        std::fs::copy(&original, &copy).unwrap();
        change(&copy, sql);
        let fault = audit(&copy).unwrap_or_else(|| panic!("not found: {sql}"));
        let named = fault.table == *table && fault.row.starts_with(row);
        assert!(named, "{sql}\nis {table} {row}…, and the audit says {fault}");
    }
}

#[test]
fn a_forged_receipt_with_a_digest_of_its_own_does_not_fit_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let path = books(folder.path());
    let forged = Receipt { status: 599, ..receipt(&hold(1, user(1), 60), 25) };
    let hex = forged.digest().to_string();
    change(&path, "UPDATE receipt SET status = 599 WHERE status = 201");
    change(&path, &format!("UPDATE receipt SET digest = x'{hex}' WHERE status = 599"));
    let fault = audit(&path).unwrap();
    assert_eq!(fault.table, "receipt");
    assert!(fault.what.contains("the chain has another receipt"), "{fault}");
}

#[test]
fn the_tables_refuse_to_be_changed_without_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let raw = Connection::open(books(folder.path())).unwrap();
    for table in ["transfer", "hold", "receipt", "released", "upstream_alias"] {
        let deleted = raw.execute(&format!("DELETE FROM {table}"), []);
        assert!(deleted.unwrap_err().to_string().contains("append-only"), "{table}");
    }
    for sql in ["UPDATE transfer SET at = 1", "UPDATE hold SET n = n", "UPDATE released SET at = 1"]
    {
        assert!(raw.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
}

/// Books with every kind of row, closed.
fn books(folder: &Path) -> PathBuf {
    let path = folder.join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let with_status = |n: u8, owner: u8, amount: u128, fee: u128| {
        let plain = receipt(&hold(n, user(owner), amount), fee);
        Receipt { status: 200 + u16::from(n), ..plain }
    };
    let finish =
        |receipt: Receipt, n: u8| Command::Capture { key: key(n), receipt: Box::new(receipt) };
    let aliased = Receipt { upstream_id: Some("engine".to_owned()), ..with_status(3, 2, 30, 30) };
    let commands = [
        Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(100)) },
        Command::Mirror { user: user(2), cover: Cover::Unlimited },
        Command::Reserve(hold(1, user(1), 60)),
        finish(with_status(1, 1, 60, 25), 1),
        Command::Reserve(hold(2, user(1), 5)),
        release(2, ReleaseReason::NotForwarded),
        Command::Reserve(hold(3, user(2), 30)),
        finish(aliased, 3),
        Command::Reserve(hold(4, user(1), 7)),
        Command::Reserve(hold(5, user(1), 0)),
        finish(with_status(5, 1, 0, 0), 5),
        // Refused, so it leaves no trace.
        capture(&hold(6, user(1), 1), 1),
    ];
    let decisions = ledger.apply(&commands, NOW).unwrap();
    assert_eq!(decisions.iter().filter(|decision| decision.is_err()).count(), 1);
    path
}

/// Changes a ledger as somebody with the file and without scruples would.
fn change(path: &Path, sql: &str) {
    let raw = Connection::open(path).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    let mut triggers =
        raw.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").unwrap();
    let names: Vec<String> =
        triggers.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    for name in names {
        raw.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    let changed = raw.execute(sql, []).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(changed > 0, "{sql} changes nothing");
}

fn audit(path: &Path) -> Option<Fault> {
    SqliteReader::open(path).unwrap().audit().unwrap().fault
}
