//! A disk that is full or read-only, a file that is damaged, a database that somebody locks: each
//! is told for what it is, loses nothing, and once it is mended the ledger goes on.

use std::path::Path;
use std::sync::Arc;

use broker_core::{
    Command, Decision, Ledger, LedgerError, LedgerReader, SqliteLedger, SqliteReader, SystemClock,
    spawn_writer,
};
use rusqlite::Connection;

use crate::books::{NOW, capture};
use crate::disk::{Disk, Fault};
use crate::work::{FEE, Promise, check, covers, named_hold};

#[test]
fn a_full_disk_is_called_full_and_the_ledger_goes_on_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path(), 1);
    let path = folder.path().join("ledger.db");
    disk.order(Some(Fault::Full(1)));
    assert_full(&SqliteLedger::open(&path).map(drop).unwrap_err());
    disk.order(None);
    write(&path, "before").unwrap();
    disk.order(Some(Fault::Full(5)));
    assert_full(&write(&path, "lost").unwrap_err());
    // Reading needs no room.
    let reader = SqliteReader::open(&path).unwrap();
    assert_eq!(reader.audit().unwrap().fault, None);
    disk.order(None);
    write(&path, "after").unwrap();
    check(&path, &[captured("before"), captured("after")]).unwrap();
}

fn assert_full(error: &LedgerError) {
    assert!(matches!(error, LedgerError::Full(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "database or disk is full: make room and start again; nothing that was acknowledged is lost"
    );
}

#[test]
fn a_writer_on_a_full_disk_tells_its_waiters_so() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path(), 1);
    let path = folder.path().join("ledger.db");
    let handle = spawn_writer(Box::new(SqliteLedger::open(&path).unwrap()), Arc::new(SystemClock));
    disk.order(Some(Fault::Full(1)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cover = covers().remove(0);
    assert_full(&runtime.block_on(handle.apply(cover)).unwrap_err());
    assert!(!handle.is_healthy());
    handle.stop();
}

#[test]
fn a_read_only_disk_is_called_read_only_and_can_still_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::mount(folder.path(), 1);
    let path = folder.path().join("ledger.db");
    write(&path, "before").unwrap();
    disk.make_read_only(true);
    let error = SqliteLedger::open(&path).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::ReadOnly(_)), "{error:?}");
    assert!(error.to_string().contains("let this process write to the ledger's file"), "{error}");
    let report = SqliteReader::open_for_operator(&path).unwrap().audit().unwrap();
    assert_eq!((report.receipts, report.fault), (1, None));
    disk.make_read_only(false);
    write(&path, "after").unwrap();
    check(&path, &[captured("before"), captured("after")]).unwrap();
}

#[test]
fn a_damaged_file_is_refused_or_refuted_and_a_backup_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    for n in 0..40 {
        write(&path, &format!("before-{n}")).unwrap();
    }
    let promises: Vec<_> = (0..40).map(|n| captured(&format!("before-{n}"))).collect();
    let whole = std::fs::read(&path).unwrap();
    for (what, damaged) in damages(&path, &whole) {
        std::fs::write(&path, &damaged).unwrap();
        let told = told(&path);
        println!("{what}: {told}");
        assert!(!told.is_empty(), "{what}");
        std::fs::write(&path, &whole).unwrap();
        check(&path, &promises).unwrap();
        std::fs::write(&path, &whole).unwrap();
    }
    write(&path, "after").unwrap();
    check(&path, &promises).unwrap();
}

/// What somebody who audits the ledger and then opens it hears; empty where all seems well.
fn told(path: &Path) -> String {
    let audited = match SqliteReader::open(path).and_then(|reader| reader.audit()) {
        Ok(report) => report.fault.map(|fault| fault.to_string()).unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    let opened = SqliteLedger::open(path).map(drop).err().map(|error| error.to_string());
    opened.map_or(audited.clone(), |opened| format!("{audited}; not opened: {opened}"))
}

/// The header, one bit in a row of each table and in an entry of each index, and the end.
fn damages(path: &Path, whole: &[u8]) -> Vec<(String, Vec<u8>)> {
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.to_owned();
        bytes[at] ^= byte;
        bytes
    };
    let mut found = vec![
        ("the magic bytes".to_owned(), with(3, 1)),
        ("the page size".to_owned(), with(16, 0xff)),
        ("the application id".to_owned(), with(70, 1)),
        ("half of it is gone".to_owned(), whole[..whole.len() / 2].to_owned()),
        ("its last page is gone".to_owned(), whole[..whole.len() - 4096].to_owned()),
        ("all of it is gone".to_owned(), whole[..512].to_owned()),
    ];
    let raw = Connection::open(path).unwrap();
    let sql = "SELECT s.type, s.name, max(d.pageno) FROM sqlite_schema s \
               JOIN dbstat d ON d.name = s.name \
               WHERE s.type IN ('table', 'index') AND d.ncell > 0 AND d.pagetype = 'leaf' \
               GROUP BY s.name";
    let mut pages = raw.prepare(sql).unwrap();
    let mut rows = pages.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (kind, name): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let page: usize = row.get::<_, u32>(2).unwrap() as usize;
        let start = (page - 1) * 4096;
        // Where the last cell begins; its first bytes are lengths and types, then come the values.
        let cell = usize::from(u16::from_be_bytes([whole[start + 5], whole[start + 6]]));
        found.push((format!("{kind} {name}, page {page}"), with(start + cell + 20, 0x10)));
        found.push((format!("the head of {kind} {name}"), with(start, 0x40)));
    }
    found
}

#[test]
fn a_database_that_another_program_locks_is_called_locked_and_goes_on_when_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    write(&path, "before").unwrap();
    let other = Connection::open(&path).unwrap();
    let mut ledger = SqliteLedger::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = ledger.apply(&covers(), NOW).unwrap_err();
    assert!(matches!(error, LedgerError::Locked(_)), "{error:?}");
    assert!(error.to_string().contains("another program holds it"), "{error}");
    drop(ledger);
    let error = SqliteLedger::open(&path).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Locked(_)), "{error:?}");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    write(&path, "after").unwrap();
    check(&path, &[captured("before"), captured("after")]).unwrap();
}

/// Opens the ledger for one exchange.
fn write(path: &Path, name: &str) -> Result<Vec<Decision>, LedgerError> {
    let mut ledger = SqliteLedger::open(path)?;
    let held = named_hold(name);
    let mut batch = covers();
    batch.extend([Command::Reserve(held.clone()), capture(&held, FEE)]);
    ledger.apply(&batch, NOW)
}

fn captured(name: &str) -> Promise {
    Promise::Captured(name.to_owned())
}
