//! How rows of several columns are read, whichever database they come from.

use crate::account::{Account, Bucket, UserId};
use crate::clock::Timestamp;
use crate::command::{Hold, HoldState, OpenVoucher, ReleaseReason};
use crate::digest::{Digest32, Fingerprint, RequestKey};
use crate::ledger::entry::{Entry, EntryKind};
use crate::money::Neuron;
use crate::receipt::{Outcome, Proof, Receipt, ReceiptId};
use crate::signer::{Address, Signature};
use crate::tariff::{Tariff, Usage, UsageSource};
use crate::voucher::Voucher;

mod records;

pub(super) use records::read;

/// A row, as a database's client gives it.
pub(super) trait Row {
    type Error;

    /// What is in a column cannot be.
    fn wrong(column: usize, what: &'static str) -> Self::Error;

    fn count(&self, column: usize) -> Result<u64, Self::Error>;

    fn status(&self, column: usize) -> Result<u16, Self::Error>;

    fn text(&self, column: usize) -> Result<Option<String>, Self::Error>;
}

/// A row that may have a `T` in a column.
pub(super) trait Has<T>: Row {
    fn get(&self, column: usize) -> Result<T, Self::Error>;
}

/// A row that may have any of the crate's values.
pub(super) trait Stored:
    Has<bool>
    + Has<Option<Vec<u8>>>
    + Has<UserId>
    + Has<Digest32>
    + Has<RequestKey>
    + Has<Option<RequestKey>>
    + Has<Fingerprint>
    + Has<ReceiptId>
    + Has<Signature>
    + Has<Option<Signature>>
    + Has<Address>
    + Has<Option<Address>>
    + Has<Bucket>
    + Has<EntryKind>
    + Has<ReleaseReason>
    + Has<Option<ReleaseReason>>
    + Has<Outcome>
    + Has<UsageSource>
    + Has<Neuron>
    + Has<Timestamp>
{
}

/// Takes a row's columns from left to right.
pub(super) struct Columns<R> {
    row: R,
    next: usize,
}

impl<R: Row> Columns<R> {
    pub(super) fn of(row: R) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T>(&mut self) -> Result<T, R::Error>
    where
        R: Has<T>,
    {
        let column = self.step();
        self.row.get(column)
    }

    pub(super) fn count(&mut self) -> Result<u64, R::Error> {
        let column = self.step();
        self.row.count(column)
    }

    fn step(&mut self) -> usize {
        let column = self.next;
        self.next = column.saturating_add(1);
        column
    }
}

impl<R: Stored> Columns<R> {
    pub(super) fn account(&mut self) -> Result<Account, R::Error> {
        Ok(Account {
            cover: self.take()?,
            held: self.take()?,
            earned: self.take()?,
            vouchered: self.take()?,
            unlimited: self.take()?,
            frozen: self.take()?,
            exchanges: self.count()?,
        })
    }

    /// An entry without its movements.
    pub(super) fn entry_at(&mut self, seq: u64, number: u64) -> Result<Entry, R::Error> {
        let (kind, user, key) = (self.take()?, self.take()?, self.take()?);
        let (memo, at) = (self.take()?, self.take()?);
        Ok(Entry { seq, number, kind, user, key, memo, at, movements: Vec::with_capacity(3) })
    }

    pub(super) fn hold(&mut self) -> Result<Hold, R::Error> {
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
    pub(super) fn hold_state(&mut self) -> Result<HoldState, R::Error> {
        let (is_open, released): (bool, Option<ReleaseReason>) = (self.take()?, self.take()?);
        Ok(match released {
            _ if is_open => HoldState::Open,
            Some(why) => HoldState::Released(why),
            None => HoldState::Finished,
        })
    }

    pub(super) fn tariff(&mut self) -> Result<Tariff, R::Error> {
        let (input, output): (Neuron, Neuron) = (self.take()?, self.take()?);
        let column = self.step();
        let schedule: Option<Vec<u8>> = self.row.get(column)?;
        let tariff = Tariff::from_parts(input, output, schedule.as_deref());
        tariff.ok_or_else(|| R::wrong(column, "it is no schedule of prices"))
    }

    fn proof(&mut self) -> Result<Option<Box<Proof>>, R::Error> {
        let column = self.step();
        let bytes: Option<Vec<u8>> = self.row.get(column)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let proof = Proof::from_bytes(&bytes);
        proof.map(|proof| Some(Box::new(proof))).ok_or_else(|| R::wrong(column, "it is no proof"))
    }

    pub(super) fn voucher(&mut self) -> Result<Voucher, R::Error> {
        Ok(Voucher {
            user: self.take()?,
            nonce: self.count()?,
            provider: self.take()?,
            total: self.take()?,
            requests_hash: self.take()?,
        })
    }

    /// A voucher's entry, the voucher, and where and when it began.
    pub(super) fn open_voucher(&mut self) -> Result<(u64, OpenVoucher), R::Error> {
        let entry = self.count()?;
        let (voucher, since, sealed_at) = (self.voucher()?, self.count()?, self.take()?);
        Ok((entry, OpenVoucher { voucher, signatures: Vec::new(), since, sealed_at }))
    }

    pub(super) fn receipt(&mut self) -> Result<Receipt, R::Error> {
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
            upstream_id: self.text()?,
            drained: self.take()?,
            served_at: self.take()?,
            proof: self.proof()?,
        })
    }

    fn status(&mut self) -> Result<u16, R::Error> {
        let column = self.step();
        self.row.status(column)
    }

    fn text(&mut self) -> Result<Option<String>, R::Error> {
        let column = self.step();
        self.row.text(column)
    }
}
