//! A backup that is taken while the ledger is written to is a ledger, and a start goes on from it.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[cfg(feature = "postgres")]
#[path = "shared/full.rs"]
mod full;
#[cfg(feature = "postgres")]
#[path = "shared/pg.rs"]
mod pg;

use std::sync::atomic::{AtomicBool, Ordering};

use books::{NOW, capture, hold, log_all, neuron, prove, receipt_id, release, user};
use broker_core::{
    Command, Cover, Digest32, HoldState, Kept, KeptKind, Ledger, LedgerReader, ProofReader,
    ReleaseReason, SqliteLedger, SqliteReader, recover,
};

#[test]
fn a_copy_taken_while_commands_go_on_is_a_moment_of_the_ledger_and_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("backup.db"));
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let cover = Command::Mirror { user: user(1), cover: Cover::Unlimited };
    ledger.apply(&[cover], NOW).unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..=u8::MAX {
                let held = hold(n, user(1), 9);
                ledger.apply(&[Command::Reserve(held.clone())], NOW).unwrap();
                let end =
                    if n % 3 == 0 { release(n, ReleaseReason::Expired) } else { capture(&held, 4) };
                ledger.apply(&[end], NOW).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        while reader.hold_state(&receipt_id(5)).unwrap() != Some(HoldState::Finished) {}
        reader.backup(&copy).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    assert!(reader.backup(&copy).is_err(), "what is there is not overwritten");
    let mut restored = SqliteLedger::open(&copy).unwrap();
    let found = restored.audit().unwrap();
    assert_eq!(found.fault, None);
    assert!(found.entries >= 12, "{found:?}");
    assert_eq!(reader.link(found.entries).unwrap(), Some(found.head));
    recover(&mut restored, NOW).unwrap();
    let held = hold(255, user(2), 1);
    let unlimited = Command::Mirror { user: user(2), cover: Cover::UpTo(neuron(1)) };
    for decision in restored.apply(&[unlimited, Command::Reserve(held)], NOW).unwrap() {
        decision.unwrap();
    }
    assert_eq!(restored.audit().unwrap().fault, None);
}

#[test]
fn a_copy_has_the_log_and_the_documents_and_goes_on_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("ledger.db"), folder.path().join("backup.db"));
    let mut ledger = SqliteLedger::open(&path).unwrap();
    prove(&mut ledger, user(1), 0..300);
    log_all(&mut ledger);
    let (kind, name) = (KeptKind::Keyset, Digest32([9; 32]));
    ledger.keep(&Kept { kind, name, body: b"keys".to_vec(), at: NOW }).unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    reader.backup(&copy).unwrap();
    let mut restored = SqliteLedger::open(&copy).unwrap();
    let kept = restored.reader().unwrap();
    assert_eq!(kept.log().unwrap(), reader.log().unwrap());
    assert_eq!(kept.kept_last(kind, 9).unwrap(), reader.kept_last(kind, 9).unwrap());
    prove(&mut restored, user(1), 300..302);
    log_all(&mut restored);
    assert_eq!(kept.log().unwrap().size, 302);
    assert_eq!(restored.audit().unwrap().fault, None);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_a_backup_and_one_that_fails_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let reader = SqliteReader::open(&folder.path().join("ledger.db")).unwrap();
    let copy = folder.path().join("backup.db");
    reader.backup(&copy).unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(reader.backup(&folder.path().join("nowhere").join("backup.db")).is_err());
    assert!(!folder.path().join("nowhere").exists());
    drop(ledger);
}

/// What the README says of PostgreSQL: its own tools.
#[cfg(feature = "postgres")]
#[test]
fn a_dump_that_is_restored_into_another_database_is_the_same_ledger() {
    use broker_core::PostgresLedger;
    let Some(server) = pg::server() else { return };
    let (from, to) = (server.database(), server.database());
    let mut ledger = PostgresLedger::open(&from.url()).unwrap();
    full::fill(&mut ledger);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.dump");
    let dump = server.program("pg_dump").args(["-Fc", "-f"]).arg(&file).arg(from.url()).output();
    let dump = dump.unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let restore = server.program("pg_restore").args(["-1", "-d"]).arg(to.url()).arg(&file).output();
    let restore = restore.unwrap();
    assert!(restore.status.success(), "{}", String::from_utf8_lossy(&restore.stderr));
    let mut restored = PostgresLedger::open(&to.url()).unwrap();
    let (before, after) = (ledger.audit().unwrap(), restored.audit().unwrap());
    assert_eq!((&after.fault, after.entries), (&None, before.entries));
    let held = hold(77, user(4), 5);
    for decision in
        restored.apply(&[Command::Reserve(held.clone()), capture(&held, 5)], NOW).unwrap()
    {
        decision.unwrap();
    }
    assert_eq!(restored.audit().unwrap().fault, None);
}
