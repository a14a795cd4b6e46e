//! An audit names the row that was changed behind the ledger's back.
#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/tamper.rs"]
mod tamper;

use std::path::{Path, PathBuf};

use books::{NOW, capture, hold, key, neuron, receipt, release, user};
use broker_core::{
    Bucket, Command, Cover, Digest32, Entry, EntryKind, Ledger, LedgerReader, Movement, Receipt,
    ReleaseReason, SqliteLedger, SqliteReader, Usage,
};
use rusqlite::Connection;
use tamper::{audit, change};

/// SQL that changes the books, the table at fault, and how the row's name begins.
type Tampering = (&'static str, &'static str, &'static str);

/// The books hold thirteen transfers in these entries: 1 and 2 the covers of both accounts, 3 and 4
/// hold 1 and its fee and rest, 5 and 6 hold 2 and its release, 7 and 8 hold 3 of the unlimited
/// account, topped up, and its fee, 9 the open hold 4, 10 and 11 the free exchange 5, 12 and 13
/// exchange 6, whose engine repeated the id of exchange 3.
const TAMPERINGS: &[Tampering] = &[
    ("UPDATE entry SET kind = 4 WHERE seq = 4", E, "4"),
    ("UPDATE entry SET kind = 9 WHERE seq = 4", E, "4"),
    ("UPDATE entry SET user = zeroblob(20) WHERE seq = 5", E, "5"),
    ("UPDATE entry SET key = NULL WHERE seq = 6", E, "6"),
    ("UPDATE entry SET memo = zeroblob(32) WHERE seq = 3", E, "3"),
    ("UPDATE entry SET at = at + 1 WHERE seq = 7", E, "7"),
    ("UPDATE entry SET digest = zeroblob(32) WHERE seq = 8", E, "8"),
    ("UPDATE entry SET seq = 99 WHERE seq = 13", E, "99"),
    ("DELETE FROM entry WHERE seq = 2", E, "3"),
    ("DELETE FROM entry WHERE seq = 3", E, "4"),
    ("DELETE FROM entry WHERE seq = 11", E, "12"),
    ("DELETE FROM entry WHERE seq = 13", R, "0606"),
    ("UPDATE entry SET amount1 = x'0000000000000000000000000000ffff' WHERE seq = 4", E, "4"),
    ("UPDATE entry SET amount1 = zeroblob(16) WHERE seq = 3", E, "3"),
    ("UPDATE entry SET amount1 = x'01' WHERE seq = 4", E, "4"),
    ("UPDATE entry SET debit1 = credit1 WHERE seq = 3", E, "3"),
    ("UPDATE entry SET credit1 = 9 WHERE seq = 3", E, "3"),
    ("UPDATE entry SET credit2 = NULL WHERE seq = 4", E, "4"),
    (
        "UPDATE entry SET debit2 = debit1, credit2 = credit1, amount2 = amount1, debit1 = NULL, \
         credit1 = NULL, amount1 = NULL WHERE seq = 3",
        E,
        "3",
    ),
    (
        "UPDATE entry SET debit3 = debit2, credit3 = credit2, amount3 = amount2, debit2 = NULL, \
         credit2 = NULL, amount2 = NULL WHERE seq = 4",
        E,
        "4",
    ),
    (
        "UPDATE entry SET debit1 = m.debit1, credit1 = m.credit1, amount1 = m.amount1 FROM \
         (SELECT debit1, credit1, amount1 FROM entry WHERE seq = 9) m WHERE seq = 10",
        E,
        "10",
    ),
    ("UPDATE entry SET debit1 = NULL, credit1 = NULL, amount1 = NULL WHERE seq = 4", E, "4"),
    ("UPDATE entry SET debit2 = NULL, credit2 = NULL, amount2 = NULL WHERE seq = 4", E, "4"),
    ("UPDATE entry SET debit1 = NULL, credit1 = NULL, amount1 = NULL WHERE seq = 9", E, "9"),
    ("UPDATE hold SET key = zeroblob(32) WHERE entry = 9", "hold", "0000"),
    ("UPDATE hold SET fingerprint = zeroblob(32) WHERE entry = 3", "hold", "0101"),
    ("UPDATE hold SET receipt = zeroblob(16) WHERE entry = 3", "hold", "0101"),
    ("UPDATE hold SET receipt = zeroblob(16) WHERE entry = 5", "hold", "0202"),
    ("UPDATE hold SET receipt = zeroblob(16) WHERE entry = 9", "hold", "0404"),
    ("UPDATE hold SET user = zeroblob(20) WHERE entry = 9", "hold", "0404"),
    ("UPDATE hold SET amount = x'000000000000000000000000000000ff' WHERE entry = 9", "hold", "04"),
    ("UPDATE hold SET input_price = zeroblob(16) WHERE entry = 3", "hold", "0101"),
    ("UPDATE hold SET output_price = zeroblob(16) WHERE entry = 9", "hold", "0404"),
    ("UPDATE hold SET expires = expires + 1 WHERE entry = 9", "hold", "0404"),
    ("UPDATE hold SET opened_at = opened_at + 1 WHERE entry = 3", "hold", "0101"),
    ("UPDATE hold SET entry = 99 WHERE entry = 9", E, "9"),
    ("DELETE FROM hold WHERE entry = 5", E, "5"),
    ("DELETE FROM hold WHERE entry = 9; DELETE FROM open_hold", E, "9"),
    ("DELETE FROM hold WHERE entry = 10", E, "10"),
    (
        "UPDATE hold SET key = (SELECT key FROM hold WHERE entry = 10) WHERE entry = 9",
        "hold",
        "0505",
    ),
    ("DELETE FROM open_hold", "hold", "0404"),
    ("INSERT INTO open_hold VALUES (3)", "open_hold", "3"),
    ("INSERT INTO open_hold VALUES (99)", "open_hold", "99"),
    ("UPDATE receipt SET fee = zeroblob(16) WHERE status = 201", R, "01010101-"),
    ("UPDATE receipt SET output = 5 WHERE status = 205", R, "05050505-"),
    ("UPDATE receipt SET outcome = 77 WHERE status = 203", R, "03030303-"),
    ("UPDATE receipt SET signature = x'00' WHERE status = 203", R, "03030303-"),
    ("UPDATE receipt SET upstream_id = NULL WHERE status = 203", R, "03030303-"),
    ("UPDATE receipt SET upstream_id = CAST(x'ff' AS TEXT) WHERE status = 203", R, "03030303-"),
    ("UPDATE receipt SET hold = 9 WHERE status = 201", R, "01010101-"),
    ("UPDATE receipt SET hold = 99 WHERE status = 201", R, "01010101-"),
    ("UPDATE receipt SET entry = 99 WHERE status = 201", E, "4"),
    ("DELETE FROM receipt WHERE status = 201", E, "4"),
    ("DELETE FROM receipt WHERE status = 205", E, "11"),
    ("DELETE FROM hold WHERE entry = 10; DELETE FROM receipt WHERE status = 205", E, "10"),
    ("UPDATE released SET why = 9", "released", "0202"),
    ("UPDATE released SET why = 1", "released", "0202"),
    ("UPDATE released SET at = at + 1", "released", "0202"),
    ("UPDATE released SET entry = 99", E, "6"),
    ("UPDATE released SET hold = 9", "released", "0404"),
    ("UPDATE released SET hold = 99", "released", "without a name"),
    ("DELETE FROM released", E, "6"),
    ("INSERT INTO released VALUES (99, 10, 1, 1)", "released", "0505"),
    ("UPDATE account SET earned = zeroblob(16) WHERE NOT unlimited", "account", "0x0101"),
    ("UPDATE account SET cover = held WHERE unlimited", "account", "0x0202"),
    ("UPDATE account SET held = cover WHERE NOT unlimited", "account", "0x0101"),
    ("UPDATE account SET vouchered = earned WHERE unlimited", "account", "0x0202"),
    ("UPDATE account SET unlimited = 1 WHERE NOT unlimited", "account", "0x0101"),
    ("UPDATE account SET unlimited = 0 WHERE unlimited", "account", "0x0202"),
    ("UPDATE account SET exchanges = exchanges - 1 WHERE unlimited", "account", "0x0202"),
    ("UPDATE account SET exchanges = 9 WHERE NOT unlimited", "account", "0x0101"),
    ("DELETE FROM account WHERE unlimited", "account", "0x0202"),
    (
        "INSERT INTO account SELECT zeroblob(20), cover, held, earned, vouchered, 0, 0, 0 FROM \
         account WHERE unlimited",
        "account",
        "0x0000",
    ),
];

const E: &str = "entry";
const R: &str = "receipt";

#[test]
fn the_books_are_sound_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let report = SqliteReader::open(&books(folder.path())).unwrap().audit().unwrap();
    let counts = (report.accounts, report.receipts, report.open_holds);
    assert_eq!((report.entries, report.transfers, counts), (13, 13, (2, 4, 1)));
    assert_eq!(report.fault, None);
}

