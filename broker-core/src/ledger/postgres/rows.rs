//! Rows of several columns: the lists of their columns and how they are read.

use postgres::types::FromSql;

use crate::account::{Bucket, Movement};
use crate::ledger::entry::Entry;
use crate::ledger::rows::{Has, Row, Stored};

use super::fault::{Trouble, corrupt};
use super::values::Count;

/// Of an account `a`.
macro_rules! account_columns {
    () => {
        "a.cover, a.held, a.earned, a.vouchered, a.unlimited, a.frozen, \
         a.exchanges"
    };
}

/// Of a hold `h`.
macro_rules! hold_columns {
    () => {
        "h.key, h.fingerprint, h.receipt, h.user_id, h.amount, h.input_price, h.output_price, \
         h.schedule, h.expires"
    };
}

/// Part of a hold `h`.
macro_rules! tariff_columns {
    () => {
        "h.input_price, h.output_price, h.schedule"
    };
}

/// Of a voucher `v`.
macro_rules! voucher_columns {
    () => {
        "v.user_id, v.nonce, v.provider, v.total, v.requests_hash"
    };
}

/// Of a receipt `r` and its hold `h`, which promised its id.
macro_rules! receipt_columns {
    () => {
        "h.receipt, r.user_id, r.outcome, r.status, r.input, r.cached_input, r.cache_write, \
         r.cache_write_1h, r.output, r.source, r.fee, r.request_hash, r.response_hash, r.bytes, \
         r.events, r.signature, r.signing_address, r.upstream_id, r.drained, r.served_at, \
         r.proof"
    };
}

/// Of an entry `e`.
macro_rules! entry_columns {
    () => {
        "e.number, e.kind, e.user_id, e.key, e.memo, e.at, e.debit1, e.credit1, e.amount1, \
         e.debit2, e.credit2, e.amount2, e.debit3, e.credit3, e.amount3"
    };
}

pub(super) use {
    account_columns, entry_columns, hold_columns, receipt_columns, tariff_columns, voucher_columns,
};

/// Takes a row's columns from left to right.
pub(super) type Columns<'row> = crate::ledger::rows::Columns<&'row postgres::Row>;

impl Row for &postgres::Row {
    type Error = Trouble;

    fn wrong(_: usize, what: &'static str) -> Trouble {
        what.into()
    }

    fn count(&self, column: usize) -> Result<u64, Trouble> {
        self.get(column).map(|Count(count)| count)
    }

    fn status(&self, column: usize) -> Result<u16, Trouble> {
        let status: i32 = self.get(column)?;
        u16::try_from(status).map_err(|_| "it is no HTTP status".into())
    }

    /// Stored as bytes: PostgreSQL's texts cannot hold every text.
    fn text(&self, column: usize) -> Result<Option<String>, Trouble> {
        let bytes: Option<Vec<u8>> = self.get(column)?;
        bytes.map(String::from_utf8).transpose().map_err(|_| "it is no text".into())
    }
}

impl<'row, T: FromSql<'row>> Has<T> for &'row postgres::Row {
    fn get(&self, column: usize) -> Result<T, Trouble> {
        Ok(self.try_get(column)?)
    }
}

impl Stored for &postgres::Row {}

impl From<&'static str> for Trouble {
    fn from(what: &'static str) -> Self {
        corrupt(what)
    }
}

impl Columns<'_> {
    /// An entry without its number, which is told apart.
    pub(super) fn entry(&mut self, seq: u64, number: u64) -> Result<Entry, Trouble> {
        let mut entry = self.entry_at(seq, number)?;
        for n in 0..MOVEMENTS_MAX {
            let (debit, credit): (Option<Bucket>, Option<Bucket>) = (self.take()?, self.take()?);
            match (debit, credit, self.take()?) {
                (Some(debit), Some(credit), Some(amount)) if n == entry.movements.len() => {
                    entry.movements.push(Movement { user: entry.user, debit, credit, amount });
                }
                (None, None, None) => {}
                (Some(_), Some(_), Some(_)) => {
                    return Err("the movement before one is missing".into());
                }
                _ => return Err("a part of a movement is missing".into()),
            }
        }
        Ok(entry)
    }
}

/// As many as an entry has columns for.
const MOVEMENTS_MAX: usize = 3;
