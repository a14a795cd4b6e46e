//! A ledger in a file becomes one in PostgreSQL, to the neuron and to the link.
#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/full.rs"]
mod full;
#[path = "shared/pg.rs"]
mod pg;
#[path = "shared/tamper.rs"]
mod tamper;

use std::path::Path;

use books::{NOW, capture, hold, log_all, neuron, nth_hold, prove, receipt_id, user};
use broker_core::ledger::migrate::migrate;
use broker_core::{
    Command, Digest32, Kept, KeptKind, Ledger, LedgerError, LogState, LogTiles, PostgresLedger,
    RequestQuery, Retire, SqliteLedger, log,
};
use full::fill;

fn source(folder: &Path) -> SqliteLedger {
    let mut ledger = SqliteLedger::open(&folder.join("ledger.db")).unwrap();
    fill(&mut ledger);
    log_all(&mut ledger);
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
fn the_log_goes_on_where_it_moves_to_and_old_proofs_fit_its_new_heads() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let mut from = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    prove(&mut from, user(1), 0..700);
    log_all(&mut from);
    // The last of them stand in no log yet.
    prove(&mut from, user(2), 700..710);
    let kept = |kind, n: u8| Kept { kind, name: Digest32([n; 32]), body: vec![n; 9], at: NOW };
    let documents =
        [kept(KeptKind::Keyset, 9), kept(KeptKind::Keyset, 3), kept(KeptKind::Report, 9)];
    documents.iter().for_each(|kept| from.keep(kept).unwrap());
    let old = from.reader().unwrap();
    let id = nth_hold(77, user(1), 5).receipt;
    let index = old.log_index(&id).unwrap().unwrap();
    let before = (old.log().unwrap(), log::root(&LogTiles(&*old), 700).unwrap());
    let inclusion = log::inclusion(&LogTiles(&*old), index, 700).unwrap();
    let mut to = PostgresLedger::open(&database.url()).unwrap();
    assert_ne!(to.reader().unwrap().log().unwrap().id, before.0.id);
    let moved = migrate(&mut from, &mut to, NOW).unwrap();
    let new = to.reader().unwrap();
    assert_eq!((moved.log, new.log().unwrap()), (before.0, before.0));
    log_all(&mut to);
    assert_eq!(new.log().unwrap(), LogState { size: 710, ..before.0 });
    assert_eq!(to.audit().unwrap().fault, None);
    let leaf = new.log_hashes(0, index, 1).unwrap()[0];
    log::verify_inclusion(&leaf, index, 700, &inclusion, &before.1).unwrap();
    let root = log::root(&LogTiles(&*new), 710).unwrap();
    let path = log::consistency(&LogTiles(&*new), 700, 710).unwrap();
    log::verify_consistency(700, &before.1, 710, &root, &path).unwrap();
    assert_eq!(new.log_index(&id).unwrap(), Some(index));
    let last = new.kept_last(KeptKind::Keyset, 9).unwrap();
    assert_eq!(last, [documents[1].clone(), documents[0].clone()]);
    assert_eq!(last, old.kept_last(KeptKind::Keyset, 9).unwrap());
    assert_eq!(new.kept(KeptKind::Report, &Digest32([9; 32])).unwrap(), Some(documents[2].clone()));
    assert_eq!(new.account(&user(2)).unwrap().exchanges, 10);
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

#[test]
fn two_ledgers_that_move_into_one_at_once_do_not_mix() {
    let Some(server) = pg::server() else { return };
    for _ in 0..4 {
        let database = server.database();
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Vec::new();
        for name in ["first", "second"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            let mut from = source(&path);
            broker_core::recover(&mut from, NOW).unwrap();
            sources.push(from.reader().unwrap());
        }
        let mut one = PostgresLedger::open(&database.url()).unwrap();
        let mut other = PostgresLedger::open(&database.url()).unwrap();
        // Gives places to what is there as soon as it is.
        let caretaker = one.caretaker(std::time::Duration::from_millis(10)).unwrap();
        let moved = std::thread::scope(|scope| {
            let ledgers = [&mut one, &mut other];
            let pairs = ledgers.into_iter().zip(&sources);
            let threads: Vec<_> = pairs
                .map(|(ledger, source)| scope.spawn(move || ledger.import(&**source)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(moved.iter().filter(|moved| moved.is_ok()).count(), 1, "{moved:?}");
        let refused = moved.iter().find_map(|moved| moved.as_ref().err()).unwrap();
        assert!(matches!(refused, LedgerError::Foreign { .. }), "{refused}");
        drop(caretaker);
        assert_eq!(one.audit().unwrap(), sources[0].audit().unwrap());
        assert_eq!(one.reader().unwrap().head().unwrap(), sources[0].head().unwrap());
    }
}