#[test]
fn every_tampering_is_found_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = books(folder.path());
    let mut wrong = Vec::new();
    for (n, (sql, table, row)) in TAMPERINGS.iter().enumerate() {
        let copy = folder.path().join(format!("{n}.db"));
        std::fs::copy(&original, &copy).unwrap();
        change(&copy, sql);
        match audit(&copy) {
            Some(fault) if fault.table == *table && fault.row.starts_with(row) => {}
            Some(fault) => wrong.push(format!("{sql}\n  is said to be {fault}")),
            None => wrong.push(format!("{sql}\n  is not found")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_index_that_is_gone_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let original = books(folder.path());
    for name in ["hold_of_name", "receipt_of_engine"] {
        let copy = folder.path().join(name);
        std::fs::copy(&original, &copy).unwrap();
        let raw = Connection::open(&copy).unwrap();
        raw.execute_batch(&format!("DROP INDEX {name}")).unwrap();
        drop(raw);
        let fault = audit(&copy).unwrap();
        assert_eq!((fault.table, fault.row.as_str()), ("database", name));
    }
}

/// Somebody who writes the whole chain anew is refuted by the prices; nothing but a head that was
/// told to others refutes what fits.
#[test]
fn a_fee_that_does_not_follow_from_the_usage_is_found_even_in_a_chain_that_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let held = hold(1, user(1), 60);
    let cover = Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(100)) };
    ledger.apply(&[cover, Command::Reserve(held.clone()), capture(&held, 25)], NOW).unwrap();
    drop(ledger);
    let honest = receipt(&held, 25);
    let forged = Receipt { usage: Usage { input: 24, ..honest.usage }, ..honest };
    change(&path, "UPDATE receipt SET input = 24");
    let raw = Connection::open(&path).unwrap();
    let before: Vec<u8> =
        raw.query_row("SELECT digest FROM entry WHERE seq = 2", [], |row| row.get(0)).unwrap();
    let (earned, available) = (Bucket::Earned, Bucket::Available);
    let movements = [(earned, 25), (available, 35)].map(|(credit, amount)| Movement {
        user: user(1),
        debit: Bucket::Held,
        credit,
        amount: neuron(amount),
    });
    let entry = Entry {
        number: 3,
        seq: 3,
        kind: EntryKind::Capture,
        user: user(1),
        key: Some(key(1)),
        memo: forged.digest(),
        at: NOW,
        movements: movements.to_vec(),
    };
    let (memo, digest) = (entry.memo, entry.digest(&Digest32(before.try_into().unwrap())));
    let sql = format!("UPDATE entry SET memo = x'{memo}', digest = x'{digest}' WHERE seq = 3");
    change(&path, &sql);
    let fault = audit(&path).unwrap();
    assert_eq!(fault.table, "receipt");
    assert!(fault.what.contains("its fee is 25, and its usage costs 24"), "{fault}");
}

