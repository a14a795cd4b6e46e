//! The end of the chain, which others may pin: it grows with every entry and never changes behind.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use broker_core::{
    Command, Cover, Digest32, Ledger, LedgerReader, MemoryLedger, SqliteLedger, Timestamp, UserId,
};

fn grows_and_stays(ledger: &mut dyn Ledger, reader: &dyn LedgerReader) {
    assert_eq!(reader.head().unwrap(), (0, Digest32::default()));
    assert_eq!(reader.link(0).unwrap(), None);
    let mut links = Vec::new();
    for place in 1..=5 {
        let command = Command::Mirror { user: UserId::named("a"), cover: Cover::Unlimited };
        ledger.apply(&[command], Timestamp(place)).unwrap().remove(0).unwrap();
        let report = reader.audit().unwrap();
        assert_eq!(reader.head().unwrap(), (place, report.head));
        assert_eq!((report.entries, report.fault), (place, None));
        assert!(!links.contains(&report.head), "{links:?}");
        links.push(report.head);
    }
    for (place, link) in (1..).zip(links) {
        assert_eq!(reader.link(place).unwrap(), Some(link));
    }
    for absent in [0, 6, u64::MAX] {
        assert_eq!(reader.link(absent).unwrap(), None, "{absent}");
    }
}

#[test]
fn the_head_follows_every_entry_in_memory() {
    let mut ledger = MemoryLedger::new();
    grows_and_stays(&mut ledger.clone(), &ledger);
    assert_eq!(LedgerReader::head(&ledger).unwrap().0, 5);
    ledger.apply(&[], Timestamp(9)).unwrap();
    assert_eq!(LedgerReader::head(&ledger).unwrap().0, 5);
}

#[test]
fn the_head_follows_every_entry_in_sqlite_and_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let reader = ledger.reader().unwrap();
    grows_and_stays(&mut ledger, &*reader);
    let before = reader.head().unwrap();
    drop((ledger, reader));
    let again = SqliteLedger::open(&path).unwrap().reader().unwrap();
    assert_eq!(again.head().unwrap(), before);
}
