//! What a ledger tells of fees on their way to the chain.

use std::collections::HashMap;

use postgres::Row;

use crate::account::{Account, UserId};
use crate::command::{Books, OpenVoucher};
use crate::ledger::statement::{RequestPage, RequestQuery, RequestRow, Statement};
use crate::money::Neuron;

use super::collect;
use super::fault::Trouble;
use super::rows::{Columns, account_columns, receipt_columns, tariff_columns};
use super::session::Session;
use super::values::Count;

/// One user's buckets; an unknown user's are empty.
pub(super) fn account(session: &mut Session, user: &UserId) -> Result<Account, Trouble> {
    let found = session.query_opt(ACCOUNT, &[user])?;
    Ok(found.map(|row| Columns::of(&row).account()).transpose()?.unwrap_or_default())
}

/// How one user stands; `None` for an unknown one.
pub(super) fn statement(
    session: &mut Session,
    user: &UserId,
) -> Result<Option<Statement>, Trouble> {
    session.transact(SNAPSHOT, |session| {
        let Some(row) = session.query_opt(STANDING, &[user])? else { return Ok(None) };
        let open = collect::open_voucher(session, user)?;
        standing(&row, |_| open).map(Some)
    })
}

/// How every user stands: as many questions for all of them as for a few.
pub(super) fn statements(session: &mut Session) -> Result<Vec<Statement>, Trouble> {
    session.transact(SNAPSHOT, |session| {
        let open = collect::open_vouchers(session)?.into_iter();
        let mut open: HashMap<_, _> = open.map(|open| (open.voucher.user, open)).collect();
        let rows = session.query(STANDINGS, &[])?;
        rows.iter().map(|row| standing(row, |user| open.remove(user))).collect()
    })
}

fn standing(
    row: &Row,
    open: impl FnOnce(&UserId) -> Option<OpenVoucher>,
) -> Result<Statement, Trouble> {
    let mut columns = Columns::of(row);
    let (user, account) = (columns.take()?, columns.account()?);
    let nonce: Option<Count> = columns.take()?;
    let nonce = nonce.map(|Count(nonce)| nonce);
    let books = Books { nonce, sealed_to: columns.count()?, carry: columns.take()? };
    let (settled, oldest_unsealed) = (columns.take()?, columns.take()?);
    Ok(Statement { user, account, books, oldest_unsealed, settled, open: open(&user) })
}

/// Finished exchanges, the latest first.
pub(super) fn requests(
    session: &mut Session,
    query: &RequestQuery,
) -> Result<RequestPage, Trouble> {
    session.transact(SNAPSHOT, |session| {
        let most = |count: u64| Count(count.min(u64::MAX >> 1));
        let (limit, offset) = (most(query.limit), most(query.offset));
        let (sums, rows) = match &query.user {
            Some(user) => {
                let (sums, page) = of_one(query.processed);
                (session.query_one(sums, &[user])?, session.query(page, &[&limit, &offset, user])?)
            }
            None => {
                let (sums, page) = of_all(query.processed);
                (session.query_one(sums, &[])?, session.query(page, &[&limit, &offset])?)
            }
        };
        let mut columns = Columns::of(&sums);
        let (total, fee): (u64, Neuron) = (columns.count()?, columns.take()?);
        let items = rows.iter().map(|row| {
            let mut columns = Columns::of(row);
            let (receipt, tariff) = (columns.receipt()?, columns.tariff()?);
            let voucher: Option<Count> = columns.take()?;
            let voucher = voucher.map(|Count(nonce)| nonce);
            Ok(RequestRow { receipt, tariff, voucher, settled: columns.take()? })
        });
        Ok(RequestPage { total, fee, items: items.collect::<Result<_, Trouble>>()? })
    })
}

/// Several questions about one moment.
pub(super) const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const ACCOUNT: &str =
    concat!("SELECT ", account_columns!(), " FROM account a WHERE a.user_id = $1");

/// What a voucher left unpaid is as old as that voucher's end, and comes before what no voucher
/// collects yet.
macro_rules! standing_source {
    ($settled:literal) => {
        concat!(
            "SELECT a.user_id, ",
            account_columns!(),
            ", b.nonce, coalesce(b.sealed_to, 0), coalesce(b.carry, 0), coalesce(p.paid, 0), \
             coalesce(c.at, f.served_at) FROM account a LEFT JOIN books b ON b.user_id = a.user_id \
             LEFT JOIN LATERAL (",
            $settled,
            " LEFT JOIN LATERAL (SELECT e.at FROM voucher v JOIN settled s ON s.voucher = v.entry \
             JOIN entry e ON e.number = s.entry WHERE v.user_id = b.user_id AND b.carry > 0 \
             ORDER BY v.sealed_to DESC, v.entry DESC LIMIT 1) c ON true \
             LEFT JOIN LATERAL (SELECT r.served_at FROM receipt r WHERE r.user_id = a.user_id \
             AND r.entry > coalesce(b.sealed_to, 0) AND r.fee > 0 ORDER BY r.entry LIMIT 1) f \
             ON c.at IS NULL WHERE a.known "
        )
    };
}

