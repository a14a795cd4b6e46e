//! What was acknowledged is there after a stop, a crash or a kill, and nothing is there twice.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use std::path::Path;

use books::{NOW, capture, hold, neuron, receipt_id, user};
use broker_core::{
    Command, Cover, Digest32, Hold, HoldState, Ledger, LedgerError, LedgerReader, ReceiptId,
    Refusal, RequestKey, SqliteLedger, SqliteReader, Timestamp,
};

#[test]
fn a_ledger_is_the_same_after_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("folder").join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    write_exchange(&mut ledger, 1);
    let before = ledger.audit().unwrap();
    drop(ledger);
    let ledger = SqliteLedger::open(&path).unwrap();
    assert_eq!(ledger.audit().unwrap(), before);
    assert_eq!(before.fault, None);
    assert_eq!(ledger.account(&user(1)).unwrap().earned, neuron(4));
}

#[test]
fn a_ledger_has_one_writer_at_a_time_and_any_number_of_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let second = SqliteLedger::open(&path).err().unwrap();
    assert!(matches!(second, LedgerError::InUse { .. }), "{second}");
    let readers = [(); 3].map(|()| SqliteReader::open(&path).unwrap());
    write_exchange(&mut ledger, 1);
    for reader in &readers {
        assert_eq!(reader.hold_state(&receipt_id(1)).unwrap(), Some(HoldState::Finished));
        assert_eq!(reader.audit().unwrap(), ledger.audit().unwrap());
        let totals = reader.totals().unwrap();
        assert_eq!((totals.accounts, totals.receipts, totals.open_holds), (1, 1, 0));
        assert_eq!((totals.held, totals.earned), (neuron(0), neuron(4)));
    }
    drop(ledger);
    SqliteLedger::open(&path).unwrap();
}

#[test]
fn a_batch_that_was_rolled_back_left_no_hold_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    write_exchange(&mut ledger, 1);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER fails BEFORE INSERT ON receipt BEGIN SELECT RAISE(ABORT, 'fails'); END",
    )
    .unwrap();
    let held = hold(2, user(1), 5);
    let both = [Command::Reserve(held.clone()), capture(&held, 4)];
    ledger.apply(&both, NOW).unwrap_err();
    raw.execute_batch("DROP TRIGGER fails").unwrap();
    let alone = ledger.apply(&[capture(&held, 4)], NOW).unwrap().remove(0);
    assert_eq!(alone, Err(Refusal::UnknownHold));
    for decision in ledger.apply(&both, NOW).unwrap() {
        decision.unwrap();
    }
    assert_eq!(ledger.audit().unwrap().fault, None);
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_a_new_ledger() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    write_exchange(&mut ledger, 1);
    let entries: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(entries.len() >= 3);
    for entry in entries {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[test]
fn a_file_that_is_no_ledger_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, and longer than the header of one. ".repeat(40))
        .unwrap();
    let other = folder.path().join("other.db");
    let raw = rusqlite::Connection::open(&other).unwrap();
    raw.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(raw);
    let newer = folder.path().join("newer.db");
    drop(SqliteLedger::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 9).unwrap();
    for path in [text, other, newer] {
        let before = std::fs::read(&path).unwrap();
        let writing = SqliteLedger::open(&path).err().unwrap();
        assert!(matches!(writing, LedgerError::Foreign { .. }), "{writing}");
        let reading = SqliteReader::open(&path).err().unwrap();
        assert!(matches!(reading, LedgerError::Foreign { .. }), "{reading}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{}", path.display());
    }
}

#[test]
fn a_reader_makes_no_ledger_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let missing = SqliteReader::open(&path).err().unwrap();
    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_first_start_that_was_cut_off_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, "").unwrap();
    drop(SqliteLedger::open(&path).unwrap());
    let half_made = folder.path().join("half.db");
    let raw = rusqlite::Connection::open(&half_made).unwrap();
    raw.pragma_update(None, "journal_mode", "WAL").unwrap();
    drop(raw);
    drop(SqliteLedger::open(&half_made).unwrap());
}

#[test]
fn a_copy_taken_while_the_ledger_runs_audits_without_being_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    for n in 1..=50 {
        write_exchange(&mut ledger, n);
    }
    let copy = folder.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(beside(&path, "-wal"), beside(&copy, "-wal")).unwrap();
    let before = (std::fs::read(&copy).unwrap(), std::fs::read(beside(&copy, "-wal")).unwrap());
    assert!(!before.1.is_empty(), "everything is in the file already: the test proves nothing");
    // As after a crash: the log lies there, and nothing says what of it counts.
    let report = SqliteReader::open(&copy).unwrap().audit().unwrap();
    assert_eq!(report, ledger.audit().unwrap());
    let operator = SqliteReader::open_for_operator(&copy).unwrap();
    assert_eq!(operator.audit().unwrap(), report);
    assert_eq!((report.receipts, report.fault), (50, None));
    let after = (std::fs::read(&copy).unwrap(), std::fs::read(beside(&copy, "-wal")).unwrap());
    assert!(before == after, "an audit changed the ledger");
}

