//! What a ledger tells of fees on their way to the chain.

use rusqlite::{Connection, OptionalExtension, params};

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::command::Books;
use crate::ledger::LedgerError;
use crate::ledger::statement::{RequestPage, RequestQuery, RequestRow, Statement};
use crate::money::Neuron;

use super::collect;
use super::rows::{Columns, RECEIPT, TARIFF};
use super::values::Count;
use super::write;

/// How one user stands; `None` for an unknown one.
pub(super) fn statement(db: &Connection, user: &UserId) -> Result<Option<Statement>, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let known = snapshot.prepare_cached("SELECT 1 FROM account WHERE user = ?1")?.exists([user])?;
    if known { of_user(&snapshot, user).map(Some) } else { Ok(None) }
}

/// How every user stands.
pub(super) fn statements(db: &Connection) -> Result<Vec<Statement>, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached("SELECT user FROM account ORDER BY user")?;
    let users: Vec<UserId> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    users.iter().map(|user| of_user(&snapshot, user)).collect()
}

fn of_user(db: &Connection, user: &UserId) -> Result<Statement, LedgerError> {
    let books = collect::books(db, user)?;
    Ok(Statement {
        user: *user,
        account: write::account(db, user)?,
        books,
        oldest_unsealed: oldest_unsealed(db, user, &books)?,
        settled: settled(db, user)?,
        open: collect::open_voucher(db, user)?,
    })
}

fn oldest_unsealed(
    db: &Connection,
    user: &UserId,
    books: &Books,
) -> rusqlite::Result<Option<Timestamp>> {
    if !books.carry.is_zero() {
        // What a voucher left unpaid is as old as that voucher's end.
        let sql = "SELECT e.at FROM voucher v JOIN settled s ON s.voucher = v.entry \
                   JOIN entry e ON e.seq = s.entry WHERE v.user = ?1 ORDER BY v.entry DESC LIMIT 1";
        let at = db.prepare_cached(sql)?.query_row([user], |row| row.get(0)).optional()?;
        if at.is_some() {
            return Ok(at);
        }
    }
    let sql = format!(
        "SELECT served_at FROM receipt WHERE user = ?1 AND entry > ?2 AND {} \
         ORDER BY entry LIMIT 1",
        collect::HAS_FEE
    );
    let mut statement = db.prepare_cached(&sql)?;
    statement.query_row(params![user, Count(books.sealed_to)], |row| row.get(0)).optional()
}

fn settled(db: &Connection, user: &UserId) -> Result<Neuron, LedgerError> {
    let sql = "SELECT s.paid FROM voucher v JOIN settled s ON s.voucher = v.entry \
               WHERE v.user = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([user])?;
    let mut sum = Neuron::ZERO;
    while let Some(row) = rows.next()? {
        sum = add(sum, row.get(0)?)?;
    }
    Ok(sum)
}

/// Finished exchanges, the latest first.
pub(super) fn requests(db: &Connection, query: &RequestQuery) -> Result<RequestPage, LedgerError> {
    let snapshot = db.unchecked_transaction()?;
    // The first voucher that reaches to a receipt is the one that collects it.
    let wanted = "(?1 IS NULL OR r.user = ?1) AND (?2 IS NULL OR ?2 = (s.entry IS NOT NULL))";
    let source = "receipt r LEFT JOIN voucher v ON v.entry = (SELECT min(f.entry) FROM voucher f \
                  WHERE f.user = r.user AND f.sealed_to >= r.entry) \
                  LEFT JOIN settled s ON s.voucher = v.entry";
    let mut page = RequestPage::default();
    let mut fees =
        snapshot.prepare_cached(&format!("SELECT r.fee FROM {source} WHERE {wanted}"))?;
    let mut rows = fees.query(params![query.user, query.processed])?;
    while let Some(row) = rows.next()? {
        page.fee = add(page.fee, row.get(0)?)?;
        page.total = page.total.saturating_add(1);
    }
    let sql = format!(
        "SELECT {RECEIPT}, {TARIFF}, v.nonce, s.entry IS NOT NULL FROM {source} \
         JOIN hold h ON h.entry = r.hold WHERE {wanted} \
         ORDER BY r.entry DESC LIMIT ?3 OFFSET ?4"
    );
    let mut statement = snapshot.prepare_cached(&sql)?;
    let most = |count: u64| Count(count.min(u64::MAX >> 1));
    let values = params![query.user, query.processed, most(query.limit), most(query.offset)];
    let rows = statement.query_map(values, |row| {
        let mut columns = Columns::of(row);
        let (receipt, tariff) = (columns.receipt()?, columns.tariff()?);
        let voucher: Option<Count> = columns.take()?;
        let voucher = voucher.map(|Count(nonce)| nonce);
        Ok(RequestRow { receipt, tariff, voucher, settled: columns.take()? })
    })?;
    page.items = rows.collect::<rusqlite::Result<_>>()?;
    Ok(page)
}

fn add(sum: Neuron, amount: Neuron) -> Result<Neuron, LedgerError> {
    let out_of_range = || LedgerError::Corrupt("a total leaves the range of money".to_owned());
    sum.checked_add(amount).ok_or_else(out_of_range)
}
