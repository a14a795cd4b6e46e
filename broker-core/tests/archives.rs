//! A ledger's archives are its whole journal: they are audited without it, and receipts leave it
//! once they are in one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/full.rs"]
mod full;
#[cfg(feature = "postgres")]
#[path = "shared/pg.rs"]
mod pg;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use books::{NOW, capture, hold, log_all, receipt_id, user};
use broker_core::ledger::archive::{self, ArchiveError, Retention};
use broker_core::ledger::journal::{Line, Stop, Visitor, Written};
use broker_core::log::leaf_hash;
use broker_core::{
    Command, Cover, Digest32, Ledger, LedgerReader, MemoryLedger, ReceiptId, SqliteLedger,
    SqliteReader, Tariff, Timestamp,
};
use full::fill;

fn plain(archive: &[u8]) -> String {
    let mut text = String::new();
    zstd::Decoder::new(archive).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn packed(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 0).unwrap()
}

fn exported(reader: &dyn LedgerReader, behind: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive::export(reader, behind, None, &mut bytes).unwrap();
    bytes
}

#[test]
fn an_archive_is_audited_to_what_the_ledger_is_audited_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut sqlite = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    fill(&mut sqlite);
    let mut model = MemoryLedger::new();
    fill(&mut model);
    let due = sqlite.audit().unwrap();
    let bytes = exported(&*sqlite.reader().unwrap(), 0);
    assert_eq!(plain(&bytes), plain(&exported(&model, 0)));
    assert_eq!(archive::audit([bytes.as_slice()]).unwrap(), due);
    assert_eq!(due.fault, None);
    // In two parts, the second of which continues the first.
    let mut first = Vec::new();
    let summary = archive::export(&model, 0, Some(NOW.plus_millis(9)), &mut first).unwrap();
    assert_eq!((summary.behind, summary.upto), (0, 8));
    let second = exported(&model, summary.upto);
    assert_eq!(archive::audit([&*first, &*second]).unwrap(), due);
    for (parts, expected, found) in
        [(vec![&*second], 0, 8), (vec![&*first, &*first], 8, 0), (vec![&*second, &*first], 0, 8)]
    {
        match archive::audit(parts) {
            Err(ArchiveError::Gap { expected: e, found: f }) => {
                assert_eq!((e, f), (expected, found))
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_value_that_is_changed_in_an_archive_is_found() {
    let mut model = MemoryLedger::new();
    fill(&mut model);
    let text = plain(&exported(&model, 0));
    let lines: Vec<&str> = text.lines().collect();
    let mut changes = 0;
    for (n, line) in lines.iter().enumerate() {
        for (at, _) in line.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
            let other = if line.as_bytes()[at] == b'7' { "8" } else { "7" };
            let changed = [&line[..at], other, &line[at + 1..]].concat();
            let mut lines = lines.clone();
            lines[n] = &changed;
            let audited = archive::audit([packed(&(lines.join("\n") + "\n")).as_slice()]);
            let found = audited.map_or(true, |report| report.fault.is_some());
            assert!(found, "line {}: {changed}", n + 1);
            changes += 1;
        }
    }
    assert!(changes > 1_000, "{changes}");
}

#[test]
fn an_archive_that_is_cut_off_or_no_archive_is_refused() {
    let mut model = MemoryLedger::new();
    fill(&mut model);
    let bytes = exported(&model, 0);
    let text = plain(&bytes);
    for end in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        archive::audit([&bytes[..end]]).unwrap_err();
    }
    let lines: Vec<&str> = text.lines().collect();
    for upto in 0..lines.len() {
        archive::audit([packed(&lines[..upto].join("\n")).as_slice()]).unwrap_err();
    }
    for wrong in [
        text.replace("archive.v1", "archive.v2"),
        text.replacen("\"seq\"", "\"sep\"", 1),
        format!("{text}{{}}\n"),
    ] {
        archive::audit([packed(&wrong).as_slice()]).unwrap_err();
    }
}

fn retention(folder: &Path, before: u64) -> Retention {
    let before = NOW.plus_millis(before);
    Retention { folder: folder.join("archive"), before, now: before.plus_millis(1_000) }
}

fn keep(ledger: &mut SqliteLedger, retention: &Retention) -> archive::Kept {
    log_all(ledger);
    let reader = ledger.reader().unwrap();
    let mut apply = |command: Command| Ok(ledger.apply(&[command], NOW)?.remove(0));
    archive::retire(&*reader, retention, &mut apply).unwrap()
}

fn left(reader: &dyn LedgerReader) -> Vec<u8> {
    (0..20).filter(|n| reader.receipt(&receipt_id(*n)).unwrap().is_some()).collect()
}

fn files(paths: &[PathBuf]) -> Vec<File> {
    paths.iter().map(|path| File::open(path).unwrap()).collect()
}

/// The documents of an archive's receipts, hashed as leaves.
#[derive(Default)]
struct Documents {
    tariffs: std::collections::HashMap<ReceiptId, Tariff>,
    leaves: Vec<Digest32>,
}

impl Visitor for Documents {
    fn line(&mut self, line: Line) -> Result<(), Stop> {
        match line.written {
            Written::Hold(hold) => {
                self.tariffs.insert(hold.receipt, hold.tariff);
            }
            Written::Receipt(receipt) => {
                let document = receipt.document(self.tariffs.get(&receipt.id).unwrap());
                self.leaves.extend(document.map(|text| leaf_hash(text.as_bytes())));
            }
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn receipts_leave_once_they_are_archived_and_everything_still_proves() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let reader = ledger.reader().unwrap();
    fill(&mut ledger);
    let before = ledger.audit().unwrap();
    let nothing = keep(&mut ledger, &retention(folder.path(), 0));
    assert_eq!(nothing, archive::Kept::default());
    let first = keep(&mut ledger, &retention(folder.path(), 5));
    assert_eq!((first.archive.unwrap().1.upto, first.retired), (4, 1));
    assert_eq!(left(&*reader), [2, 4, 5]);
    let rest = keep(&mut ledger, &retention(folder.path(), 1_000));
    assert_eq!(rest.retired, 1);
    assert_eq!(left(&*reader), [0_u8; 0]);
    let again = keep(&mut ledger, &retention(folder.path(), 0));
    assert_eq!((again.archive, again.retired), (None, 0));
    let after = ledger.audit().unwrap();
    assert_eq!(after.fault, None);
    assert_eq!((after.entries, after.receipts), (before.entries + 2, 0));
    // The archives end before the last command that let receipts go; the ledger tells the rest.
    let paths = archive::archives(&folder.path().join("archive")).unwrap();
    assert_eq!(paths.len(), 2);
    let upto = archive::audit(files(&paths)).unwrap();
    assert_eq!(upto.fault, None);
    assert_eq!((upto.entries, upto.receipts), (before.entries + 1, 4));
    // What has left can still be written as the document that its user has.
    let mut documents = Documents::default();
    for file in files(&paths) {
        archive::read(file, &mut documents).unwrap();
    }
    assert_eq!(documents.leaves, reader.log_hashes(0, 0, 9).unwrap());
    assert_eq!(documents.leaves.len(), 2);
    let tail = exported(&*reader, upto.entries);
    let all = files(&paths).into_iter().map(|file| Box::new(file) as Box<dyn Read>);
    let all = all.chain([Box::new(tail.as_slice()) as Box<dyn Read>]);
    let whole = archive::audit(all).unwrap();
    assert_eq!((whole.fault, whole.head), (None, after.head));
}

#[test]
fn an_archive_of_another_ledger_stops_the_retention_before_anything_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    fill(&mut ledger);
    let place = folder.path().join("archive");
    std::fs::create_dir(&place).unwrap();
    let mut other = MemoryLedger::new();
    let cover = Command::Mirror { user: user(9), cover: Cover::Unlimited };
    Ledger::apply(&mut other, &[cover], Timestamp(1)).unwrap();
    let name = "ledger-00000000000000000001-00000000000000000001.jsonl.zst";
    File::create(place.join(name)).unwrap().write_all(&exported(&other, 0)).unwrap();
    let reader = SqliteReader::open(&folder.path().join("ledger.db")).unwrap();
    let mut apply = |_: Command| panic!("nothing is let go");
    let stopped = archive::retire(&reader, &retention(folder.path(), 1_000), &mut apply);
    assert!(matches!(stopped, Err(ArchiveError::Foreign { .. })), "{stopped:?}");
    assert_eq!(left(&reader), [1, 2, 4, 5]);
}

#[test]
fn a_folder_without_the_earlier_archives_stops_the_retention_before_anything_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    fill(&mut ledger);
    keep(&mut ledger, &retention(folder.path(), 5));
    std::fs::rename(folder.path().join("archive"), folder.path().join("moved")).unwrap();
    let reader = ledger.reader().unwrap();
    let mut apply = |_: Command| panic!("nothing is let go");
    let stopped = archive::retire(&*reader, &retention(folder.path(), 1_000), &mut apply);
    assert!(matches!(stopped, Err(ArchiveError::Elsewhere { .. })), "{stopped:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("archive")).unwrap().count(), 0);
    assert_eq!(left(&*reader), [2, 4, 5]);
    // With them there it goes on.
    std::fs::remove_dir(folder.path().join("archive")).unwrap();
    std::fs::rename(folder.path().join("moved"), folder.path().join("archive")).unwrap();
    assert_eq!(keep(&mut ledger, &retention(folder.path(), 1_000)).retired, 1);
}

#[test]
fn an_archive_that_is_missing_in_between_stops_the_retention() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    fill(&mut ledger);
    for before in [3, 5, 9] {
        keep(&mut ledger, &retention(folder.path(), before));
    }
    let paths = archive::archives(&folder.path().join("archive")).unwrap();
    assert_eq!(paths.len(), 3);
    std::fs::remove_file(&paths[1]).unwrap();
    let reader = ledger.reader().unwrap();
    let mut apply = |_: Command| panic!("nothing is let go");
    let stopped = archive::retire(&*reader, &retention(folder.path(), 1_000), &mut apply);
    let told = stopped.unwrap_err().to_string();
    let file = paths[2].display();
    assert_eq!(
        told,
        format!("{file}: an archive continues entry 4, and entry 2 is the last before it")
    );
}

#[test]
fn an_archive_that_is_damaged_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    fill(&mut ledger);
    keep(&mut ledger, &retention(folder.path(), 5));
    let paths = archive::archives(&folder.path().join("archive")).unwrap();
    let text = plain(&std::fs::read(&paths[0]).unwrap()).replacen("\"seq\"", "\"sep\"", 1);
    std::fs::write(&paths[0], packed(&text)).unwrap();
    let reader = ledger.reader().unwrap();
    let mut apply = |_: Command| panic!("nothing is let go");
    let stopped = archive::retire(&*reader, &retention(folder.path(), 1_000), &mut apply);
    let told = stopped.unwrap_err().to_string();
    assert!(told.starts_with(&format!("{}: the archive's line 2: ", paths[0].display())), "{told}");
}

