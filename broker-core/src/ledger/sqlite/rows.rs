//! Rows of several columns: the lists of their columns and how they are read.

use rusqlite::types::{FromSql, Type};
use rusqlite::{Connection, Row};

use crate::account::Account;
use crate::command::{Hold, OpenVoucher};
use crate::money::Neuron;
use crate::receipt::Receipt;
use crate::tariff::{Tariff, Usage};
use crate::voucher::Voucher;

use super::values::Count;

pub(super) const ACCOUNT: &str = "a.cover, a.held, a.earned, a.vouchered, a.unlimited, a.frozen";

pub(super) const HOLD: &str = "h.key, h.fingerprint, h.receipt, h.user, h.amount, \
     h.input_price, h.output_price, h.schedule, h.expires";

/// Part of [`HOLD`].
pub(super) const TARIFF: &str = "h.input_price, h.output_price, h.schedule";

pub(super) const VOUCHER: &str = "v.user, v.nonce, v.provider, v.total, v.requests_hash";

pub(super) const RECEIPT: &str = "r.id, r.user, r.outcome, r.status, r.input, r.cached_input, \
     r.cache_write, r.cache_write_1h, r.output, r.source, r.fee, r.request_hash, r.response_hash, \
     r.bytes, r.events, r.signature, r.signing_address, r.upstream_id, r.drained, r.served_at";

/// Takes a row's columns from left to right.
pub(super) struct Columns<'row, 'stmt> {
    row: &'row Row<'stmt>,
    next: usize,
}

impl<'row, 'stmt> Columns<'row, 'stmt> {
    pub(super) fn of(row: &'row Row<'stmt>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let column = self.next;
        self.next = column.saturating_add(1);
        self.row.get(column)
    }

    /// The columns of [`ACCOUNT`].
    pub(super) fn account(&mut self) -> rusqlite::Result<Account> {
        Ok(Account {
            cover: self.take()?,
            held: self.take()?,
            earned: self.take()?,
            vouchered: self.take()?,
            unlimited: self.take()?,
            frozen: self.take()?,
        })
    }

    /// The columns of [`HOLD`].
    pub(super) fn hold(&mut self) -> rusqlite::Result<Hold> {
        Ok(Hold {
            key: self.take()?,
            fingerprint: self.take()?,
            receipt: self.take()?,
            user: self.take()?,
            amount: self.take()?,
            tariff: self.tariff()?,
            expires: self.take()?,
        })
    }

    /// The columns of [`TARIFF`].
    pub(super) fn tariff(&mut self) -> rusqlite::Result<Tariff> {
        let (input, output): (Neuron, Neuron) = (self.take()?, self.take()?);
        let schedule: Option<Vec<u8>> = self.take()?;
        let column = self.next.saturating_sub(1);
        let tariff = Tariff::from_parts(input, output, schedule.as_deref());
        tariff.ok_or_else(|| {
            let why = "it is no schedule of prices".into();
            rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, why)
        })
    }

    /// The columns of [`VOUCHER`].
    pub(super) fn voucher(&mut self) -> rusqlite::Result<Voucher> {
        Ok(Voucher {
            user: self.take()?,
            nonce: self.count()?,
            provider: self.take()?,
            total: self.take()?,
            requests_hash: self.take()?,
        })
    }

    /// A voucher's entry, the columns of [`VOUCHER`], and where and when it began.
    pub(super) fn open_voucher(&mut self) -> rusqlite::Result<(Count, OpenVoucher)> {
        let entry = self.take()?;
        let (voucher, since, sealed_at) = (self.voucher()?, self.count()?, self.take()?);
        Ok((entry, OpenVoucher { voucher, signatures: Vec::new(), since, sealed_at }))
    }

    /// The columns of [`RECEIPT`].
    pub(super) fn receipt(&mut self) -> rusqlite::Result<Receipt> {
        Ok(Receipt {
            id: self.take()?,
            user: self.take()?,
            outcome: self.take()?,
            status: self.take()?,
            usage: Usage {
                input: self.count()?,
                cached_input: self.count()?,
                cache_write: self.count()?,
                cache_write_1h: self.count()?,
                output: self.count()?,
                source: self.take()?,
            },
            fee: self.take()?,
            request_hash: self.take()?,
            response_hash: self.take()?,
            bytes: self.count()?,
            events: self.count()?,
            signature: self.take()?,
            signing_address: self.take()?,
            upstream_id: self.take()?,
            drained: self.take()?,
            served_at: self.take()?,
        })
    }

    pub(super) fn count(&mut self) -> rusqlite::Result<u64> {
        self.take().map(|Count(count)| count)
    }
}

/// How many rows a table has.
pub(super) fn count(db: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {table}");
    db.query_row(&sql, [], |row| row.get(0)).map(|Count(rows)| rows)
}
