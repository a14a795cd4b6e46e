//! What a ledger tells of fees on their way to the chain.

use crate::account::{Account, UserId};
use crate::clock::Timestamp;
use crate::command::Books;
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
        let sql = "SELECT 1 FROM account WHERE user_id = $1 AND known";
        let known = session.query_opt(sql, &[user])?.is_some();
        known.then(|| of_user(session, user)).transpose()
    })
}

/// How every user stands.
pub(super) fn statements(session: &mut Session) -> Result<Vec<Statement>, Trouble> {
    session.transact(SNAPSHOT, |session| {
        let sql = "SELECT user_id FROM account WHERE known ORDER BY user_id";
        let users: Result<Vec<UserId>, _> =
            session.query(sql, &[])?.iter().map(|row| Columns::of(row).take()).collect();
        users?.iter().map(|user| of_user(session, user)).collect()
    })
}

fn of_user(session: &mut Session, user: &UserId) -> Result<Statement, Trouble> {
    let books = collect::books(session, user)?;
    Ok(Statement {
        user: *user,
        account: account(session, user)?,
        books,
        oldest_unsealed: oldest_unsealed(session, user, &books)?,
        settled: Columns::of(&session.query_one(SETTLED, &[user])?).take()?,
        open: collect::open_voucher(session, user)?,
    })
}

fn oldest_unsealed(
    session: &mut Session,
    user: &UserId,
    books: &Books,
) -> Result<Option<Timestamp>, Trouble> {
    if !books.carry.is_zero() {
        // What a voucher left unpaid is as old as that voucher's end.
        let ended = session.query_opt(LAST_END, &[user])?;
        if let Some(row) = ended {
            return Ok(Some(Columns::of(&row).take()?));
        }
    }
    let first = session.query_opt(OLDEST, &[user, &Count(books.sealed_to)])?;
    first.map(|row| Columns::of(&row).take()).transpose()
}

/// Finished exchanges, the latest first.
pub(super) fn requests(
    session: &mut Session,
    query: &RequestQuery,
) -> Result<RequestPage, Trouble> {
    session.transact(SNAPSHOT, |session| {
        let sums = session.query_one(SUMS, &[&query.user, &query.processed])?;
        let mut columns = Columns::of(&sums);
        let (total, fee): (u64, Neuron) = (columns.count()?, columns.take()?);
        let most = |count: u64| Count(count.min(u64::MAX >> 1));
        let (limit, offset) = (most(query.limit), most(query.offset));
        let rows = session.query(PAGE, &[&query.user, &query.processed, &limit, &offset])?;
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

const SETTLED: &str = "SELECT coalesce(sum(s.paid), 0) FROM voucher v \
     JOIN settled s ON s.voucher = v.entry WHERE v.user_id = $1";

const LAST_END: &str = "SELECT e.at FROM voucher v JOIN settled s ON s.voucher = v.entry \
     JOIN entry e ON e.number = s.entry WHERE v.user_id = $1 ORDER BY v.entry DESC LIMIT 1";

const OLDEST: &str = "SELECT served_at FROM receipt \
     WHERE user_id = $1 AND entry > $2 AND fee > 0 ORDER BY entry LIMIT 1";

/// The first voucher that reaches to a receipt is the one that collects it.
macro_rules! wanted {
    () => {
        " FROM receipt r JOIN hold h ON h.key = r.key LEFT JOIN voucher v ON v.entry = (SELECT \
         min(f.entry) FROM voucher f WHERE f.user_id = r.user_id AND f.sealed_to >= r.entry) \
         LEFT JOIN settled s ON s.voucher = v.entry WHERE ($1::bytea IS NULL OR r.user_id = $1) \
         AND ($2::boolean IS NULL OR $2 = (s.entry IS NOT NULL))"
    };
}

const SUMS: &str = concat!("SELECT count(*), coalesce(sum(r.fee), 0)", wanted!());

const PAGE: &str = concat!(
    "SELECT ",
    receipt_columns!(),
    ", ",
    tariff_columns!(),
    ", v.nonce, s.entry IS NOT NULL",
    wanted!(),
    " ORDER BY r.entry DESC LIMIT $3 OFFSET $4"
);
