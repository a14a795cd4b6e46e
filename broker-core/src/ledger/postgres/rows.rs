//! Rows of several columns: the lists of their columns and how they are read.

use postgres::Row;
use postgres::types::FromSql;

use crate::account::{Account, Bucket, Movement, UserId};
use crate::command::{Hold, HoldState, OpenVoucher, ReleaseReason};
use crate::ledger::LedgerError;
use crate::ledger::entry::Entry;
use crate::money::Neuron;
use crate::receipt::Receipt;
use crate::tariff::{Tariff, Usage};
use crate::voucher::Voucher;

use super::fault::{Trouble, corrupt};
use super::values::Count;

/// Of an account `a`.
macro_rules! account_columns {
    () => {
        "a.cover, a.held, a.earned, a.vouchered, a.unlimited, a.frozen"
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

/// Of a receipt `r`.
macro_rules! receipt_columns {
    () => {
        "r.id, r.user_id, r.outcome, r.status, r.input, r.cached_input, r.cache_write, \
         r.cache_write_1h, r.output, r.source, r.fee, r.request_hash, r.response_hash, r.bytes, \
         r.events, r.signature, r.signing_address, r.upstream_id, r.drained, r.served_at"
    };
}

/// Of an entry `e` and its movements, which are joined on as `t`, `u` and `w`.
macro_rules! entry_columns {
    () => {
        "e.number, e.kind, e.user_id, e.key, e.memo, e.at, t.debit, t.credit, t.amount, \
         u.debit, u.credit, u.amount, w.debit, w.credit, w.amount"
    };
}

pub(super) use {
    account_columns, entry_columns, hold_columns, receipt_columns, tariff_columns, voucher_columns,
};

/// Takes a row's columns from left to right.
pub(super) struct Columns<'row> {
    row: &'row Row,
    next: usize,
}

impl<'row> Columns<'row> {
    pub(super) fn of(row: &'row Row) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql<'row>>(&mut self) -> Result<T, Trouble> {
        let column = self.next;
        self.next = column.saturating_add(1);
        Ok(self.row.try_get(column)?)
    }

    pub(super) fn account(&mut self) -> Result<Account, Trouble> {
        Ok(Account {
            cover: self.take()?,
            held: self.take()?,
            earned: self.take()?,
            vouchered: self.take()?,
            unlimited: self.take()?,
            frozen: self.take()?,
        })
    }

    /// An entry as if its place were its number; a leader knows better.
    pub(super) fn entry(&mut self) -> Result<Entry, Trouble> {
        let number = self.count()?;
        let (kind, user, key) = (self.take()?, self.take()?, self.take()?);
        let (memo, at) = (self.take()?, self.take()?);
        let movements = [self.movement(user)?, self.movement(user)?, self.movement(user)?];
        let movements = movements.into_iter().flatten().collect();
        Ok(Entry { seq: number, number, kind, user, key, memo, at, movements })
    }

    fn movement(&mut self, user: UserId) -> Result<Option<Movement>, Trouble> {
        let (debit, credit): (Option<Bucket>, Option<Bucket>) = (self.take()?, self.take()?);
        let amount = self.take()?;
        let all = debit.zip(credit).zip(amount);
        Ok(all.map(|((debit, credit), amount)| Movement { user, debit, credit, amount }))
    }

    pub(super) fn hold(&mut self) -> Result<Hold, Trouble> {
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

    /// Whether a hold is among the open ones, and its release.
    pub(super) fn hold_state(&mut self) -> Result<HoldState, Trouble> {
        let (is_open, released): (bool, Option<ReleaseReason>) = (self.take()?, self.take()?);
        Ok(match released {
            _ if is_open => HoldState::Open,
            Some(why) => HoldState::Released(why),
            None => HoldState::Finished,
        })
    }

    pub(super) fn tariff(&mut self) -> Result<Tariff, Trouble> {
        let (input, output): (Neuron, Neuron) = (self.take()?, self.take()?);
        let schedule: Option<&[u8]> = self.take()?;
        let tariff = Tariff::from_parts(input, output, schedule);
        tariff.ok_or_else(|| corrupt("a hold's schedule of prices cannot be read"))
    }

    pub(super) fn voucher(&mut self) -> Result<Voucher, Trouble> {
        Ok(Voucher {
            user: self.take()?,
            nonce: self.count()?,
            provider: self.take()?,
            total: self.take()?,
            requests_hash: self.take()?,
        })
    }

    /// A voucher's entry, the voucher, and where and when it began.
    pub(super) fn open_voucher(&mut self) -> Result<(u64, OpenVoucher), Trouble> {
        let entry = self.count()?;
        let (voucher, since, sealed_at) = (self.voucher()?, self.count()?, self.take()?);
        Ok((entry, OpenVoucher { voucher, signatures: Vec::new(), since, sealed_at }))
    }

    pub(super) fn receipt(&mut self) -> Result<Receipt, Trouble> {
        Ok(Receipt {
            id: self.take()?,
            user: self.take()?,
            outcome: self.take()?,
            status: self.status()?,
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
            upstream_id: self.upstream_id()?,
            drained: self.take()?,
            served_at: self.take()?,
        })
    }

    fn status(&mut self) -> Result<u16, Trouble> {
        let status: i32 = self.take()?;
        let out = |_| Trouble::Failed(LedgerError::Corrupt(format!("{status} is no HTTP status")));
        u16::try_from(status).map_err(out)
    }

    /// Stored as bytes: PostgreSQL's texts cannot hold every text.
    fn upstream_id(&mut self) -> Result<Option<String>, Trouble> {
        let bytes: Option<Vec<u8>> = self.take()?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|_| corrupt("an engine's id is no text"))
    }

    pub(super) fn count(&mut self) -> Result<u64, Trouble> {
        self.take().map(|Count(count)| count)
    }
}
