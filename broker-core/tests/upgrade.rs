//! A ledger of an earlier release is brought up to date in place, and nothing in it changes.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use std::path::{Path, PathBuf};

use books::{NOW, capture, hold, log_all, neuron, receipt_id, user};
use broker_core::{
    Applied, Command, Digest32, Hold, Ledger, LedgerError, LedgerReader, LogState, ProofReader,
    Refusal, RequestKey, Retire, SqliteLedger, SqliteReader,
};
use rusqlite::Connection;

/// What the releases that wrote them said of them.
const HEAD: &str = "039114c51f6bc54caac28a2beb11960efe50d89563ee34b4a388446a151e9cb4";
const HEAD_OF_2: &str = "819f6d184b14e31423604663e36ab59d202fd68c8d36f85d9283062917ebbaea";
const HEAD_OF_3: &str = "bbba509689e0030524b4925cabdcffe114561422456deaf83c7cb17cec9894fe";
const HEAD_OF_4: &str = "4a47ff3c5650ce182848f26f7322a220f4968fefd1024b20728568494c90cb66";

fn of_version(version: u8, folder: &Path) -> PathBuf {
    let sql = format!("../fixtures/ledger/version-{version}.sql");
    let sql = Path::new(env!("CARGO_MANIFEST_DIR")).join(sql);
    let path = folder.join("ledger.db");
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    raw.execute_batch(&std::fs::read_to_string(sql).unwrap()).unwrap();
    raw.pragma_update(None, "application_id", 0x3047_464c).unwrap();
    raw.pragma_update(None, "user_version", version).unwrap();
    path
}

#[test]
fn a_ledger_of_version_1_keeps_every_entry_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version(1, folder.path());
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let report = ledger.audit().unwrap();
    assert_eq!((report.entries, report.receipts, report.transfers), (13, 4, 13));
    assert_eq!((report.head.to_string().as_str(), report.fault), (HEAD, None));
    // The open hold can still end. What was earned before the escrow was seen was paid in another
    // way, and what comes after it can be collected.
    ledger.apply(&[capture(&hold(4, user(1), 7), 3)], NOW).unwrap().remove(0).unwrap();
    let escrow = Command::Escrow { user: user(1), cover: neuron(100), nonce: 0 };
    ledger.apply(&[escrow], NOW).unwrap().remove(0).unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    assert!(reader.unsealed(&user(1)).unwrap().is_none());
    let held = hold(7, user(1), 9);
    for command in [Command::Reserve(held.clone()), capture(&held, 9)] {
        ledger.apply(&[command], NOW).unwrap().remove(0).unwrap();
    }
    let unsealed = reader.unsealed(&user(1)).unwrap().unwrap();
    assert_eq!((unsealed.collected.total(), unsealed.collected.receipts()), (neuron(9), 1));
    assert_eq!(ledger.audit().unwrap().fault, None);
    drop(ledger);
    assert_eq!(SqliteLedger::open(&path).unwrap().audit().unwrap().fault, None);
}

#[test]
fn a_ledger_of_version_2_keeps_its_vouchers_and_the_ids_of_its_engines() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version(2, folder.path());
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let report = ledger.audit().unwrap();
    let counts = (report.entries, report.receipts, report.transfers, report.open_holds);
    assert_eq!(counts, (22, 5, 26, 1));
    assert_eq!((report.head.to_string().as_str(), report.fault), (HEAD_OF_2, None));
    let reader = SqliteReader::open(&path).unwrap();
    let settled = reader.statement(&user(1)).unwrap().unwrap();
    assert_eq!((settled.settled, settled.books.carry), (neuron(45), neuron(15)));
    let by_engine = |owner: u8| {
        let found = reader.receipt_by_upstream_id("engine", Some(&user(owner))).unwrap();
        found.map(|receipt| receipt.id)
    };
    assert_eq!([by_engine(3), by_engine(4)], [1, 2].map(|n| Some(receipt_id(n))));
    // The second receipt of user 3 that carries the id takes the place of the first one.
    let archive = Digest32([7; 32]);
    let gone = |upto: u64| Command::Retire(Retire { upto, archive });
    ledger.apply(&[gone(4)], NOW).unwrap().remove(0).unwrap();
    assert_eq!(by_engine(3), Some(receipt_id(7)));
    ledger.apply(&[capture(&hold(6, user(3), 7), 3), gone(99)], NOW).unwrap();
    assert_eq!([by_engine(3), by_engine(4)], [None, None]);
    assert_eq!(ledger.audit().unwrap().fault, None);
}

