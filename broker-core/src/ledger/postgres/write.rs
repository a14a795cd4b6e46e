//! Writing down what was decided: one row and one statement for many commands.

use std::collections::BTreeMap;

use postgres::types::ToSql;

use crate::account::{Account, Bucket, UserId};
use crate::clock::Timestamp;
use crate::command::{Hold, ReleaseReason};
use crate::digest::{Digest32, Fingerprint, RequestKey};
use crate::ledger::entry::{Entry, EntryKind};
use crate::money::Neuron;
use crate::receipt::{Outcome, Proof, Receipt, ReceiptId};
use crate::rules::Record;
use crate::signer::{Address, Signature};
use crate::tariff::UsageSource;

use super::fault::{Trouble, corrupt};
use super::session::{Session, Values};
use super::statement::WRITE;
use super::values::Count;

use self::accounts::Accounts;

mod accounts;

/// The entry that recorded a hold; below zero, its place among those that are written with it.
pub(super) type HoldNumber = Count;

/// The rows that some commands write, a list for each column.
#[derive(Default)]
pub(super) struct Page {
    entries: Entries,
    accounts: BTreeMap<UserId, Account>,
    holds: Holds,
    receipts: Receipts,
    releases: Releases,
    /// Holds that began here and have not ended here.
    opened: Vec<Count>,
    /// Holds that began earlier and ended here.
    closed: Vec<Count>,
    /// The numbers of entries that have theirs.
    given: Vec<Count>,
}

#[derive(Default)]
struct Entries {
    number: Vec<Count>,
    kind: Vec<EntryKind>,
    user: Vec<UserId>,
    key: Vec<Option<RequestKey>>,
    memo: Vec<Digest32>,
    at: Vec<Timestamp>,
    /// As many as an entry has columns for.
    moved: [Moved; 3],
}

#[derive(Default)]
struct Moved {
    debit: Vec<Option<Bucket>>,
    credit: Vec<Option<Bucket>>,
    amount: Vec<Option<Neuron>>,
}

#[derive(Default)]
struct Holds {
    entry: Vec<Count>,
    key: Vec<RequestKey>,
    fingerprint: Vec<Fingerprint>,
    receipt: Vec<ReceiptId>,
    user: Vec<UserId>,
    amount: Vec<Neuron>,
    input_price: Vec<Neuron>,
    output_price: Vec<Neuron>,
    schedule: Vec<Option<Vec<u8>>>,
    expires: Vec<Timestamp>,
    opened_at: Vec<Timestamp>,
    /// The keys that nobody chose.
    minted: Vec<RequestKey>,
}

#[derive(Default)]
struct Receipts {
    entry: Vec<Count>,
    hold: Vec<Count>,
    user: Vec<UserId>,
    outcome: Vec<Outcome>,
    status: Vec<i32>,
    input: Vec<Count>,
    cached_input: Vec<Count>,
    cache_write: Vec<Count>,
    cache_write_1h: Vec<Count>,
    output: Vec<Count>,
    source: Vec<UsageSource>,
    fee: Vec<Neuron>,
    request_hash: Vec<Digest32>,
    response_hash: Vec<Digest32>,
    bytes: Vec<Count>,
    events: Vec<Count>,
    signature: Vec<Signature>,
    signing_address: Vec<Address>,
    upstream_id: Vec<Option<Vec<u8>>>,
    drained: Vec<bool>,
    served_at: Vec<Timestamp>,
    proof: Vec<Option<Vec<u8>>>,
    alias: Vec<Digest32>,
    alias_user: Vec<UserId>,
    alias_entry: Vec<Count>,
}

#[derive(Default)]
struct Releases {
    entry: Vec<Count>,
    hold: Vec<Count>,
    why: Vec<ReleaseReason>,
    at: Vec<Timestamp>,
}

impl Page {
    /// Adds an entry, whose number is its place among them as yet, and what it recorded. `hold` is
    /// the hold that it begins or ends.
    pub(super) fn add(
        &mut self,
        entry: &Entry,
        record: &Record<'_>,
        hold: Option<HoldNumber>,
    ) -> Result<(), Trouble> {
        self.file(entry, Some(record), hold)?;
        match (record, hold) {
            (Record::Hold(_), Some(hold)) => self.opened.push(hold),
            (Record::Receipt(..) | Record::Release(..), Some(hold)) => self.close(hold),
            _ => {}
        }
        Ok(())
    }

