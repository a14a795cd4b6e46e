//! The chain over all entries, which the leader makes: it gives each entry its place.

use std::collections::BTreeSet;

use crate::digest::Digest32;
use crate::ledger::UNLINKED_MAX;
use crate::ledger::entry::Entry;

use super::fault::Trouble;
use super::rows::{Columns, entry_columns, entry_source};
use super::session::Session;
use super::values::Count;

/// Gives places to the entries that have none, a page of them and whatever was written together
/// with its last. True where there may be more.
///
/// A user's entries become visible in the order of their numbers, and all that are written together
/// bear higher ones than what their users had before: so they get their places in that order. Where somebody else does the same at the same time, one of both is undone.
pub(super) fn link(session: &mut Session) -> Result<bool, Trouble> {
    session.transact("BEGIN", |session| {
        let (mut taken, mut entries): (BTreeSet<i64>, Vec<Entry>) = Default::default();
        for row in &session.query(UNLINKED, &[&PAGE_ENTRIES])? {
            let mut columns = Columns::of(row);
            taken.insert(columns.take()?);
            entries.push(columns.entry()?);
        }
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
        let taken: Vec<_> = taken.into_iter().collect();
        let deleted = session.execute(TAKE, &[&taken])?;
        let all = usize::try_from(deleted).is_ok_and(|deleted| deleted == taken.len());
        if !all {
            return Err(Trouble::Conflict("somebody else has linked these entries".to_owned()));
        }
        Ok(i64::try_from(numbers.len()).is_ok_and(|linked| linked >= PAGE_ENTRIES))
    })
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

/// Whole rows, the first that have a page of entries between them. None is without an entry.
const UNLINKED: &str = concat!(
    "SELECT q.first, ",
    entry_columns!(),
    " FROM (SELECT first, entries, \
     sum(cardinality(entries)) OVER (ORDER BY first) - cardinality(entries) AS before \
     FROM unlinked ORDER BY first LIMIT $1) q \
     CROSS JOIN LATERAL unnest(q.entries) WITH ORDINALITY AS n (number, place) \
     JOIN entry e ON e.number = n.number ",
    entry_source!(),
    " WHERE q.before < $1 ORDER BY q.first, n.place"
);

const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM unlinked q \
     CROSS JOIN LATERAL unnest(q.entries) LIMIT $1) n";

const HEAD: &str = "SELECT seq, digest FROM link ORDER BY seq DESC LIMIT 1";

const LINK: &str = "INSERT INTO link (seq, entry, digest) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])";

const TAKE: &str = "DELETE FROM unlinked WHERE first = ANY ($1)";

const PAGE_ENTRIES: i64 = 1000;
