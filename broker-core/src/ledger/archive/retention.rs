//! Archives in a folder, and receipts that leave the ledger once they are in one.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::command::{Command, Decision, Retire};
use crate::digest::Digest32;
use crate::ledger::entry::Entry;
use crate::ledger::journal::{Line, Stop, Visitor, fault_of_entry};
use crate::ledger::{LedgerError, LedgerReader};

use super::{ArchiveError, Summary, export_noting, read};

/// Where archives are, and what is old enough to be in one.
#[derive(Clone, Debug)]
pub struct Retention {
    /// The folder of the archives; it is made where there is none.
    pub folder: PathBuf,
    /// Entries from before are archived.
    pub before: Timestamp,
    /// What time it is. An entry with a later date has a wrong one, and is as old as the next whose
    /// date may be right: else a clock that was ahead for a moment would end retention for good.
    pub now: Timestamp,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The archive that was written, if there was anything to write.
    pub archive: Option<(PathBuf, Summary)>,
    /// Commands that let receipts go.
    pub retired: u64,
}

/// Writes what is old enough into a new archive, which continues the last one of the folder, reads
/// it back, and lets the final receipts go that the folder's archives have. `apply` carries a
/// command out in the ledger that `reader` reads. Blocks.
///
/// A crash in between loses nothing: a file that was not finished has another name, and receipts go
/// only once they are in one that was.
///
/// # Errors
/// The folder's archives do not fit the ledger, the disk or the ledger failed.
pub fn retire(
    reader: &dyn LedgerReader,
    retention: &Retention,
    apply: &mut dyn FnMut(Command) -> Result<Decision, LedgerError>,
) -> Result<Kept, ArchiveError> {
    let folder = &retention.folder;
    fs::create_dir_all(folder).map_err(|error| ArchiveError::from(error).of(folder))?;
    let mut kept = Kept::default();
    let last = last(reader, folder)?;
    let behind = last.map_or(0, |last| last.upto);
    if let Some(upto) = old_enough(reader, retention, behind)? {
        let partial = folder.join(format!("{}.partial", Uuid::new_v4()));
        let written = write(reader, folder, (behind, upto), &partial);
        let _ = fs::remove_file(&partial);
        kept.archive = Some(written?);
    }
    let newest = kept.archive.as_ref().map(|(_, summary)| *summary).or(last);
    let Some(Summary { upto, digest, .. }) = newest else { return Ok(kept) };
    while let Some(place) = reader.retirable(upto, RECEIPTS_AT_ONCE)? {
        let command = Command::Retire(Retire { upto: place, archive: digest });
        let refused = |why| LedgerError::Corrupt(format!("receipts are not let go: {why}"));
        apply(command)?.map_err(refused)?;
        kept.retired = kept.retired.saturating_add(1);
    }
    Ok(kept)
}

/// The place of the last entry behind this one that is old enough, and all before it are.
fn old_enough(
    reader: &dyn LedgerReader,
    retention: &Retention,
    behind: u64,
) -> Result<Option<u64>, ArchiveError> {
    let mut old = Old { before: retention.before, now: retention.now, upto: None };
    match reader.journal(behind, &mut old) {
        Ok(()) | Err(Stop::Enough) => Ok(old.upto),
        Err(stop) => Err(stop.into()),
    }
}

struct Old {
    before: Timestamp,
    now: Timestamp,
    upto: Option<u64>,
}

impl Visitor for Old {
    fn entry(&mut self, entry: &Entry, link: Option<Digest32>) -> Result<(), Stop> {
        if link.is_none() {
            return Err(Stop::Enough);
        }
        if entry.at < self.before {
            self.upto = Some(entry.seq);
        } else if entry.at <= self.now {
            return Err(Stop::Enough);
        }
        Ok(())
    }

    fn line(&mut self, _: Line) -> Result<(), Stop> {
        Ok(())
    }
}

