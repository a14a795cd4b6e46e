//! The chain over all entries, which the leader makes: it gives each entry its place.

use crate::digest::Digest32;
use crate::ledger::UNLINKED_MAX;
use crate::ledger::entry::Entry;

use super::fault::Trouble;
use super::rows::{Columns, entry_columns, entry_source};
use super::session::Session;
use super::values::Count;

/// Gives places to the entries that have none, a page of them at most. True where there may be
/// more.
///
/// A user's entries become visible in the order of their numbers, so they also get their places in
/// that order. Where somebody else does the same at the same time, one of both is undone.
pub(super) fn link(session: &mut Session) -> Result<bool, Trouble> {
    session.transact("BEGIN", |session| {
        let entries: Result<Vec<Entry>, _> = session
            .query(UNLINKED, &[&PAGE_ENTRIES])?
            .iter()
            .map(|row| Columns::of(row).entry())
            .collect();
        let entries = entries?;
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
        let taken = session.execute(TAKE, &[&numbers])?;
        let all = usize::try_from(taken).is_ok_and(|taken| taken == numbers.len());
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

const UNLINKED: &str = concat!(
    "SELECT ",
    entry_columns!(),
    " FROM unlinked q JOIN entry e ON e.number = q.entry ",
    entry_source!(),
    " ORDER BY q.entry LIMIT $1"
);

const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM unlinked LIMIT $1) q";

const HEAD: &str = "SELECT seq, digest FROM link ORDER BY seq DESC LIMIT 1";

const LINK: &str = "INSERT INTO link (seq, entry, digest) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])";

const TAKE: &str = "DELETE FROM unlinked WHERE entry = ANY ($1)";

const PAGE_ENTRIES: i64 = 1000;
