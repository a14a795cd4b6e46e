//! The chain over all entries, which the leader makes: it gives each entry its place.

use std::collections::BTreeMap;

use crate::digest::Digest32;
use crate::ledger::UNLINKED_MAX;
use crate::ledger::entry::Entry;

use super::fault::Trouble;
use super::rows::{Columns, entry_columns};
use super::session::Session;
use super::values::Count;

/// Gives places to the entries that have none, a page of them and whatever was written together
/// with its last. True where there may be more.
///
/// A user's entries become visible in the order of their numbers, and all that are written together
/// bear higher ones than what their users had before: so they get their places in that order. Where
/// somebody else does the same at the same time, one of both is undone.
pub(super) fn link(session: &mut Session) -> Result<bool, Trouble> {
    session.transact("BEGIN", |session| {
        let (taken, entries) = waiting(session)?;
        if entries.is_empty() {
            return Ok(false);
        }
        let (mut seq, mut head) = head(session)?;
        let (mut seqs, mut numbers, mut digests) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            // 2^64 rows are out of reach; a repeated place would be refused as a duplicate.
            seq = seq.saturating_add(1);
            let entry = Entry { seq, ..entry };
            head = entry.digest(&head);
            seqs.push(Count(seq));
            numbers.push(Count(entry.number));
            digests.push(head);
        }
        session.execute(LINK, &[&seqs, &numbers, &digests])?;
        let deleted = session.execute(TAKE, &[&taken])?;
        let all = usize::try_from(deleted).is_ok_and(|deleted| deleted == taken.len());
        if !all {
            return Err(Trouble::Conflict("somebody else has linked these entries".to_owned()));
        }
        Ok(i64::try_from(numbers.len()).is_ok_and(|linked| linked >= PAGE_ENTRIES))
    })
}

/// Rows of what waits for a place, and their entries in the order of their numbers. A row of which
/// an entry is missing stays where it is, for an audit to find.
fn waiting(session: &mut Session) -> Result<(Vec<i64>, Vec<Entry>), Trouble> {
    let mut rows: Vec<(i64, Vec<i64>)> = Vec::new();
    for row in &session.query(UNLINKED, &[&PAGE_ENTRIES])? {
        rows.push((row.try_get(0)?, row.try_get(1)?));
    }
    let numbers: Vec<_> = rows.iter().flat_map(|(_, numbers)| numbers).copied().collect();
    let mut entries: BTreeMap<i64, Entry> = BTreeMap::new();
    for row in &session.query(ENTRIES, &[&numbers])? {
        let mut columns = Columns::of(row);
        let number = columns.count()?;
        // As if its place were its number; its link knows better.
        entries.insert(row.try_get(0)?, columns.entry(number, number)?);
    }
    rows.retain(|(_, numbers)| {
        let is_whole = numbers.iter().all(|number| entries.contains_key(number));
        if !is_whole {
            numbers.iter().for_each(|number| drop(entries.remove(number)));
        }
        is_whole
    });
    Ok((rows.into_iter().map(|(first, _)| first).collect(), entries.into_values().collect()))
}

/// The last place and its link.
pub(super) fn head(session: &mut Session) -> Result<(u64, Digest32), Trouble> {
    match session.query_opt(HEAD, &[])? {
        None => Ok((0, Digest32::default())),
        Some(row) => {
            let mut columns = Columns::of(&row);
            Ok((columns.count()?, columns.take()?))
        }
    }
}

/// How many entries have no place, as far as they are counted.
pub(super) fn unlinked(session: &mut Session) -> Result<u64, Trouble> {
    let row = session.query_one(COUNT, &[&Count(UNLINKED_MAX)])?;
    Columns::of(&row).count()
}

/// Whole rows, the first that have a page of entries between them.
const UNLINKED: &str = "SELECT q.first, q.entries FROM (SELECT first, entries, \
     sum(cardinality(entries)) OVER (ORDER BY first) - cardinality(entries) AS before \
     FROM unlinked ORDER BY first LIMIT $1) q WHERE q.before < $1 ORDER BY q.first";

const ENTRIES: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM entry e WHERE e.number = ANY ($1) ORDER BY e.number"
);

const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM unlinked q \
     CROSS JOIN LATERAL unnest(q.entries) LIMIT $1) n";

const HEAD: &str = "SELECT seq, digest FROM link ORDER BY seq DESC LIMIT 1";

const LINK: &str = "INSERT INTO link (seq, entry, digest) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])";

const TAKE: &str = "DELETE FROM unlinked WHERE first = ANY ($1)";

const PAGE_ENTRIES: i64 = 1000;