    /// Adds an entry of another ledger, with its number, where no hold is open in the end.
    pub(super) fn copy(
        &mut self,
        entry: &Entry,
        record: Option<&Record<'_>>,
        hold: Option<HoldNumber>,
    ) -> Result<(), Trouble> {
        self.given.push(Count(entry.number));
        let number = u64::try_from(self.given.len()).unwrap_or(u64::MAX);
        self.file(&Entry { number, ..entry.clone() }, record, hold)
    }

    fn file(
        &mut self,
        entry: &Entry,
        record: Option<&Record<'_>>,
        hold: Option<HoldNumber>,
    ) -> Result<(), Trouble> {
        self.entries.add(entry)?;
        let ended = || hold.ok_or_else(|| corrupt("a hold that ends never began"));
        match record {
            Some(Record::Hold(hold)) => self.holds.add(hold, entry),
            Some(Record::Receipt(_, receipt)) => self.receipts.add(ended()?, receipt, entry),
            Some(Record::Release(_, why)) => self.releases.add(ended()?, *why, entry),
            _ => {}
        }
        Ok(())
    }

    /// An account that changed, as it is in the end.
    pub(super) fn set(&mut self, user: UserId, account: Account) {
        self.accounts.insert(user, account);
    }

    fn close(&mut self, hold: HoldNumber) {
        match self.opened.iter().position(|opened| opened.0 == hold.0) {
            Some(place) => {
                self.opened.swap_remove(place);
            }
            None => self.closed.push(hold),
        }
    }

    /// Writes everything in one statement, and gives the entries' numbers. `believed` says that not
    /// all of it was decided from what was read.
    pub(super) fn write(
        &self,
        session: &mut Session,
        instance: &[u8],
        believed: bool,
    ) -> Result<Vec<i64>, Trouble> {
        let accounts = Accounts::of(&self.accounts);
        let mut values = self.entries.values();
        values.extend(accounts.values());
        values.extend(self.holds.values());
        values.extend(self.receipts.values());
        values.extend(self.releases.values());
        let rest: Values<'_> =
            &[&self.opened, &self.closed, &instance, &self.holds.minted, &self.given];
        values.extend(rest);
        let written = session.query_one(WRITE, &values)?;
        let [changed, closed, alive]: [i64; 3] =
            [written.try_get(0)?, written.try_get(1)?, written.try_get(2)?];
        if written.try_get(3)? {
            return Err(Trouble::Conflict("a key that nobody chose is another hold's".to_owned()));
        }
        let is = |count: i64, rows: usize| usize::try_from(count).is_ok_and(|count| count == rows);
        if !is(changed, self.accounts.len()) {
            return Err(corrupt("an account that is locked is gone"));
        }
        // The last line of defence against ending a hold twice: its place among the open ones.
        if !is(closed, self.closed.len()) {
            if believed {
                return Err(Trouble::Conflict("somebody else ended a hold".to_owned()));
            }
            return Err(corrupt("a hold that ends is not open"));
        }
        match self.opened.is_empty() || alive == 1 {
            true => Ok(written.try_get::<_, Option<_>>(4)?.unwrap_or_default()),
            false => Err(Trouble::Conflict(UNREGISTERED.to_owned())),
        }
    }
}

impl Entries {
    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        let mut values: Vec<&(dyn ToSql + Sync)> =
            vec![&self.number, &self.kind, &self.user, &self.key, &self.memo, &self.at];
        for moved in &self.moved {
            values.extend([&moved.debit as &(dyn ToSql + Sync), &moved.credit, &moved.amount]);
        }
        values
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Trouble> {
        if entry.movements.len() > self.moved.len() {
            return Err(corrupt("an entry has more than three movements"));
        }
        self.number.push(Count(entry.number));
        self.kind.push(entry.kind);
        self.user.push(entry.user);
        self.key.push(entry.key);
        self.memo.push(entry.memo);
        self.at.push(entry.at);
        let mut movements = entry.movements.iter();
        for moved in &mut self.moved {
            let movement = movements.next();
            moved.debit.push(movement.map(|movement| movement.debit));
            moved.credit.push(movement.map(|movement| movement.credit));
            moved.amount.push(movement.map(|movement| movement.amount));
        }
        Ok(())
    }
}