#[test]
fn a_file_whose_pages_were_overwritten_is_refuted() {
    let folder = tempfile::tempdir().unwrap();
    let original = books(folder.path());
    let raw = Connection::open(&original).unwrap();
    let tables = ["account", "entry", "hold", "receipt", "receipt_of_engine"];
    for table in tables {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: u32 = raw.query_row(sql, [table], |row| row.get(0)).unwrap();
        let page = usize::try_from(page).unwrap();
        let mut bytes = std::fs::read(&original).unwrap();
        bytes[(page - 1) * 4096..page * 4096].fill(0xff);
        let copy = folder.path().join(format!("{table}.db"));
        std::fs::write(&copy, bytes).unwrap();
        let fault = audit(&copy).unwrap();
        assert_eq!((fault.table, fault.row.as_str()), ("database", "image"), "{table}: {fault}");
    }
}

#[test]
fn the_tables_refuse_to_be_changed_without_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let raw = Connection::open(books(folder.path())).unwrap();
    for table in ["entry", "hold", "receipt", "released"] {
        let deleted = raw.execute(&format!("DELETE FROM {table}"), []);
        assert!(deleted.unwrap_err().to_string().contains("append-only"), "{table}");
    }
    for sql in
        ["UPDATE entry SET at = 1", "UPDATE hold SET expires = 1", "UPDATE released SET at = 1"]
    {
        assert!(raw.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
    }
    assert!(raw.execute("DELETE FROM transfer", []).is_err());
}