#[test]
fn an_entry_with_a_date_in_the_future_is_as_old_as_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = SqliteLedger::open(&folder.path().join("ledger.db")).unwrap();
    let reader = ledger.reader().unwrap();
    let charge = |ledger: &mut SqliteLedger, n: u8, at: u64| {
        let cover = Command::Mirror { user: user(n), cover: Cover::Unlimited };
        let held = hold(n, user(n), 9);
        let batch = [cover, Command::Reserve(held.clone()), capture(&held, 4)];
        let decided = ledger.apply(&batch, NOW.plus_millis(at)).unwrap();
        assert!(decided.iter().all(Result::is_ok), "{decided:?}");
    };
    charge(&mut ledger, 1, 10);
    // The clock is ahead for a moment, and nothing that follows says how old that is.
    charge(&mut ledger, 2, 1 << 40);
    let kept = keep(&mut ledger, &retention(folder.path(), 1_500));
    assert_eq!((kept.archive.unwrap().1.upto, left(&*reader)), (3, vec![2]));
    // The command that let the first go does.
    charge(&mut ledger, 3, 2_000);
    let kept = keep(&mut ledger, &retention(folder.path(), 1_500));
    assert_eq!((kept.archive.unwrap().1.upto, left(&*reader)), (7, vec![3]));
    assert_eq!(ledger.audit().unwrap().fault, None);
    let paths = archive::archives(&folder.path().join("archive")).unwrap();
    let report = archive::audit(files(&paths)).unwrap();
    assert_eq!((report.fault, report.receipts), (None, 2));
}

