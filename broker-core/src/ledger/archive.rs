//! Archives: a part of a ledger's journal as a file of its own, that anybody can audit.
//!
//! JSON Lines, compressed with zstd. The first line says what the archive continues, the last one
//! how far it reaches; each line between them is one entry with its movements, its record and its
//! link of the chain (broken here to fit the page). Amounts and nonces are decimal strings, hashes
//! hex, times milliseconds. All of a ledger's archives together are its whole journal: [`audit`]
//! carries it out again from the first entry on.
//!
//! ```json
//! {"archive":"broker-core.archive.v1","behind":0,"link":"000…"}
//! {"seq":1,"at":1700000000000,"user":"0x…","moves":[["world","available","100"]],
//!  "record":{"mirror":{"memo":"…"}},"link":"…"}
//! {"end":1,"entries":1,"link":"…"}
//! ```

use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::digest::Digest32;
use crate::ledger::entry::Entry;
use crate::ledger::journal::{Line, Stop, Visitor, Written};
use crate::ledger::replay::Replay;
use crate::ledger::{AuditReport, Fault, LedgerReader};

use self::line::LineJson;
use self::text::Hex;

mod error;
mod line;
mod record;
mod retention;
mod text;

pub use error::ArchiveError;
pub use retention::{Kept, Retention, archives, retire};

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// It continues the journal behind this place of the chain.
    pub behind: u64,
    /// The place of its last entry; `behind` where there is none.
    pub upto: u64,
    /// The link at that place.
    pub head: Digest32,
    /// The SHA-256 of the file.
    pub digest: Digest32,
}

/// Writes the journal behind a place of the chain, up to the first entry that is not older than
/// `until`, or all of it. Entries without a place in the chain are left for the next archive.
///
/// # Errors
/// The ledger or the output failed, or a row of the ledger cannot be read.
pub fn export(
    reader: &dyn LedgerReader,
    behind: u64,
    until: Option<Timestamp>,
    out: impl Write,
) -> Result<Summary, ArchiveError> {
    let is_due = |entry: &Entry| until.is_none_or(|until| entry.at < until);
    Ok(export_noting(reader, behind, is_due, out)?.0)
}

/// As [`export`], of entries as long as they are due; also whether an entry's receipt had been let
/// go, which only another archive has.
fn export_noting(
    reader: &dyn LedgerReader,
    behind: u64,
    is_due: impl Fn(&Entry) -> bool,
    out: impl Write,
) -> Result<(Summary, bool), ArchiveError> {
    let link = match behind {
        0 => Digest32::default(),
        place => reader.link(place)?.ok_or(ArchiveError::Gap { expected: place, found: 0 })?,
    };
    let hashed = Hashed { out, hash: Sha256::new() };
    let mut zstd = zstd::Encoder::new(hashed, COMPRESSION)?;
    zstd.include_checksum(true)?;
    let (upto, lacks, failed) = (behind, false, None);
    let mut writer = Writer { zstd, is_due, upto, head: link, lacks, failed };
    writer.put(&Begin { archive: FORMAT.into(), behind, link: Hex(link.0) })?;
    let told = reader.journal(behind, &mut writer);
    if let Some(error) = writer.failed.take() {
        return Err(error);
    }
    match told {
        Ok(()) | Err(Stop::Enough) => {}
        Err(stop) => return Err(stop.into()),
    }
    let (upto, head, lacks) = (writer.upto, writer.head, writer.lacks);
    let entries = upto.saturating_sub(behind);
    writer.put(&End { end: upto, entries, link: Hex(head.0) })?;
    let mut hashed = writer.zstd.finish()?;
    hashed.out.flush()?;
    let digest = Digest32(hashed.hash.finalize().into());
    Ok((Summary { behind, upto, head, digest }, lacks))
}

/// Tells the visitor every entry of an archive.
///
/// # Errors
/// What the visitor stops at; a file that is no archive, or not all of one.
pub fn read(input: impl Read, visitor: &mut dyn Visitor) -> Result<Summary, ArchiveError> {
    read_behind(input, None, visitor)
}

/// As [`read`], of an archive that has to follow this end of a chain.
fn read_behind(
    input: impl Read,
    follows: Option<(u64, Digest32)>,
    visitor: &mut dyn Visitor,
) -> Result<Summary, ArchiveError> {
    let hashed = Hashed { out: input, hash: Sha256::new() };
    let mut lines = Lines { text: BufReader::new(zstd::Decoder::new(hashed)?), line: 0 };
    let mut next = || lines.next();
    let Some(begin) = next()? else { return Err(malformed(1, &"it is empty")) };
    let begin: Begin = parse(1, &begin)?;
    if begin.archive != FORMAT {
        return Err(malformed(1, &format!("its format is {}, not {FORMAT}", begin.archive)));
    }
    let (mut upto, mut head) = (begin.behind, Digest32(begin.link.0));
    if let Some((expected, link)) = follows {
        match (upto == expected, head == link) {
            (true, true) => {}
            (true, false) => {
                let what =
                    format!("it goes on from the link {head}, and the one before ends at {link}");
                return Err(ArchiveError::Wrong(Fault {
                    table: "archive",
                    row: format!("behind {expected}"),
                    what,
                }));
            }
            (false, _) => return Err(ArchiveError::Gap { expected, found: upto }),
        }
    }
    let mut at: u64 = 1;
    loop {
        at = at.saturating_add(1);
        let Some(text) = next()? else { return Err(malformed(at, &"its end is missing")) };
        if text.starts_with(r#"{"end":"#) {
            let end: End = parse(at, &text)?;
            let entries = upto.saturating_sub(begin.behind);
            if (end.end, end.entries, end.link.0) != (upto, entries, head.0) {
                return Err(malformed(at, &"it says another end than its entries"));
            }
            break;
        }
        let told: Line = parse::<LineJson>(at, &text)?.line().map_err(|e| malformed(at, &e))?;
        visitor.entry(&told.entry, told.link)?;
        (upto, head) = (told.entry.seq, told.link.unwrap_or_default());
        visitor.line(told)?;
    }
    if next()?.is_some() {
        return Err(malformed(at.saturating_add(1), &"something follows its end"));
    }
    let hashed = lines.text.into_inner().finish().into_inner();
    let digest = Digest32(hashed.hash.finalize().into());
    Ok(Summary { behind: begin.behind, upto, head, digest })
}

