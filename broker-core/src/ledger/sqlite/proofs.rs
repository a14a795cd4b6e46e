//! The receipt log's hashes and the kept documents.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::account::UserId;
use crate::digest::Digest32;
use crate::ledger::LedgerError;
use crate::ledger::proofs::{Charged, Kept, KeptKind, LogLeaf, LogState, ProofReader};
use crate::log;
use crate::receipt::ReceiptId;

use super::reader::SqliteReader;
use super::rows::{Columns, RECEIPT, TARIFF};
use super::values::Count;

/// Adds leaves behind the first `size` in one transaction; false where the log is of another size.
pub(super) fn extend_log(
    db: &mut Connection,
    size: u64,
    leaves: &[LogLeaf],
) -> Result<bool, LedgerError> {
    // A lock for writing cannot be waited for once something was read.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if state(&tx)?.size != size {
        return Ok(false);
    }
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf.hash).collect();
    let stored = log::append(&Stored(&tx), size, &hashes)?;
    for (leaf, at) in leaves.iter().zip(size..) {
        let mut statement = tx.prepare_cached("INSERT INTO log_leaf VALUES (?1, ?2, ?3)")?;
        statement.execute(params![Count(at), Count(leaf.entry), leaf.hash])?;
    }
    for node in stored.iter().filter(|node| node.level > 0) {
        let mut statement = tx.prepare_cached("INSERT INTO log_node VALUES (?1, ?2, ?3)")?;
        statement.execute(params![node.level, Count(node.index), node.hash])?;
    }
    tx.commit()?;
    Ok(true)
}

/// Keeps a document, unless there is one of its kind and name.
pub(super) fn keep(db: &Connection, kept: &Kept) -> Result<(), LedgerError> {
    let sql = "INSERT INTO kept (kind, name, body, at) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT DO NOTHING";
    db.prepare_cached(sql)?.execute(params![kept.kind as u8, kept.name, kept.body, kept.at])?;
    Ok(())
}

fn state(db: &Connection) -> Result<LogState, LedgerError> {
    let sql = "SELECT id, (SELECT coalesce(max(leaf) + 1, 0) FROM log_leaf) FROM log";
    Ok(db.prepare_cached(sql)?.query_row([], |row| {
        let Count(size) = row.get(1)?;
        Ok(LogState { id: row.get(0)?, size })
    })?)
}

pub(super) fn hashes(
    db: &Connection,
    level: u8,
    from: u64,
    count: u64,
) -> Result<Vec<Digest32>, LedgerError> {
    let (table, number) = if level == 0 { ("log_leaf", "leaf") } else { ("log_node", "n") };
    let which = if level == 0 { "?1 = 0" } else { "level = ?1" };
    let sql = format!(
        "SELECT hash FROM {table} WHERE {which} AND {number} >= ?2 AND {number} < ?3 \
         ORDER BY {number}"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let end = Count(from.saturating_add(count));
    let rows = statement.query_map(params![level, Count(from), end], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The log within a transaction.
struct Stored<'a>(&'a Connection);

impl log::Tiles for Stored<'_> {
    type Error = LedgerError;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        hashes(self.0, level, from, count)
    }
}

impl ProofReader for SqliteReader {
    fn log(&self) -> Result<LogState, LedgerError> {
        self.with(state)
    }

    fn log_hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        self.with(|db| hashes(db, level, from, count))
    }

    fn log_index(&self, id: &ReceiptId) -> Result<Option<u64>, LedgerError> {
        self.with(|db| {
            let sql = "SELECT l.leaf FROM hold h JOIN receipt r ON r.hold = h.entry \
                       JOIN log_leaf l ON l.entry = r.entry WHERE h.receipt = ?1";
            let found = db.prepare_cached(sql)?.query_row([id], |row| row.get(0)).optional()?;
            Ok(found.map(|Count(leaf)| leaf))
        })
    }

    fn unlogged(&self, limit: u64) -> Result<Vec<Charged>, LedgerError> {
        let sql = format!(
            "{CHARGED} WHERE r.entry > (SELECT max(l.since, coalesce(max(g.entry), 0)) \
             FROM log l LEFT JOIN log_leaf g ON g.leaf = (SELECT max(leaf) FROM log_leaf)) \
             AND r.proof IS NOT NULL ORDER BY r.entry LIMIT ?1"
        );
        self.with(|db| charged(db, &sql, params![Count(limit.min(MOST))]))
    }

    fn charged(&self, id: &ReceiptId) -> Result<Option<Charged>, LedgerError> {
        let sql = format!("{CHARGED} WHERE h.receipt = ?1");
        Ok(self.with(|db| charged(db, &sql, params![id]))?.pop())
    }

    fn charged_to(
        &self,
        user: &UserId,
        behind: u64,
        limit: u64,
    ) -> Result<Vec<Charged>, LedgerError> {
        let sql = format!("{CHARGED} WHERE r.user = ?1 AND r.entry > ?2 ORDER BY r.entry LIMIT ?3");
        let limit = Count(limit.min(MOST));
        self.with(|db| charged(db, &sql, params![user, Count(behind.min(MOST)), limit]))
    }

    fn kept(&self, kind: KeptKind, name: &Digest32) -> Result<Option<Kept>, LedgerError> {
        let sql = format!("{KEPT} WHERE kind = ?1 AND name = ?2");
        Ok(self.with(|db| kept(db, &sql, params![kind as u8, name]))?.pop())
    }

    fn kept_last(&self, kind: KeptKind, limit: u64) -> Result<Vec<Kept>, LedgerError> {
        let sql = format!("{KEPT} WHERE kind = ?1 ORDER BY number DESC LIMIT ?2");
        self.with(|db| kept(db, &sql, params![kind as u8, Count(limit.min(MOST))]))
    }
}

fn charged(
    db: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Charged>, LedgerError> {
    let sql = sql.replace("{RECEIPT}", RECEIPT).replace("{TARIFF}", TARIFF);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(values, |row| {
        let mut columns = Columns::of(row);
        let (entry, receipt) = (columns.count()?, columns.receipt()?);
        Ok(Charged { entry, receipt, tariff: columns.tariff()? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn kept(
    db: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Kept>, LedgerError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| {
        Ok((row.get::<_, u8>(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    rows.map(|row| {
        let (kind, name, body, at) = row?;
        let wrong = || LedgerError::Corrupt(format!("no kept document is of kind {kind}"));
        Ok(Kept { kind: KeptKind::from_code(kind).ok_or_else(wrong)?, name, body, at })
    })
    .collect()
}

const CHARGED: &str =
    "SELECT r.entry, {RECEIPT}, {TARIFF} FROM receipt r JOIN hold h ON h.entry = r.hold";
const KEPT: &str = "SELECT kind, name, body, at FROM kept";

/// Entries and limits never reach the sign.
const MOST: u64 = u64::MAX >> 1;
