//! Rows of several columns: the lists of their columns and how they are read.

use rusqlite::Connection;
use rusqlite::types::{FromSql, Type};

use crate::ledger::rows::{Has, Row, Stored};

use super::values::Count;

pub(super) const ACCOUNT: &str = "a.cover, a.held, a.earned, a.vouchered, a.unlimited, a.frozen, \
     a.exchanges";

pub(super) const HOLD: &str = "h.key, h.fingerprint, h.receipt, h.user, h.amount, \
     h.input_price, h.output_price, h.schedule, h.expires";

/// Part of [`HOLD`].
pub(super) const TARIFF: &str = "h.input_price, h.output_price, h.schedule";

pub(super) const VOUCHER: &str = "v.user, v.nonce, v.provider, v.total, v.requests_hash";

pub(super) const RECEIPT: &str = "r.id, r.user, r.outcome, r.status, r.input, r.cached_input, \
     r.cache_write, r.cache_write_1h, r.output, r.source, r.fee, r.request_hash, r.response_hash, \
     r.bytes, r.events, r.signature, r.signing_address, r.upstream_id, r.drained, r.served_at, \
     r.proof";

/// Takes a row's columns from left to right.
pub(super) type Columns<'row, 'stmt> = crate::ledger::rows::Columns<&'row rusqlite::Row<'stmt>>;

impl Row for &rusqlite::Row<'_> {
    type Error = rusqlite::Error;

    fn wrong(column: usize, what: &'static str) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, what.into())
    }

    fn count(&self, column: usize) -> rusqlite::Result<u64> {
        self.get(column).map(|Count(count)| count)
    }

    fn status(&self, column: usize) -> rusqlite::Result<u16> {
        self.get(column)
    }

    fn text(&self, column: usize) -> rusqlite::Result<Option<String>> {
        self.get(column)
    }
}

impl<T: FromSql> Has<T> for &rusqlite::Row<'_> {
    fn get(&self, column: usize) -> rusqlite::Result<T> {
        rusqlite::Row::get(self, column)
    }
}

impl Stored for &rusqlite::Row<'_> {}

/// How many rows a table has.
pub(super) fn count(db: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {table}");
    db.query_row(&sql, [], |row| row.get(0)).map(|Count(rows)| rows)
}
