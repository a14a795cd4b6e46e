//! The receipt log's hashes and the kept documents.

use std::cell::{Cell, RefCell};

use postgres::types::ToSql;

use crate::account::UserId;
use crate::digest::Digest32;
use crate::ledger::LedgerError;
use crate::ledger::proofs::{Charged, Kept, KeptKind, LogLeaf, LogState, ProofReader};
use crate::log::{self, LogError};
use crate::receipt::ReceiptId;

use super::fault::{Trouble, corrupt};
use super::reader::PostgresReader;
use super::rows::{Columns, receipt_columns, tariff_columns};
use super::session::Session;
use super::values::Count;

/// Adds leaves behind the first `size`, with what follows from them; false where the log is of
/// another size. Those who try at once wait for each other.
///
/// `written` says that an earlier try may have been carried out: leaves that are there are its own
/// then.
pub(super) fn extend_log(
    session: &mut Session,
    size: u64,
    leaves: &[LogLeaf],
    written: &Cell<bool>,
) -> Result<bool, Trouble> {
    session.batch("LOCK TABLE log IN EXCLUSIVE MODE")?;
    if state(session)?.size == size {
        write(session, size, leaves)?;
        written.set(true);
        return Ok(true);
    }
    if !written.get() {
        return Ok(false);
    }
    let there = hashes(session, 0, size, u64::try_from(leaves.len()).unwrap_or(u64::MAX))?;
    Ok(there.iter().eq(leaves.iter().map(|leaf| &leaf.hash)))
}

/// Writes leaves behind the first `size`, and what follows from them.
pub(super) fn write(session: &mut Session, size: u64, leaves: &[LogLeaf]) -> Result<(), Trouble> {
    let (entries, new): (Vec<_>, Vec<_>) =
        leaves.iter().map(|leaf| (Count(leaf.entry), leaf.hash)).unzip();
    let tiles = Tiles(RefCell::new(&mut *session));
    let stored = log::append(&tiles, size, &new).map_err(|error| match error {
        LogError::Tiles(trouble) => trouble,
        _ => corrupt("the receipt log has lost hashes, or is full"),
    })?;
    let numbers: Vec<_> = (size..).take(leaves.len()).map(Count).collect();
    session.execute(ADD_LEAVES, &[&numbers, &entries, &new])?;
    let above = || stored.iter().filter(|node| node.level > 0);
    let levels: Vec<_> = above().map(|node| i16::from(node.level)).collect();
    let numbers: Vec<_> = above().map(|node| Count(node.index)).collect();
    let roots: Vec<_> = above().map(|node| node.hash).collect();
    session.execute(ADD_NODES, &[&levels, &numbers, &roots])?;
    Ok(())
}

/// The log within a transaction.
struct Tiles<'a>(RefCell<&'a mut Session>);

impl log::Tiles for Tiles<'_> {
    type Error = Trouble;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, Trouble> {
        hashes(&mut self.0.borrow_mut(), level, from, count)
    }
}

/// Keeps a document, unless there is one of its kind and name.
pub(super) fn keep(session: &mut Session, kept: &Kept) -> Result<(), Trouble> {
    let kind = i16::from(kept.kind as u8);
    session.execute(KEEP, &[&kind, &kept.name, &kept.body, &kept.at])?;
    Ok(())
}

fn state(session: &mut Session) -> Result<LogState, Trouble> {
    let row = session.query_one(STATE, &[])?;
    let Count(size) = row.try_get(1)?;
    Ok(LogState { id: row.try_get(0)?, size })
}

pub(super) fn hashes(
    session: &mut Session,
    level: u8,
    from: u64,
    count: u64,
) -> Result<Vec<Digest32>, Trouble> {
    let (from, end) = (Count(from.min(MOST)), Count(from.saturating_add(count).min(MOST)));
    let rows = match level {
        0 => session.query(LEAVES, &[&from, &end])?,
        level => session.query(NODES, &[&i16::from(level), &from, &end])?,
    };
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

impl ProofReader for PostgresReader {
    fn log(&self) -> Result<LogState, LedgerError> {
        self.with(state)
    }

    fn log_hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        self.with(|session| hashes(session, level, from, count))
    }

    fn log_index(&self, id: &ReceiptId) -> Result<Option<u64>, LedgerError> {
        self.with(|session| {
            let found = session.query(INDEX, &[id])?;
            found.first().map(|row| Ok(row.try_get(0).map(|Count(leaf)| leaf)?)).transpose()
        })
    }

    fn unlogged(&self, limit: u64) -> Result<Vec<Charged>, LedgerError> {
        self.charge(UNLOGGED, &[&Count(limit.min(MOST))])
    }

    fn charged(&self, id: &ReceiptId) -> Result<Option<Charged>, LedgerError> {
        Ok(self.charge(CHARGED, &[id])?.pop())
    }

    fn charged_to(
        &self,
        user: &UserId,
        behind: u64,
        limit: u64,
    ) -> Result<Vec<Charged>, LedgerError> {
        let (behind, limit) = (Count(behind.min(MOST)), Count(limit.min(MOST)));
        self.charge(CHARGED_TO, &[user, &behind, &limit])
    }

    fn kept(&self, kind: KeptKind, name: &Digest32) -> Result<Option<Kept>, LedgerError> {
        Ok(self.keeps(KEPT, &[&i16::from(kind as u8), name])?.pop())
    }

    fn kept_last(&self, kind: KeptKind, limit: u64) -> Result<Vec<Kept>, LedgerError> {
        self.keeps(KEPT_LAST, &[&i16::from(kind as u8), &Count(limit.min(MOST))])
    }
}

