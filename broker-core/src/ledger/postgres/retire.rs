//! Receipts that are let go.

use crate::account::UserId;
use crate::command::Retire;
use crate::digest::Digest32;
use crate::ledger::entry::Entry;
use crate::requests::receipt_leaf;

use super::fault::Trouble;
use super::rows::{Columns, receipt_columns, tariff_columns};
use super::session::Session;
use super::values::Count;
use super::write::alias;

/// Who has final receipts up to a place: they are locked, so that none of theirs comes meanwhile
/// that carries an engine's id once more.
pub(super) fn users(session: &mut Session, retire: &Retire) -> Result<Vec<UserId>, Trouble> {
    session.query(INTERPRET, &[])?;
    let rows = session.query(USERS, &[&Count(retire.upto)])?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

/// Those of them whose accounts are locked, by now or just now. Who was none of them when the
/// batch's accounts were locked is not waited for: that would be out of order. Theirs go next time.
fn locked(session: &mut Session, retire: &Retire) -> Result<Vec<UserId>, Trouble> {
    let users = users(session, retire)?;
    let rows = session.query(LOCKED, &[&users])?;
    rows.iter().map(|row| Columns::of(row).take()).collect()
}

/// The place of the last of the first `limit` final receipts up to a place, in the order of their
/// numbers: one that lets at least one of them go.
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
    let (mut aliases, mut users, mut carriers) = (Vec::new(), Vec::new(), Vec::new());
    let owners = locked(session, retire)?;
    session.each::<Trouble>(GONE, &[&Count(retire.upto), &owners], |row| {
        let mut columns = Columns::of(row);
        let entry = Count(columns.count()?);
        entries.push(entry);
        let receipt = columns.receipt()?;
        let leaf: Digest32 = receipt_leaf(&receipt, &columns.tariff()?);
        leaves.push(leaf);
        if let Some(id) = &receipt.upstream_id {
            aliases.push(alias(id));
            users.push(receipt.user);
            carriers.push(entry);
        }
        Ok(())
    })?;
    session.execute(RETIRED, &[&entries, &leaves])?;
    session.execute(ALIASES, &[&carriers, &aliases, &users])?;
    session.execute("DELETE FROM upstream_repeat WHERE entry = ANY ($1)", &[&entries])?;
    session.execute("DELETE FROM receipt WHERE entry = ANY ($1)", &[&entries])?;
    session.execute(LEAD, &[&aliases, &users])?;
    session.execute(LED, &[&aliases, &users])?;
    Ok(())
}

/// Receipts that no voucher depends on, now or ever: those that cost nothing, those of users who
/// have no escrow, and those that ended vouchers collect. With an open voucher these are what the
/// one before it reaches to. One with a proof has to stand in the receipt log: its leaf cannot be
/// made once it is gone.
///
/// The number of the entry at the place bounds the walk through the receipts. A user's numbers are
/// in the order of their places, and what others wrote beside it under a higher number goes with a
/// later place.
///
/// Questions within it instead of joins: with those the planner may sort all receipts first.
macro_rules! which_are_final {
    () => {
        " WHERE r.entry <= (SELECT x.entry FROM link x WHERE x.seq <= $1 \
          ORDER BY x.seq DESC LIMIT 1) \
          AND (SELECT l.seq FROM link l WHERE l.entry = r.entry) <= $1 \
          AND (r.proof IS NULL OR EXISTS (SELECT 1 FROM log_leaf g WHERE g.entry = r.entry)) \
          AND (r.fee = 0 OR r.entry <= coalesce((SELECT CASE WHEN w.entry IS NULL \
          THEN b.sealed_to ELSE coalesce((SELECT v.sealed_to FROM voucher v \
          WHERE v.user_id = w.user_id AND v.nonce < w.nonce ORDER BY v.nonce DESC LIMIT 1), 0) \
          END FROM books b LEFT JOIN open_voucher o ON o.user_id = b.user_id \
          LEFT JOIN voucher w ON w.entry = o.voucher WHERE b.user_id = r.user_id), r.entry)) "
    };
}

const USERS: &str = concat!("SELECT DISTINCT r.user_id FROM receipt r", which_are_final!());

const LOCKED: &str = "SELECT a.user_id FROM account a WHERE a.user_id = ANY ($1) \
     FOR UPDATE SKIP LOCKED";

const GONE: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    " FROM receipt r JOIN hold h ON h.entry = r.hold",
    which_are_final!(),
    "AND r.user_id = ANY ($2) ORDER BY r.entry"
);

const RETIRABLE: &str = concat!(
    "SELECT max(l.seq) FROM (SELECT r.entry FROM receipt r",
    which_are_final!(),
    "ORDER BY r.entry LIMIT $2) AS first JOIN link l ON l.entry = first.entry"
);

/// To compile such a question takes longer than to answer it.
const INTERPRET: &str = "SELECT set_config(name, 'off', true) FROM pg_settings WHERE name = 'jit'";

const RETIRED: &str =
    "INSERT INTO retired (entry, leaf) SELECT * FROM unnest($1::bigint[], $2::bytea[])";

const ALIASES: &str = "DELETE FROM upstream_alias l \
     USING unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS n (entry, alias, user_id) \
     WHERE l.alias = n.alias AND l.user_id = n.user_id AND l.entry = n.entry";

/// The engine's id leads to the first receipt of its user that is left.
const LEAD: &str = "INSERT INTO upstream_alias (alias, user_id, entry) \
     SELECT DISTINCT ON (p.alias, p.user_id) p.alias, p.user_id, p.entry \
     FROM unnest($1::bytea[], $2::bytea[]) AS n (alias, user_id) \
     JOIN upstream_repeat p ON p.alias = n.alias AND p.user_id = n.user_id \
     JOIN receipt r ON r.entry = p.entry ORDER BY p.alias, p.user_id, p.entry \
     ON CONFLICT DO NOTHING";

/// That receipt is none that repeats an id.
const LED: &str = "DELETE FROM upstream_repeat p \
     USING unnest($1::bytea[], $2::bytea[]) AS n (alias, user_id), upstream_alias l \
     WHERE p.alias = n.alias AND p.user_id = n.user_id AND l.alias = n.alias \
     AND l.user_id = n.user_id AND p.entry = l.entry";