/// Carries out a whole journal again, told by its archives in order, the first of which begins with
/// the first entry.
///
/// # Errors
/// A file that cannot be read, is no archive, or does not follow the one before it. An entry that
/// is wrong is no error: the report names it.
pub fn audit<R: Read>(archives: impl IntoIterator<Item = R>) -> Result<AuditReport, ArchiveError> {
    audit_with_link(archives.into_iter().map(Ok), 0).map(|(report, _)| report)
}

/// As [`audit`], and the link at this place of the chain, where the archives reach so far. Each
/// archive is closed before the next one is asked for: there may be thousands.
///
/// # Errors
/// As [`audit`]; an archive that could not be opened.
pub fn audit_with_link<R: Read>(
    archives: impl IntoIterator<Item = std::io::Result<R>>,
    place: u64,
) -> Result<(AuditReport, Option<Digest32>), ArchiveError> {
    let mut pinned = Pinned { replay: Replay::default(), place, link: None };
    for archive in archives {
        let follows = Some((pinned.replay.seq, pinned.replay.head));
        match read_behind(archive?, follows, &mut pinned) {
            Ok(_) => {}
            Err(ArchiveError::Wrong(fault)) => {
                return Ok((pinned.replay.report(Some(fault)), pinned.link));
            }
            Err(error) => return Err(error),
        }
    }
    let fault = pinned.replay.finish().err();
    Ok((pinned.replay.report(fault), pinned.link))
}

/// A replay that remembers one link.
struct Pinned {
    replay: Replay,
    place: u64,
    link: Option<Digest32>,
}

impl Visitor for Pinned {
    fn entry(&mut self, entry: &Entry, link: Option<Digest32>) -> Result<(), Stop> {
        self.replay.entry(entry, link)?;
        if entry.seq == self.place {
            self.link = link;
        }
        Ok(())
    }

    fn line(&mut self, line: Line) -> Result<(), Stop> {
        self.replay.line(line)
    }
}

/// The lines of an archive, none of which may be longer than anything that is ever written: an
/// auditor's memory is not the host's to fill.
struct Lines<R> {
    text: R,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, ArchiveError> {
        self.line = self.line.saturating_add(1);
        let mut text = String::new();
        let read = self.text.by_ref().take(LINE_BYTES_MAX).read_line(&mut text);
        match read.map_err(|error| malformed(self.line, &error))? {
            0 => Ok(None),
            _ if text.ends_with('\n') => Ok(Some(text)),
            _ => Err(malformed(self.line, &"it is cut off, or far too long")),
        }
    }
}

struct Writer<W: Write, F> {
    zstd: zstd::Encoder<'static, Hashed<W>>,
    is_due: F,
    upto: u64,
    head: Digest32,
    lacks: bool,
    failed: Option<ArchiveError>,
}

impl<W: Write, F> Writer<W, F> {
    fn put(&mut self, value: &impl Serialize) -> Result<(), ArchiveError> {
        serde_json::to_writer(&mut self.zstd, value).map_err(std::io::Error::from)?;
        Ok(self.zstd.write_all(b"\n")?)
    }
}

impl<W: Write, F: Fn(&Entry) -> bool> Visitor for Writer<W, F> {
    fn line(&mut self, line: Line) -> Result<(), Stop> {
        let Some(link) = line.link.filter(|_| (self.is_due)(&line.entry)) else {
            return Err(Stop::Enough);
        };
        if let Err(error) = self.put(&LineJson::of(&line, &link)) {
            self.failed = Some(error);
            return Err(Stop::Enough);
        }
        (self.upto, self.head) = (line.entry.seq, link);
        self.lacks |= matches!(line.written, Written::Retired(_));
        Ok(())
    }
}

/// The bytes that pass, hashed.
struct Hashed<T> {
    out: T,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let count = self.out.read(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    archive: String,
    behind: u64,
    link: Hex<32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    end: u64,
    entries: u64,
    link: Hex<32>,
}

fn parse<T: serde::de::DeserializeOwned>(line: u64, text: &str) -> Result<T, ArchiveError> {
    serde_json::from_str(text).map_err(|error| malformed(line, &error))
}

fn malformed(line: u64, what: &dyn std::fmt::Display) -> ArchiveError {
    ArchiveError::Malformed { line, what: what.to_string() }
}

/// An engine's id of its answer is the only text without a bound in it.
const LINE_BYTES_MAX: u64 = 1 << 20;
const FORMAT: &str = "broker-core.archive.v1";
/// Zstandard's own default.
const COMPRESSION: i32 = 3;