#[test]
fn a_ledger_of_version_3_counts_its_exchanges_and_begins_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version(3, folder.path());
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let report = ledger.audit().unwrap();
    let counts = (report.entries, report.receipts, report.accounts, report.open_holds);
    assert_eq!(counts, (11, 2, 3, 2));
    assert_eq!((report.head.to_string().as_str(), report.fault), (HEAD_OF_3, None));
    let exchanges = [1, 2, 3, 4].map(|n| ledger.account(&user(n)).unwrap().exchanges);
    assert_eq!(exchanges, [3, 1, 1, 0]);
    let reader = SqliteReader::open(&path).unwrap();
    let log = reader.log().unwrap();
    assert_eq!((log.size, reader.unlogged(9).unwrap()), (0, vec![]));
    assert_eq!(reader.charged_to(&user(2), 0, 9).unwrap().len(), 1);
    // The next exchanges of everybody go on from there, and those with a proof stand in the log.
    for (n, who, account_seq) in [(6, 1, 4), (8, 3, 2), (10, 4, 1)] {
        let held = hold(n, user(who), 0);
        let decided = ledger.apply(&[Command::Reserve(held.clone())], NOW).unwrap().remove(0);
        assert_eq!(decided, Ok(Applied::Held { account_seq }));
        ledger.apply(&[capture(&held, 0)], NOW).unwrap().remove(0).unwrap();
    }
    // Receipts of before need not stand there to go.
    let archive = Digest32([7; 32]);
    ledger.apply(&[Command::Retire(Retire { upto: 99, archive })], NOW).unwrap();
    assert_eq!(reader.totals().unwrap().receipts, 3);
    log_all(&mut ledger);
    assert_eq!(reader.log().unwrap(), LogState { size: 3, ..log });
    assert_eq!(ledger.audit().unwrap().fault, None);
    drop((ledger, reader));
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.reader().unwrap().log().unwrap(), LogState { size: 3, ..log });
}

#[test]
fn a_ledger_of_version_4_finds_its_holds_and_its_engines_ids_in_other_ways() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version(4, folder.path());
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let report = ledger.audit().unwrap();
    let counts = (report.entries, report.receipts, report.transfers, report.open_holds);
    assert_eq!(counts, (18, 5, 25, 2));
    assert_eq!((report.head.to_string().as_str(), report.fault), (HEAD_OF_4, None));
    let reader = SqliteReader::open(&path).unwrap();
    let found = |id: &str, owner: Option<u8>| {
        let owner = owner.map(user);
        let found = reader.receipt_by_upstream_id(id, owner.as_ref()).unwrap();
        found.map(|receipt| receipt.id)
    };
    let by_engine = [Some(1), Some(2), None].map(|owner| found("engine", owner));
    assert_eq!(by_engine, [Some(receipt_id(5)), Some(receipt_id(3)), None]);
    assert_eq!(found("first", None), Some(receipt_id(1)));
    let own = format!("chatcmpl-{}", receipt_id(7));
    assert_eq!([None, Some(1)].map(|owner| found(&own, owner)), [Some(receipt_id(7)), None]);
    // Holds under both kinds of keys can end, and no key is taken twice.
    let named = |n: u8, who: u8| Hold {
        key: RequestKey::derive(&user(who), &[n]),
        ..hold(n, user(who), 9)
    };
    for open in [hold(6, user(1), 9), named(9, 1)] {
        let twice = ledger.apply(&[Command::Reserve(open.clone())], NOW).unwrap().remove(0);
        assert_eq!(twice, Err(Refusal::InFlight { receipt: open.receipt }));
        ledger.apply(&[capture(&open, 3)], NOW).unwrap().remove(0).unwrap();
    }
    for (ended, why) in [(hold(2, user(1), 9), 2), (named(8, 1), 8)] {
        let again = ledger.apply(&[Command::Reserve(ended)], NOW).unwrap().remove(0);
        assert_eq!(again, Err(Refusal::Finished { receipt: receipt_id(why) }));
    }
    assert_eq!(ledger.audit().unwrap().fault, None);
}

#[test]
fn a_reader_changes_no_ledger_and_says_how_it_gets_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = of_version(1, folder.path());
    let before = std::fs::read(&path).unwrap();
    let error = SqliteReader::open(&path).err().unwrap();
    assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains("start the sidecar on it once"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
