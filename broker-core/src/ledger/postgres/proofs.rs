//! The receipt log's hashes and the kept documents.

use postgres::types::ToSql;

use crate::account::UserId;
use crate::digest::Digest32;
use crate::ledger::LedgerError;
use crate::ledger::proofs::{Charged, Kept, KeptKind, LogLeaf, LogState, ProofReader};
use crate::log;
use crate::receipt::ReceiptId;

use super::fault::{Trouble, corrupt};
use super::reader::PostgresReader;
use super::rows::{Columns, receipt_columns, tariff_columns};
use super::session::Session;
use super::values::Count;

/// Adds leaves behind the first `size`, with what follows from them; false where the log is of
/// another size. Two that try the same are kept apart by the leaves' numbers.
pub(super) fn extend_log(
    session: &mut Session,
    size: u64,
    leaves: &[LogLeaf],
    stored: &[log::Stored],
) -> Result<bool, Trouble> {
    session.batch("LOCK TABLE log IN EXCLUSIVE MODE")?;
    if state(session)?.size != size {
        return Ok(false);
    }
    let (entries, hashes): (Vec<_>, Vec<_>) =
        leaves.iter().map(|leaf| (Count(leaf.entry), leaf.hash)).unzip();
    let numbers: Vec<_> = (size..).take(leaves.len()).map(Count).collect();
    session.execute(ADD_LEAVES, &[&numbers, &entries, &hashes])?;
    let above = || stored.iter().filter(|node| node.level > 0);
    let levels: Vec<_> = above().map(|node| i16::from(node.level)).collect();
    let numbers: Vec<_> = above().map(|node| Count(node.index)).collect();
    let hashes: Vec<_> = above().map(|node| node.hash).collect();
    session.execute(ADD_NODES, &[&levels, &numbers, &hashes])?;
    Ok(true)
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

impl ProofReader for PostgresReader {
    fn log(&self) -> Result<LogState, LedgerError> {
        self.with(state)
    }

    fn log_hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        let (from, end) = (Count(from), Count(from.saturating_add(count)));
        self.with(|session| {
            let rows = match level {
                0 => session.query(LEAVES, &[&from, &end])?,
                level => session.query(NODES, &[&i16::from(level), &from, &end])?,
            };
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
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
const INDEX: &str = "SELECT l.leaf FROM receipt r JOIN log_leaf l ON l.entry = r.entry \
     WHERE r.id = $1";

/// In the order of the chain, from behind the place of the last that is in the log.
const UNLOGGED: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM link l JOIN receipt r ON r.entry = l.entry JOIN hold h ON h.key = r.key \
     WHERE l.seq > coalesce((SELECT k.seq FROM link k WHERE k.entry = \
     (SELECT g.entry FROM log_leaf g ORDER BY g.leaf DESC LIMIT 1)), 0) \
     AND r.proof IS NOT NULL ORDER BY l.seq LIMIT $1"
);
const CHARGED: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM receipt r JOIN hold h ON h.key = r.key WHERE r.id = $1"
);
const CHARGED_TO: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM receipt r JOIN hold h ON h.key = r.key WHERE r.user_id = $1 AND r.entry > $2 \
     ORDER BY r.entry LIMIT $3"
);
const KEPT: &str = "SELECT kind, name, body, at FROM kept WHERE kind = $1 AND name = $2";
const KEPT_LAST: &str =
    "SELECT kind, name, body, at FROM kept WHERE kind = $1 ORDER BY number DESC LIMIT $2";

/// Entries and limits never reach the sign.
const MOST: u64 = u64::MAX >> 1;
