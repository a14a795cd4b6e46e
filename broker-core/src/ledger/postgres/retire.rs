//! Receipts that are let go.

use crate::account::UserId;
use crate::command::Retire;
use crate::digest::Digest32;
use crate::ledger::entry::Entry;
use crate::receipt::ReceiptId;
use crate::requests::receipt_leaf;

use super::fault::Trouble;
use super::rows::{Columns, receipt_columns, tariff_columns};
use super::session::Session;
use super::values::Count;
use super::write::alias;

/// Whose receipts may go: they are locked, so that none of theirs comes meanwhile that carries an
/// engine's id once more.
pub(super) fn users(session: &mut Session, retire: &Retire) -> Result<Vec<UserId>, Trouble> {
    let rows = session.query(USERS, &[&Count(retire.upto)])?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

/// The place of the last of the first `limit` final receipts up to a place.
pub(super) fn retirable(
    session: &mut Session,
    upto: u64,
    limit: u64,
) -> Result<Option<u64>, Trouble> {
    let most = |count: u64| Count(count.min(u64::MAX >> 1));
    let last: Option<Count> =
        session.query_one(RETIRABLE, &[&most(upto), &most(limit)])?.try_get(0)?;
    Ok(last.map(|Count(place)| place))
}

/// Puts the leaves of final receipts in their place.
pub(super) fn write(session: &mut Session, retire: &Retire, entry: &Entry) -> Result<(), Trouble> {
    let sql = "INSERT INTO retire VALUES ($1, $2, $3)";
    session.execute(sql, &[&Count(entry.number), &Count(retire.upto), &retire.archive])?;
    let (mut entries, mut leaves) = (Vec::new(), Vec::new());
    let (mut aliases, mut users, mut receipts) = (Vec::new(), Vec::new(), Vec::new());
    session.each::<Trouble>(GONE, &[&Count(retire.upto)], |row| {
        let mut columns = Columns::of(row);
        entries.push(Count(columns.count()?));
        let receipt = columns.receipt()?;
        let leaf: Digest32 = receipt_leaf(&receipt, &columns.tariff()?);
        leaves.push(leaf);
        if let Some(id) = &receipt.upstream_id {
            aliases.push(alias(id));
            users.push(receipt.user);
            let id: ReceiptId = receipt.id;
            receipts.push(id);
        }
        Ok(())
    })?;
    session.execute(RETIRED, &[&entries, &leaves])?;
    session.execute(ALIASES, &[&receipts, &aliases, &users])?;
    session.execute("DELETE FROM upstream_repeat WHERE entry = ANY ($1)", &[&entries])?;
    session.execute("DELETE FROM receipt WHERE entry = ANY ($1)", &[&entries])?;
    session.execute(LEAD, &[&aliases, &users])?;
    session.execute(LED, &[&aliases, &users])?;
    Ok(())
}

const USERS: &str = "SELECT DISTINCT r.user_id FROM receipt r JOIN link l ON l.entry = r.entry \
     WHERE l.seq <= $1";

/// Receipts that no voucher depends on, now or ever: of users without an escrow, and those that
/// ended vouchers collect. With an open voucher these are what the one before it reaches to.
macro_rules! final_source {
    () => {
        " FROM receipt r JOIN link l ON l.entry = r.entry JOIN hold h ON h.key = r.key \
          LEFT JOIN books b ON b.user_id = r.user_id \
          LEFT JOIN open_voucher o ON o.user_id = r.user_id \
          WHERE l.seq <= $1 AND (b.user_id IS NULL OR r.entry <= CASE WHEN o.user_id IS NULL \
          THEN b.sealed_to ELSE (SELECT coalesce(max(v.sealed_to), 0) FROM voucher v \
          WHERE v.user_id = r.user_id AND v.entry < o.voucher) END) "
    };
}

const GONE: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    final_source!(),
    "ORDER BY r.entry"
);

const RETIRABLE: &str = concat!(
    "SELECT max(seq) FROM (SELECT l.seq",
    final_source!(),
    "ORDER BY l.seq LIMIT $2) AS first"
);

const RETIRED: &str =
    "INSERT INTO retired (entry, leaf) SELECT * FROM unnest($1::bigint[], $2::bytea[])";

const ALIASES: &str = "DELETE FROM upstream_alias l \
     USING unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS n (receipt, alias, user_id) \
     WHERE l.alias = n.alias AND l.user_id = n.user_id AND l.receipt = n.receipt";

/// The engine's id leads to the first receipt of its user that is left.
const LEAD: &str = "INSERT INTO upstream_alias (alias, user_id, receipt) \
     SELECT DISTINCT ON (p.alias, p.user_id) p.alias, p.user_id, r.id \
     FROM unnest($1::bytea[], $2::bytea[]) AS n (alias, user_id) \
     JOIN upstream_repeat p ON p.alias = n.alias AND p.user_id = n.user_id \
     JOIN receipt r ON r.entry = p.entry ORDER BY p.alias, p.user_id, p.entry \
     ON CONFLICT DO NOTHING";

/// That receipt is none that repeats an id.
const LED: &str = "DELETE FROM upstream_repeat p \
     USING unnest($1::bytea[], $2::bytea[]) AS n (alias, user_id), upstream_alias l, receipt r \
     WHERE p.alias = n.alias AND p.user_id = n.user_id AND l.alias = n.alias \
     AND l.user_id = n.user_id AND r.id = l.receipt AND p.entry = r.entry";
