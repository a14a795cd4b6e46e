//! An audit names the row about collecting that was changed behind the ledger's back.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/tamper.rs"]
mod tamper;
#[path = "shared/vouchers.rs"]
mod vouchers;

use std::path::{Path, PathBuf};

use books::{NOW, capture, hold, neuron, user};
use broker_core::{Command, Ledger, LedgerReader, SqliteLedger, SqliteReader};
use tamper::{audit, change};
use vouchers::{BINDING, seal, settle, signed};

/// SQL that changes the books, the table at fault, and how the row's name begins. Entries: 1 the
/// binding, 2 the escrow, 3 to 6 two exchanges, 7 the first voucher, 8 its end with a rest, 9 the
/// escrow again, 10 and 11 an exchange, 12 the second voucher, 13 its second signature, 14 another
/// user's escrow, 15 that one's freeze.
const TAMPERINGS: &[(&str, &str, &str)] = &[
    ("UPDATE binding SET provider = zeroblob(20)", "binding", "1"),
    ("UPDATE binding SET chain_id = 1", "binding", "1"),
    ("DELETE FROM binding", "entry", "1"),
    ("UPDATE escrow SET nonce = 4 WHERE entry = 2", "escrow", "2"),
    ("UPDATE escrow SET cover = zeroblob(16) WHERE entry = 9", "escrow", "9"),
    ("DELETE FROM escrow WHERE entry = 2", "entry", "2"),
    ("DELETE FROM escrow WHERE entry = 9", "entry", "9"),
    ("UPDATE voucher SET total = x'000000000000000000000000000000ff' WHERE entry = 7", V, "7"),
    ("UPDATE voucher SET nonce = 9 WHERE entry = 12", V, "12"),
    ("UPDATE voucher SET requests_hash = zeroblob(32) WHERE entry = 12", V, "12"),
    ("UPDATE voucher SET carry = zeroblob(16) WHERE entry = 12", "voucher", "12"),
    ("UPDATE voucher SET sealed_to = 4 WHERE entry = 7", "voucher", "7"),
    ("UPDATE voucher SET since = 8 WHERE entry = 7", "voucher", "7"),
    ("DELETE FROM voucher WHERE entry = 12", "entry", "12"),
    ("DELETE FROM voucher WHERE entry = 7", "entry", "7"),
    ("UPDATE voucher_signature SET signature = zeroblob(65) WHERE entry = 13", G, "13"),
    ("UPDATE voucher_signature SET signer = zeroblob(20) WHERE entry = 7", G, "7"),
    ("DELETE FROM voucher_signature WHERE entry = 7", "voucher", "7"),
    ("DELETE FROM voucher_signature WHERE entry = 13", "entry", "13"),
    ("UPDATE settled SET paid = x'0000000000000000000000000000000f'", "settled", "8"),
    ("UPDATE settled SET tx = zeroblob(32)", "settled", "8"),
    ("UPDATE settled SET block_number = 1", "settled", "8"),
    ("DELETE FROM settled", "entry", "8"),
    ("DELETE FROM open_voucher", "open_voucher", "0x01"),
    ("INSERT INTO open_voucher VALUES (zeroblob(20), 7)", "open_voucher", "0x0000"),
    ("UPDATE freeze SET nonce = 1", "freeze", "15"),
    ("DELETE FROM freeze", "entry", "15"),
    ("UPDATE account SET frozen = 0 WHERE frozen", "account", "0x0202"),
    (
        "UPDATE books SET nonce = 9 WHERE user = x'0101010101010101010101010101010101010101'",
        B,
        "0x01",
    ),
    ("UPDATE books SET sealed_to = 0", B, "0x01"),
    ("UPDATE books SET carry = x'00000000000000000000000000000001'", B, "0x01"),
    ("DELETE FROM books", B, "0x01"),
    ("UPDATE account SET earned = x'00000000000000000000000000000001'", "account", "0x01"),
];

/// The tables that are named most.
const G: &str = "voucher_signature";
const V: &str = "voucher";
const B: &str = "books";

#[test]
fn every_tampering_is_found_and_its_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = books(folder.path());
    assert_eq!(audit(&sound), None);
    let mut wrong = Vec::new();
    for (sql, table, row) in TAMPERINGS {
        let path = folder.path().join("tampered.db");
        std::fs::copy(&sound, &path).unwrap();
        change(&path, sql);
        match audit(&path) {
            Some(fault) if fault.table == *table && fault.row.starts_with(row) => {}
            Some(fault) => wrong.push(format!("{sql}\n  is said to be {fault}")),
            None => wrong.push(format!("{sql}\n  is not found")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn books(folder: &Path) -> PathBuf {
    let path = folder.join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    let mut apply = |command: Command| {
        ledger.apply(&[command], NOW).unwrap().remove(0).unwrap();
    };
    let charge = |n: u8, fee: u128| {
        let held = hold(n, user(1), fee);
        [Command::Reserve(held.clone()), capture(&held, fee)]
    };
    let seal = || Command::Seal(Box::new(seal(&reader, user(1))));
    let escrow = |who: u8, cover: u128, nonce: u64| Command::Escrow {
        user: user(who),
        cover: neuron(cover),
        nonce,
    };
    apply(Command::Bind(BINDING));
    apply(escrow(1, 100, 5));
    charge(1, 30).into_iter().chain(charge(2, 10)).for_each(&mut apply);
    apply(seal());
    apply(settle(user(1), 6, 35, 0));
    apply(escrow(1, 200, 6));
    charge(3, 7).into_iter().for_each(&mut apply);
    apply(seal());
    let open = reader.open_vouchers().unwrap().remove(0);
    apply(Command::Countersign(Box::new(signed(open.voucher, 0x22))));
    apply(escrow(2, 1, 0));
    apply(Command::Freeze { user: user(2), nonce: 3 });
    drop((ledger, reader));
    // One file, so that a copy has all of it.
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    path
}