/// Writes the archive from behind one place up to another, reads it back and gives it its name.
fn write(
    reader: &dyn LedgerReader,
    folder: &Path,
    (behind, upto): (u64, u64),
    partial: &Path,
) -> Result<(PathBuf, Summary), ArchiveError> {
    let in_partial = |error: ArchiveError| error.of(partial);
    let file = File::create_new(partial).map_err(|error| in_partial(error.into()))?;
    let is_due = |entry: &Entry| entry.seq <= upto;
    let (summary, lacks) = export_noting(reader, behind, is_due, &file).map_err(in_partial)?;
    if lacks {
        return Err(ArchiveError::Elsewhere { folder: folder.display().to_string() });
    }
    file.sync_all().map_err(|error| in_partial(error.into()))?;
    check(reader, partial, &summary)?;
    let path = folder.join(name(&summary));
    let named = || {
        // Unlike a rename, this takes no file's place.
        fs::hard_link(partial, &path)?;
        File::open(folder)?.sync_all()
    };
    named().map_err(|error| ArchiveError::from(error).of(&path))?;
    Ok((path, summary))
}

/// The archives of a folder, in order.
///
/// # Errors
/// The folder cannot be read.
pub fn archives(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            found.push(path);
        }
    }
    // The places are of one width, so the names are in the order of the chain.
    found.sort();
    Ok(found)
}

/// The last archive of the folder, which has to be one of this ledger. Those before it have to be
/// there too: what leaves the ledger may be in any of them.
fn last(reader: &dyn LedgerReader, folder: &Path) -> Result<Option<Summary>, ArchiveError> {
    let mut paths = archives(folder).map_err(|error| ArchiveError::from(error).of(folder))?;
    let mut expected: u64 = 1;
    for path in &paths {
        let (first, last) = places(path).ok_or_else(|| foreign(path))?;
        if first != expected {
            let (expected, found) = (expected.saturating_sub(1), first.saturating_sub(1));
            return Err(ArchiveError::Gap { expected, found }.of(path));
        }
        expected = last.saturating_add(1);
    }
    let Some(path) = paths.pop() else { return Ok(None) };
    let summary = read_file(&path, &mut Chain::default())?;
    match reader.link(summary.upto)? {
        Some(link) if link == summary.head => Ok(Some(summary)),
        _ => Err(foreign(&path)),
    }
}

/// Reads an archive back that was just written.
fn check(reader: &dyn LedgerReader, path: &Path, due: &Summary) -> Result<(), ArchiveError> {
    let before = match due.behind {
        0 => Some(Digest32::default()),
        behind => reader.link(behind)?,
    };
    let found = read_file(path, &mut Chain { head: before })?;
    if found == *due { Ok(()) } else { Err(foreign(path)) }
}

fn read_file(path: &Path, visitor: &mut dyn Visitor) -> Result<Summary, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::from);
    file.and_then(|file| read(file, visitor)).map_err(|error| error.of(path))
}

/// Follows the links; where the one before the first is not known, from the second on.
#[derive(Default)]
struct Chain {
    head: Option<Digest32>,
}

impl Visitor for Chain {
    fn entry(&mut self, entry: &Entry, link: Option<Digest32>) -> Result<(), Stop> {
        let fits = self.head.is_none_or(|head| Some(entry.digest(&head)) == link);
        self.head = link;
        if fits { Ok(()) } else { Err(fault_of_entry(entry, "the chain breaks").into()) }
    }

    fn line(&mut self, _: Line) -> Result<(), Stop> {
        Ok(())
    }
}

fn foreign(path: &Path) -> ArchiveError {
    ArchiveError::Foreign { path: path.display().to_string() }
}

fn name(summary: &Summary) -> String {
    let first = summary.behind.saturating_add(1);
    format!("{PREFIX}{first:020}-{:020}{SUFFIX}", summary.upto)
}

/// The first and the last place that an archive's name says.
fn places(path: &Path) -> Option<(u64, u64)> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (first, last) = name.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

const PREFIX: &str = "ledger-";
const SUFFIX: &str = ".jsonl.zst";
/// So many in one command, that the ledger is never held up for long.
const RECEIPTS_AT_ONCE: u64 = 2_000;
