//! The journal of a stored ledger, a page of entries at a time: places in the chain and the numbers
//! that records are filed under differ, so the tables cannot be read side by side.

use std::collections::HashMap;

use crate::digest::Digest32;
use crate::ledger::entry::{Entry, EntryKind};
use crate::ledger::journal::{Line, LoggedLeaf, Stop, Visitor, Written, fault_of_entry};
use crate::ledger::rows::read;
use crate::ledger::{Fault, LedgerError};

use super::fault::Trouble;
use super::rows::{Columns, entry_columns};
use super::session::Session;
use super::values::Count;

use self::records::source;

mod records;

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Error(trouble.into())
    }
}

/// Every line behind a place in the chain, in its order; then those that have no place yet, in the
/// order of their numbers. Within a transaction that sees one moment.
///
/// # Errors
/// What the visitor stops at, a row that cannot be read, a database that fails.
pub(super) fn lines(
    session: &mut Session,
    behind: u64,
    visitor: &mut dyn Visitor,
) -> Result<(), Stop> {
    let mut place = behind;
    loop {
        let rows = session.query(LINKED, &[&Count(place), &PAGE_ENTRIES])?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut columns = Columns::of(row);
            let (seq, link) = (columns.count()?, columns.take()?);
            page.push((read_entry(&mut columns, seq)?, Some(link)));
            place = seq;
        }
        if page.is_empty() {
            break;
        }
        tell(session, page, visitor)?;
    }
    rest(session, behind, visitor)
}

/// What waits for its place: it comes behind everything that has one.
fn rest(session: &mut Session, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    let last = session.query_opt("SELECT seq FROM link ORDER BY seq DESC LIMIT 1", &[])?;
    let mut place = last.map(|row| Columns::of(&row).count()).transpose()?.unwrap_or_default();
    let mut number: u64 = 0;
    loop {
        let rows = session.query(UNLINKED, &[&Count(number), &PAGE_ENTRIES])?;
        let mut page = Vec::with_capacity(rows.len());
        for row in &rows {
            place = place.saturating_add(1);
            let entry = read_entry(&mut Columns::of(row), place)?;
            number = entry.number;
            if place > behind {
                page.push((entry, None));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        tell(session, page, visitor)?;
    }
}

fn tell(
    session: &mut Session,
    page: Vec<(Entry, Option<Digest32>)>,
    visitor: &mut dyn Visitor,
) -> Result<(), Stop> {
    let mut records = records_of(session, &page)?;
    let mut leaves = leaves(session, &page)?;
    for (entry, link) in page {
        visitor.entry(&entry, link)?;
        if let Some(leaf) = leaves.remove(&entry.number) {
            visitor.leaf(&entry, &leaf)?;
        }
        let written = match entry.kind {
            EntryKind::Mirror => Written::Cover,
            kind => match records.remove(&entry.number) {
                Some(written) => written?,
                None => {
                    let what = format!("its row in {} is missing", source(kind).table);
                    return Err(fault_of_entry(&entry, what).into());
                }
            },
        };
        visitor.line(Line { entry, link, written })?;
    }
    Ok(())
}

/// Where the receipts of a page stand in the receipt log.
fn leaves(
    session: &mut Session,
    page: &[(Entry, Option<Digest32>)],
) -> Result<HashMap<u64, LoggedLeaf>, Stop> {
    let captures = page.iter().filter(|(entry, _)| entry.kind == EntryKind::Capture);
    let numbers: Vec<_> = captures.map(|(entry, _)| Count(entry.number)).collect();
    let mut found = HashMap::new();
    for row in session.query(LEAVES, &[&numbers])? {
        let mut columns = Columns::of(&row);
        let (number, leaf) = (columns.count()?, columns.count()?);
        let hash = columns.take().map_err(|error| unread(error, "log_leaf", leaf))?;
        found.insert(number, LoggedLeaf { leaf, hash });
    }
    Ok(found)
}

type Records = HashMap<u64, Result<Written, Fault>>;

/// What the entries of a page recorded. A wrong row is told when its entry's turn comes.
fn records_of(session: &mut Session, page: &[(Entry, Option<Digest32>)]) -> Result<Records, Stop> {
    let mut of_kind: HashMap<EntryKind, HashMap<u64, &Entry>> = HashMap::new();
    for (entry, _) in page {
        of_kind.entry(entry.kind).or_default().insert(entry.number, entry);
    }
    of_kind.remove(&EntryKind::Mirror);
    let mut records = Records::new();
    for (kind, entries) in of_kind {
        let numbers: Vec<_> = entries.keys().map(|number| Count(*number)).collect();
        for row in session.query(source(kind).sql, &[&numbers])? {
            let mut columns = Columns::of(&row);
            let number = columns.count()?;
            let Some(entry) = entries.get(&number) else { continue };
            let written = match read(&mut columns, entry) {
                Ok(written) => Ok(written),
                Err(Trouble::Failed(LedgerError::Corrupt(what))) => {
                    Err(Fault { table: source(kind).table, row: number.to_string(), what })
                }
                Err(trouble) => return Err(trouble.into()),
            };
            records.insert(number, written);
        }
        if kind == EntryKind::Capture {
            for row in session.query(RETIRED, &[&numbers])? {
                let mut columns = Columns::of(&row);
                let number = columns.count()?;
                let leaf = columns.take()?;
                // A receipt that is still there has not been let go.
                records.entry(number).or_insert(Ok(Written::Retired(leaf)));
            }
        }
    }
    Ok(records)
}

fn read_entry(columns: &mut Columns<'_>, seq: u64) -> Result<Entry, Stop> {
    let number = columns.count()?;
    columns.entry(seq, number).map_err(|error| unread(error, "entry", number))
}

/// A value that cannot be read is a fault of its row.
pub(super) fn unread(error: Trouble, table: &'static str, row: impl ToString) -> Stop {
    match error {
        Trouble::Failed(LedgerError::Corrupt(what)) => {
            Fault { table, row: row.to_string(), what }.into()
        }
        other => other.into(),
    }
}

const LINKED: &str = concat!(
    "SELECT l.seq, l.digest, ",
    entry_columns!(),
    " FROM link l JOIN entry e ON e.number = l.entry WHERE l.seq > $1 ORDER BY l.seq LIMIT $2"
);

const UNLINKED: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM unlinked q CROSS JOIN LATERAL unnest(q.entries) AS n (number) \
     JOIN entry e ON e.number = n.number WHERE n.number > $1 ORDER BY n.number LIMIT $2"
);

const RETIRED: &str = "SELECT x.entry, x.leaf FROM retired x WHERE x.entry = ANY ($1)";

const LEAVES: &str = "SELECT g.entry, g.leaf, g.hash FROM log_leaf g WHERE g.entry = ANY ($1)";

const PAGE_ENTRIES: i64 = 2000;