const STANDING: &str = concat!(
    standing_source!(
        "SELECT sum(s.paid) AS paid FROM voucher v JOIN settled s ON s.voucher = v.entry \
         WHERE v.user_id = a.user_id) p ON true"
    ),
    "AND a.user_id = $1"
);

const STANDINGS: &str = concat!(
    standing_source!(
        "SELECT v.user_id, sum(s.paid) AS paid FROM voucher v JOIN settled s \
         ON s.voucher = v.entry GROUP BY v.user_id) p ON p.user_id = a.user_id"
    ),
    "ORDER BY a.user_id"
);

/// How far a user's vouchers that have ended reach: all of them come before the open one.
macro_rules! reach {
    ($user:literal) => {
        concat!(
            "coalesce((SELECT v.sealed_to FROM voucher v WHERE v.user_id = ",
            $user,
            " AND EXISTS (SELECT 1 FROM settled s WHERE s.voucher = v.entry) \
             ORDER BY v.sealed_to DESC LIMIT 1), 0)"
        )
    };
}

/// A user's receipts, from the two indexes that have them between them.
macro_rules! own {
    ($user:literal) => {
        concat!(
            " FROM (SELECT entry, fee FROM receipt WHERE fee > 0 AND user_id = ",
            $user,
            " UNION ALL SELECT entry, fee FROM receipt WHERE fee = 0 AND user_id = ",
            $user,
            ") r "
        )
    };
}

/// Everybody's receipts, and how far the ended vouchers of their users reach.
macro_rules! every_reach {
    () => {
        " FROM receipt r LEFT JOIN (SELECT v.user_id, max(v.sealed_to) AS reach FROM voucher v \
          JOIN settled s ON s.voucher = v.entry GROUP BY v.user_id) x ON x.user_id = r.user_id "
    };
}

macro_rules! sums {
    ($($source:expr),*) => {
        concat!("SELECT count(*), coalesce(sum(r.fee), 0)", $($source),*)
    };
}

/// What is shown of receipts is looked up for those of the page only. The first voucher that
/// reaches to a receipt is the one that collects it.
macro_rules! page {
    ($($source:expr),*) => {
        concat!(
            "SELECT ",
            receipt_columns!(),
            ", ",
            tariff_columns!(),
            ", v.nonce, s.entry IS NOT NULL FROM (SELECT r.entry",
            $($source,)*
            " ORDER BY r.entry DESC LIMIT $1 OFFSET $2) n JOIN receipt r ON r.entry = n.entry \
             JOIN hold h ON h.entry = r.hold LEFT JOIN LATERAL (SELECT f.entry, f.nonce \
             FROM voucher f WHERE f.user_id = r.user_id AND f.sealed_to >= r.entry \
             ORDER BY f.sealed_to, f.entry LIMIT 1) v ON true \
             LEFT JOIN settled s ON s.voucher = v.entry ORDER BY r.entry DESC"
        )
    };
}

/// The questions for the sums and for the page of one user's receipts. In a question of its own,
/// each has the plan that suits it.
fn of_one(processed: Option<bool>) -> (&'static str, &'static str) {
    match processed {
        None => (sums!(own!("$1")), page!(own!("$3"))),
        Some(true) => (
            sums!(own!("$1"), "WHERE r.entry <= ", reach!("$1")),
            page!(own!("$3"), "WHERE r.entry <= ", reach!("$3")),
        ),
        Some(false) => (
            sums!(own!("$1"), "WHERE r.entry > ", reach!("$1")),
            page!(own!("$3"), "WHERE r.entry > ", reach!("$3")),
        ),
    }
}

/// The same for everybody's.
fn of_all(processed: Option<bool>) -> (&'static str, &'static str) {
    match processed {
        None => (sums!(" FROM receipt r"), page!(" FROM receipt r")),
        Some(true) => (
            sums!(every_reach!(), "WHERE r.entry <= coalesce(x.reach, 0)"),
            page!(" FROM receipt r WHERE r.entry <= ", reach!("r.user_id")),
        ),
        Some(false) => (
            sums!(every_reach!(), "WHERE r.entry > coalesce(x.reach, 0)"),
            page!(" FROM receipt r WHERE r.entry > ", reach!("r.user_id")),
        ),
    }
}