type Given<'a> = &'a [&'a (dyn ToSql + Sync)];

impl PostgresReader {
    fn charge(&self, sql: &'static str, given: Given<'_>) -> Result<Vec<Charged>, LedgerError> {
        self.with(|session| {
            let rows = session.query(sql, given)?;
            let read = |row| {
                let mut columns = Columns::of(row);
                let (entry, receipt) = (columns.count()?, columns.receipt()?);
                Ok(Charged { entry, receipt, tariff: columns.tariff()? })
            };
            rows.iter().map(read).collect()
        })
    }

    fn keeps(&self, sql: &'static str, given: Given<'_>) -> Result<Vec<Kept>, LedgerError> {
        self.with(|session| {
            let rows = session.query(sql, given)?;
            let read = |row: &postgres::Row| {
                let kind: i16 = row.try_get(0)?;
                let kind = u8::try_from(kind).ok().and_then(KeptKind::from_code);
                let kind = kind.ok_or_else(|| corrupt("no kept document is of this kind"))?;
                let (name, body, at) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
                Ok(Kept { kind, name, body, at })
            };
            rows.iter().map(read).collect()
        })
    }
}

const STATE: &str = "SELECT id, (SELECT coalesce(max(leaf) + 1, 0) FROM log_leaf) FROM log";
const ADD_LEAVES: &str = "INSERT INTO log_leaf (leaf, entry, hash) \
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])";
const ADD_NODES: &str = "INSERT INTO log_node (level, n, hash) \
     SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])";
const KEEP: &str =
    "INSERT INTO kept (kind, name, body, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const LEAVES: &str = "SELECT hash FROM log_leaf WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf";
const NODES: &str = "SELECT hash FROM log_node WHERE level = $1 AND n >= $2 AND n < $3 ORDER BY n";
const INDEX: &str = "SELECT l.leaf FROM hold h JOIN receipt r ON r.hold = h.entry \
     JOIN log_leaf l ON l.entry = r.entry WHERE h.receipt = $1";

/// In the order of the chain, from behind the place of the last that is in the log. Step by step:
/// a planner without statistics would read all receipts to join them.
const UNLOGGED: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM link l CROSS JOIN LATERAL (SELECT * FROM receipt p WHERE p.entry = l.entry \
     AND p.proof IS NOT NULL OFFSET 0) r \
     CROSS JOIN LATERAL (SELECT * FROM hold g WHERE g.entry = r.hold OFFSET 0) h \
     WHERE l.seq > greatest((SELECT k.seq FROM link k WHERE k.entry = \
     (SELECT g.entry FROM log_leaf g ORDER BY g.leaf DESC LIMIT 1)), (SELECT since FROM log)) \
     ORDER BY l.seq LIMIT $1"
);
const CHARGED: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM hold h JOIN receipt r ON r.hold = h.entry WHERE h.receipt = $1"
);
/// Each receipt of a user's is in one of two indexes, and both are in their order.
const CHARGED_TO: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM (SELECT entry FROM (\
     (SELECT entry FROM receipt WHERE user_id = $1 AND fee > 0 AND entry > $2 \
      ORDER BY entry LIMIT $3) UNION ALL \
     (SELECT entry FROM receipt WHERE user_id = $1 AND fee = 0 AND entry > $2 \
      ORDER BY entry LIMIT $3)) AS both_kinds ORDER BY entry LIMIT $3) AS n \
     JOIN receipt r ON r.entry = n.entry JOIN hold h ON h.entry = r.hold ORDER BY r.entry"
);
const KEPT: &str = "SELECT kind, name, body, at FROM kept WHERE kind = $1 AND name = $2";
const KEPT_LAST: &str =
    "SELECT kind, name, body, at FROM kept WHERE kind = $1 ORDER BY number DESC LIMIT $2";

/// Entries and limits never reach the sign.
const MOST: u64 = u64::MAX >> 1;