#[cfg(feature = "postgres")]
#[test]
fn receipts_leave_postgresql_once_their_places_are_known_and_archived() {
    use broker_core::PostgresLedger;
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    let reader = ledger.reader().unwrap();
    fill(&mut ledger);
    let keep = |ledger: &mut PostgresLedger| {
        let mut apply = |command: Command| Ok(ledger.apply(&[command], NOW)?.remove(0));
        archive::retire(&*reader, &retention(folder.path(), 1_000), &mut apply).unwrap()
    };
    assert_eq!(keep(&mut ledger), archive::Kept::default(), "no entry has a place yet");
    let caretaker = ledger.caretaker(std::time::Duration::from_secs(5)).unwrap();
    while reader.unlinked().unwrap() > 0 {
        std::thread::yield_now();
    }
    log_all(&mut ledger);
    let kept = keep(&mut ledger);
    assert_eq!((kept.archive.unwrap().1.upto, kept.retired), (20, 1));
    assert_eq!(left(&*reader), [0_u8; 0]);
    caretaker.stop();
    assert_eq!(ledger.audit().unwrap().fault, None);
    let paths = archive::archives(&folder.path().join("archive")).unwrap();
    let report = archive::audit(files(&paths)).unwrap();
    assert_eq!((report.fault, report.entries, report.receipts), (None, 20, 4));
}