#[test]
fn what_entries_moved_can_be_read_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let raw = Connection::open(books(folder.path())).unwrap();
    let sql = "SELECT n, debit, credit, hex(amount) FROM transfer WHERE entry = 4 ORDER BY n";
    let mut statement = raw.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, String>(3)?))
    });
    let rows: Vec<_> = rows.unwrap().collect::<Result<_, _>>().unwrap();
    let [held, earned, available] = [Bucket::Held, Bucket::Earned, Bucket::Available].map(code);
    let amount = |neuron: u8| format!("{neuron:032X}");
    assert_eq!(rows, [(1, held, earned, amount(25)), (2, held, available, amount(35))]);
    let all: i64 = raw.query_row("SELECT count(*) FROM transfer", [], |row| row.get(0)).unwrap();
    assert_eq!(all, 13);
}

fn code(bucket: Bucket) -> i64 {
    i64::from(bucket as u8)
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
    let aliased =
        |alias: &str, plain: Receipt| Receipt { upstream_id: Some(alias.to_owned()), ..plain };
    let commands = [
        Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(100)) },
        Command::Mirror { user: user(2), cover: Cover::Unlimited },
        Command::Reserve(hold(1, user(1), 60)),
        finish(with_status(1, 1, 60, 25), 1),
        Command::Reserve(hold(2, user(1), 5)),
        release(2, ReleaseReason::NotForwarded),
        Command::Reserve(hold(3, user(2), 30)),
        finish(aliased("engine", with_status(3, 2, 30, 30)), 3),
        Command::Reserve(hold(4, user(1), 7)),
        Command::Reserve(hold(5, user(1), 0)),
        finish(aliased("free", with_status(5, 1, 0, 0)), 5),
        Command::Reserve(hold(6, user(2), 8)),
        finish(aliased("engine", with_status(6, 2, 8, 8)), 6),
        // Refused, so it leaves no trace.
        capture(&hold(7, user(1), 1), 1),
    ];
    let decisions = ledger.apply(&commands, NOW).unwrap();
    assert_eq!(decisions.iter().filter(|decision| decision.is_err()).count(), 1);
    path
}