/// Where a folder cannot be written to, SQLite cannot make its shared memory. Root can write
/// everywhere, so a link to nowhere lies in its place here.
#[cfg(unix)]
#[test]
fn only_an_operator_reads_a_stopped_ledger_that_has_no_place_for_shared_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("50% of #1?").join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    write_exchange(&mut ledger, 1);
    let expected = ledger.audit().unwrap();
    drop(ledger);
    std::os::unix::fs::symlink("nowhere/at/all", beside(&path, "-shm")).unwrap();
    let refused = SqliteReader::open(&path).err().unwrap();
    assert!(matches!(refused, LedgerError::Storage(_)), "{refused}");

    let operator = SqliteReader::open_for_operator(&path).unwrap();
    assert_eq!(operator.audit().unwrap(), expected);
    assert_eq!(operator.totals().unwrap().receipts, 1);
    let writing = SqliteLedger::open(&path).err().unwrap();
    assert!(matches!(writing, LedgerError::InUse { .. }), "{writing}");
    drop(operator);

    // What is in a log is not in the file yet.
    std::fs::write(beside(&path, "-wal"), "a log").unwrap();
    assert!(SqliteReader::open_for_operator(&path).is_err());
    std::fs::remove_file(beside(&path, "-wal")).unwrap();
    let writer = std::fs::File::open(beside(&path, ".lock")).unwrap();
    writer.lock().unwrap();
    assert!(SqliteReader::open_for_operator(&path).is_err());
    drop(writer);
    std::fs::remove_file(beside(&path, ".lock")).unwrap();
    assert_eq!(SqliteReader::open_for_operator(&path).unwrap().audit().unwrap(), expected);
}

#[cfg(unix)]
#[test]
fn a_ledger_is_one_ledger_by_whatever_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("ledger.db"), folder.path().join("link"));
    std::os::unix::fs::symlink("ledger.db", &link).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("same")).unwrap();
    let dangling = SqliteLedger::open(&link).err().unwrap();
    assert!(matches!(dangling, LedgerError::Storage(_)), "{dangling}");
    let by_folder = folder.path().join("same").join("ledger.db");
    let mut ledger = SqliteLedger::open(&by_folder).unwrap();
    write_exchange(&mut ledger, 1);
    for name in [&path, &link, &by_folder] {
        let second = SqliteLedger::open(name).err().unwrap();
        assert!(matches!(second, LedgerError::InUse { .. }), "{second}");
        let reader = SqliteReader::open(name).unwrap();
        assert_eq!(reader.audit().unwrap(), ledger.audit().unwrap());
    }
    drop(ledger);
    let by_link = SqliteLedger::open(&link).unwrap();
    assert!(matches!(SqliteLedger::open(&path), Err(LedgerError::InUse { .. })));
    drop(by_link);
    assert!(!beside(&link, ".lock").exists());
}

#[test]
fn a_failed_batch_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    write_exchange(&mut ledger, 1);
    let before = ledger.audit().unwrap();
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "CREATE TRIGGER broken_disk BEFORE INSERT ON receipt \
         BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    )
    .unwrap();
    let held = hold(2, user(1), 5);
    let error = ledger.apply(&[Command::Reserve(held.clone()), capture(&held, 5)], NOW);
    assert!(matches!(error.unwrap_err(), LedgerError::Storage(_)));
    assert_eq!(ledger.audit().unwrap(), before);
    assert_eq!(ledger.open_holds().unwrap(), []);
}

/// An index over ids at random places costs a page of the log with each of them.
#[test]
fn ids_in_the_order_of_time_share_the_pages_of_their_index() {
    let in_order = pages_of_the_last_batch(|n| ReceiptId::mint(Timestamp(n)));
    assert!(in_order < 32, "{in_order} pages for 32 exchanges");
    let at_random = pages_of_the_last_batch(|n| {
        let Digest32(bytes) = Digest32::sha256(&n.to_be_bytes());
        books::id_of(bytes[..16].try_into().unwrap())
    });
    assert!(at_random > in_order + 16, "{at_random} pages: this measures something else");
}

/// What the last of many batches of 32 exchanges adds to the log.
fn pages_of_the_last_batch(id: impl Fn(u64) -> ReceiptId) -> u64 {
    const FRAME: u64 = 4_096 + 24;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut ledger = SqliteLedger::open(&path).unwrap();
    let unlimited = Command::Mirror { user: user(1), cover: Cover::Unlimited };
    ledger.apply(&[unlimited], NOW).unwrap().remove(0).unwrap();
    let log = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
    let mut added = 0;
    for batch in 0..150 {
        let before = log();
        let holds = (batch * 32..batch * 32 + 32).map(|n| {
            let receipt = id(n);
            Hold { key: RequestKey::minted(&receipt), receipt, ..hold(1, user(1), 5) }
        });
        let both = holds.flat_map(|hold| [Command::Reserve(hold.clone()), capture(&hold, 4)]);
        let decisions = ledger.apply(&both.collect::<Vec<_>>(), NOW).unwrap();
        assert!(decisions.iter().all(Result::is_ok), "{decisions:?}");
        added = log() - before;
    }
    assert!(added > 0, "the log was begun again");
    added / FRAME
}

fn write_exchange(ledger: &mut SqliteLedger, n: u8) {
    let held = hold(n, user(1), 10);
    let cover = Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(1_000_000)) };
    for decision in ledger.apply(&[cover, Command::Reserve(held.clone())], NOW).unwrap() {
        decision.unwrap();
    }
    ledger.apply(&[capture(&held, 4)], NOW).unwrap()[0].unwrap();
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