impl Holds {
    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.entry,
            &self.key,
            &self.fingerprint,
            &self.receipt,
            &self.user,
            &self.amount,
            &self.input_price,
            &self.output_price,
            &self.schedule,
            &self.expires,
            &self.opened_at,
        ]
    }

    fn add(&mut self, hold: &Hold, entry: &Entry) {
        self.entry.push(Count(entry.number));
        self.key.push(hold.key);
        self.fingerprint.push(hold.fingerprint);
        self.receipt.push(hold.receipt);
        self.user.push(hold.user);
        self.amount.push(hold.amount);
        self.input_price.push(hold.tariff.input_price);
        self.output_price.push(hold.tariff.output_price);
        self.schedule.push(hold.tariff.schedule_bytes());
        self.expires.push(hold.expires);
        self.opened_at.push(entry.at);
        self.minted.extend(hold.key.minted_for().map(|_| hold.key));
    }
}

impl Receipts {
    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.entry,
            &self.hold,
            &self.user,
            &self.outcome,
            &self.status,
            &self.input,
            &self.cached_input,
            &self.cache_write,
            &self.cache_write_1h,
            &self.output,
            &self.source,
            &self.fee,
            &self.request_hash,
            &self.response_hash,
            &self.bytes,
            &self.events,
            &self.signature,
            &self.signing_address,
            &self.upstream_id,
            &self.drained,
            &self.served_at,
            &self.proof,
            &self.alias,
            &self.alias_user,
            &self.alias_entry,
        ]
    }

    fn add(&mut self, hold: HoldNumber, receipt: &Receipt, entry: &Entry) {
        let usage = &receipt.usage;
        self.entry.push(Count(entry.number));
        self.hold.push(hold);
        self.user.push(receipt.user);
        self.outcome.push(receipt.outcome);
        self.status.push(i32::from(receipt.status));
        self.input.push(Count(usage.input));
        self.cached_input.push(Count(usage.cached_input));
        self.cache_write.push(Count(usage.cache_write));
        self.cache_write_1h.push(Count(usage.cache_write_1h));
        self.output.push(Count(usage.output));
        self.source.push(usage.source);
        self.fee.push(receipt.fee);
        self.request_hash.push(receipt.request_hash);
        self.response_hash.push(receipt.response_hash);
        self.bytes.push(Count(receipt.bytes));
        self.events.push(Count(receipt.events));
        self.signature.push(receipt.signature);
        self.signing_address.push(receipt.signing_address);
        self.upstream_id.push(receipt.upstream_id.as_ref().map(|id| id.as_bytes().to_vec()));
        self.drained.push(receipt.drained);
        self.served_at.push(receipt.served_at);
        self.proof.push(receipt.proof.as_deref().map(Proof::to_bytes));
        // The first of an account's receipts keeps it.
        if let Some(id) = &receipt.upstream_id {
            self.alias.push(alias(id));
            self.alias_user.push(receipt.user);
            self.alias_entry.push(Count(entry.number));
        }
    }
}

impl Releases {
    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.entry, &self.hold, &self.why, &self.at]
    }

    fn add(&mut self, hold: HoldNumber, why: ReleaseReason, entry: &Entry) {
        self.entry.push(Count(entry.number));
        self.hold.push(hold);
        self.why.push(why);
        self.at.push(entry.at);
    }
}

/// Under what an engine's id is looked up.
pub(super) fn alias(upstream_id: &str) -> Digest32 {
    Digest32::sha256(upstream_id.as_bytes())
}

/// A hold needs somebody who is seen to be alive, or nobody would ever free it.
pub(super) const UNREGISTERED: &str = "this instance was taken for dead";
