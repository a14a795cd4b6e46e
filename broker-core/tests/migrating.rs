//! A ledger in a file becomes one in PostgreSQL, to the neuron and to the link.
#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/full.rs"]
mod full;
#[path = "shared/pg.rs"]
mod pg;
#[path = "shared/tamper.rs"]
mod tamper;

use std::path::Path;

use books::{NOW, capture, hold, neuron, receipt_id, user};
use broker_core::ledger::migrate::migrate;
use broker_core::{
    Command, Digest32, Ledger, LedgerError, PostgresLedger, RequestQuery, Retire, SqliteLedger,
};
use full::fill;

fn source(folder: &Path) -> SqliteLedger {
    let mut ledger = SqliteLedger::open(&folder.join("ledger.db")).unwrap();
    fill(&mut ledger);
    let retire = Retire { upto: 12, archive: Digest32([7; 32]) };
    ledger.apply(&[Command::Retire(retire)], NOW).unwrap().remove(0).unwrap();
    ledger
}

#[test]
fn everything_is_there_after_a_move_and_the_ledger_goes_on() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let mut from = source(folder.path());
    let mut to = PostgresLedger::open(&database.url()).unwrap();
    let moved = migrate(&mut from, &mut to, NOW).unwrap();
    assert_eq!((moved.released, moved.audit.entries), (1, 22));
    let (old, new) = (from.reader().unwrap(), to.reader().unwrap());
    assert_eq!(new.audit().unwrap(), moved.audit);
    assert_eq!(new.head().unwrap(), old.head().unwrap());
    assert_eq!(new.statements().unwrap(), old.statements().unwrap());
    assert_eq!(new.open_vouchers().unwrap(), old.open_vouchers().unwrap());
    let query = RequestQuery { limit: 100, ..RequestQuery::default() };
    assert_eq!(new.requests(&query).unwrap(), old.requests(&query).unwrap());
    for n in 0..20 {
        let id = receipt_id(n);
        assert_eq!(new.receipt(&id).unwrap(), old.receipt(&id).unwrap());
        assert_eq!(new.hold_state(&id).unwrap(), old.hold_state(&id).unwrap());
    }
    for ledger in [&mut from as &mut dyn Ledger, &mut to] {
        let held = hold(9, user(4), 50);
        let commands = [Command::Reserve(held.clone()), capture(&held, 20)];
        for decision in ledger.apply(&commands, NOW).unwrap() {
            decision.unwrap();
        }
        assert_eq!(ledger.account(&user(4)).unwrap().earned, neuron(45));
    }
    assert_eq!(to.audit().unwrap().fault, None);
    drop((from, old));
    let path = folder.path().join("ledger.db");
    let again = SqliteLedger::open(&path).err().unwrap();
    assert!(again.to_string().contains(to.place()), "{again}");
    assert_eq!(tamper::audit(&path), None);
}

#[test]
fn only_an_empty_ledger_takes_another_and_only_a_sound_one() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let mut from = source(folder.path());
    let mut to = PostgresLedger::open(&database.url()).unwrap();
    let copy = folder.path().join("copy.db");
    broker_core::recover(&mut from, NOW).unwrap();
    drop(from);
    std::fs::copy(folder.path().join("ledger.db"), &copy).unwrap();
    tamper::change(&copy, "UPDATE hold SET expires = expires + 1 WHERE entry = 3");
    let wrong = migrate(&mut SqliteLedger::open(&copy).unwrap(), &mut to, NOW).unwrap_err();
    assert!(matches!(wrong, LedgerError::Corrupt(_)), "{wrong}");
    assert_eq!(to.audit().unwrap().entries, 0);
    assert_eq!(tamper::audit(&copy).unwrap().table, "hold");
    let mut from = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    migrate(&mut from, &mut to, NOW).unwrap();
    let mut other = SqliteLedger::open(&folder.path().join("other.db")).unwrap();
    let twice = migrate(&mut other, &mut to, NOW).unwrap_err();
    assert!(matches!(twice, LedgerError::Foreign { .. }), "{twice}");
    drop(other);
    SqliteLedger::open(&folder.path().join("other.db")).unwrap();
    assert_eq!(to.audit().unwrap().fault, None);
}
