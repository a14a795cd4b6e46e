//! Receipts by the ids that engines gave their answers.

use rusqlite::{Connection, OptionalExtension, params};

use crate::account::UserId;
use crate::ledger::LedgerError;
use crate::receipt::{Receipt, ReceiptId};

use super::rows::{Columns, RECEIPT};
use super::values::Count;

/// A receipt that carries the id.
type Carrier = (Count, UserId);

/// With an owner, the first of its receipts that carries the id; without, the first of the one
/// account that has any.
pub(super) fn receipt(
    db: &Connection,
    id: &str,
    owner: Option<&UserId>,
) -> Result<Option<Receipt>, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let (own, other) = (own(&snapshot, id)?, other(&snapshot, id, owner, None)?);
    let own = own.filter(|(_, user)| owner.is_none_or(|owner| owner == user));
    let entry = match (own, other) {
        (Some((own, user)), Some((other, of))) if user == of => Count(own.0.min(other.0)),
        (Some(_), Some(_)) | (None, None) => return Ok(None),
        (Some((entry, _)), None) | (None, Some((entry, _))) => entry,
    };
    if let (None, Some((_, user))) = (owner, &other)
        && self::other(&snapshot, id, None, Some(user))?.is_some()
    {
        return Ok(None);
    }
    let sql = format!("SELECT {RECEIPT} FROM receipt r WHERE r.entry = ?1");
    let mut statement = snapshot.prepare_cached(&sql)?;
    Ok(statement.query_row([entry], |row| Columns::of(row).receipt()).optional()?)
}

/// The receipt whose own id the engine's ends with.
fn own(db: &Connection, id: &str) -> rusqlite::Result<Option<Carrier>> {
    let end = id.len().checked_sub(ID_BYTES).and_then(|from| id.get(from..));
    let Some(receipt) = end.and_then(ReceiptId::parse) else { return Ok(None) };
    let sql = "SELECT r.entry, r.user FROM hold h JOIN receipt r ON r.hold = h.entry \
               WHERE h.receipt = ?1 AND r.upstream_id = ?2";
    let mut statement = db.prepare_cached(sql)?;
    statement.query_row(params![receipt, id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}

/// The first of another receipt: of `owner`'s, or of the first account behind `behind`.
fn other(
    db: &Connection,
    id: &str,
    owner: Option<&UserId>,
    behind: Option<&UserId>,
) -> rusqlite::Result<Option<Carrier>> {
    let mut statement = db.prepare_cached(&match (owner, behind) {
        (Some(_), _) => of_others("r.user = ?2"),
        (None, Some(_)) => of_others("r.user > ?2"),
        (None, None) => of_others("?2 IS NULL"),
    })?;
    let carrier = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    statement.query_row(params![id, owner.or(behind)], carrier).optional()
}

/// The sign keeps the planner from putting the value into the index's expression.
fn of_others(whose: &str) -> String {
    format!(
        "SELECT r.entry, r.user FROM receipt r WHERE {OTHER} \
         AND substr(CAST(r.upstream_id AS BLOB), -36) = substr(CAST(?1 AS BLOB), -36) AND {whose} \
         AND +r.upstream_id = ?1 ORDER BY r.user, r.entry LIMIT 1"
    )
}

/// The bytes of a receipt's id as text.
const ID_BYTES: usize = 36;

/// As the index over the ends of engines' ids has it.
const OTHER: &str = "substr(CAST(r.upstream_id AS BLOB), -36) <> CAST(lower( \
     hex(substr(r.id, 1, 4)) || '-' || hex(substr(r.id, 5, 2)) || '-' || \
     hex(substr(r.id, 7, 2)) || '-' || hex(substr(r.id, 9, 2)) || '-' || \
     hex(substr(r.id, 11))) AS BLOB)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::{open, write};

    fn plan(db: &Connection, sql: &str) -> String {
        let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        let mut plan = String::new();
        while let Some(row) = rows.next().unwrap() {
            plan += &row.get::<_, String>(3).unwrap();
            plan.push('\n');
        }
        plan
    }

    #[test]
    fn no_table_is_searched_from_end_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let (db, _lock) = open::for_writing(&path).unwrap();
        let reading = open::for_reading(&path, open::Access::Server).unwrap();
        for whose in ["r.user = ?2", "r.user > ?2", "?2 IS NULL"] {
            let plan = plan(&reading.connection, &of_others(whose));
            assert!(plan.contains("USING INDEX receipt_of_engine (<expr>=?"), "{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("B-TREE"), "{plan}");
        }
        for sql in [&write::KNOWN_HOLD, write::IS_KNOWN] {
            let plan = plan(&db, sql);
            assert!(plan.contains("INDEX hold_of_name (key=?)"), "{plan}");
            assert!(plan.contains("sqlite_autoindex_hold_1 (receipt=?)"), "{plan}");
            assert!(!plan.contains("SCAN"), "{plan}");
        }
    }
}
