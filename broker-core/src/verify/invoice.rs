//! An invoice worked out again from its receipts, one after another, in memory that does not grow
//! with them.

use std::collections::BTreeMap;

use super::repeats::{Recount, Seen};
use super::runs::{Put, Runs};
use super::vouchers::{Covered, Outside, Vouchers};
use super::{FeeFault, Line, LineFault, Settled};
use crate::account::UserId;
use crate::digest::Digest32;
use crate::keyset::NotSigned;
use crate::money::Neuron;
use crate::receipt::{BadReceipt, Outcome, ReceiptId, WrongFee};

/// What an invoice is about.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Whose; without it the first receipt's account.
    pub account: Option<UserId>,
    /// From this exchange of the account's on; without it from the first one that is there.
    pub from_seq: Option<u64>,
    /// Up to this one; without it to the last one that is there.
    pub to_seq: Option<u64>,
    /// The settlements that paid it, where they are known.
    pub settled: Vec<Settled>,
    /// The first receipt of the first settlement; without it the first one with a fee.
    pub first: Option<ReceiptId>,
}

/// What can be wrong with the receipts of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It is no receipt.
    Form,
    /// It contradicts itself.
    Contradiction,
    /// Its keyset is not at hand.
    UnknownKeyset,
    /// It is not signed as it says.
    Signature,
    /// It is another account's.
    Account,
    /// Its tariff is not at hand.
    UnknownTariff,
    /// More was charged than usage and tariff come to.
    Overcharge,
    /// The charge is not what usage and tariff come to, in another way.
    Fee,
    /// Something was charged and no log promised.
    Unpromised,
    /// The number of the account's exchange is there twice.
    SequenceRepeat,
    /// The gaps are too many to keep.
    Scattered,
}

/// How often something is wrong, and the first times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often.
    pub count: u64,
    /// The first times: which receipt, and what.
    pub first: Vec<String>,
}

/// Receipts and what they come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub receipts: u64,
    /// What was charged, in neuron.
    pub fees: Neuron,
}

/// An invoice that is being worked out.
#[derive(Clone, Debug)]
pub struct Invoice {
    scope: Scope,
    bill: Bill,
    seen: Seen,
    vouchers: Vouchers,
}

/// What an invoice comes to.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    /// Documents that were looked at.
    pub documents: u64,
    /// Those that are outside of the range that was asked for.
    pub skipped: u64,
    /// Whose; `None` without any receipt.
    pub account: Option<UserId>,
    /// Everything.
    pub total: Sum,
    /// For each tariff and outcome.
    pub sums: BTreeMap<(Digest32, &'static str), Sum>,
    /// Receipts for which no log is promised: requests that were refused.
    pub unpromised: u64,
    /// What was charged above what was due, in neuron.
    pub overcharged: Neuron,
    /// The account's exchanges that are there, for each log.
    pub sequences: BTreeMap<Digest32, Runs>,
    /// What is wrong.
    pub faults: BTreeMap<Kind, Tally>,
    /// What the settlements cover.
    pub covered: Vec<Covered>,
    /// What they do not.
    pub outside: Outside,
    /// More ids may be there twice than a second look can count.
    pub ids_unchecked: bool,
    from_seq: Option<u64>,
    to_seq: Option<u64>,
}

impl Invoice {
    /// Begins.
    pub fn new(scope: Scope) -> Self {
        let vouchers = Vouchers::new(scope.settled.clone(), scope.first);
        let bill = Bill { account: scope.account, ..Bill::default() };
        let bill = Bill { from_seq: scope.from_seq, to_seq: scope.to_seq, ..bill };
        Self { scope, bill, seen: Seen::new(), vouchers }
    }

    /// Adds the next document of the receipts' order.
    pub fn add(&mut self, checked: Result<Line, LineFault>) {
        self.bill.documents = self.bill.documents.saturating_add(1);
        match checked {
            Ok(line) => self.line(&line),
            Err(fault) => {
                let kind = match &fault {
                    LineFault::Unreadable(BadReceipt::Contradiction(_)) => Kind::Contradiction,
                    LineFault::NotJson(_)
                    | LineFault::Unreadable(_)
                    | LineFault::Untold(_)
                    | LineFault::More(_) => Kind::Form,
                    LineFault::UnknownKeyset(_)
                    | LineFault::NotSigned(NotSigned::OtherKeyset(_)) => Kind::UnknownKeyset,
                    LineFault::NotSigned(_) | LineFault::Expired { .. } => Kind::Signature,
                };
                let place = format!("document {}", self.bill.documents);
                self.bill.fault(kind, &place, &fault);
                if let LineFault::More(count) = fault {
                    self.bill.more(count.saturating_sub(1));
                }
            }
        }
    }

    fn line(&mut self, line: &Line) {
        let bill = &mut self.bill;
        let seq = line.place.map(|place| place.account_seq);
        // An id used again within and outside of the range is used again.
        self.seen.put(line.id);
        let before = seq.is_some_and(|seq| self.scope.from_seq.is_some_and(|from| seq < from));
        let behind = seq.is_some_and(|seq| self.scope.to_seq.is_some_and(|to| seq > to));
        if before || behind {
            bill.skipped = bill.skipped.saturating_add(1);
            return;
        }
        let account = *bill.account.get_or_insert(line.account);
        if account != line.account {
            let what = format_args!("it is charged to {}", line.account);
            bill.fault(Kind::Account, &line.id, what);
        }
        bill.add_sum(line);
        bill.add_place(line);
        match &line.fee_fault {
            None => {}
            Some(FeeFault::UnknownTariff(_)) => bill.fee_fault(Kind::UnknownTariff, line),
            Some(FeeFault::Wrong(WrongFee::Sum { charged, due })) => {
                let over = charged.checked_sub(*due);
                let over = over.and_then(|over| bill.overcharged.checked_add(over));
                bill.overcharged = over.unwrap_or(bill.overcharged);
                let kind = if charged > due { Kind::Overcharge } else { Kind::Fee };
                bill.fee_fault(kind, line);
            }
            Some(FeeFault::Wrong(_)) => bill.fee_fault(Kind::Fee, line),
        }
        self.vouchers.add(line);
    }

    /// The bill, and the ids that have to be counted to know whether any is there twice.
    pub fn finish(self) -> (Bill, Recount) {
        let Self { mut bill, seen, vouchers, .. } = self;
        bill.ids_unchecked = seen.full;
        (bill.covered, bill.outside) = vouchers.finish();
        (bill, seen.into_maybe())
    }
}

impl Bill {
    /// The exchanges of the account that are missing, from one number to another: of each log, or
    /// of a range that was asked for where no log has any of it.
    pub fn gaps(&self) -> impl Iterator<Item = (u64, u64)> {
        let known = self.sequences.values().flat_map(|runs| {
            let (first, last) = runs.ends().unwrap_or_default();
            runs.gaps(self.from_seq.unwrap_or(first), self.to_seq.unwrap_or(last))
        });
        known.chain(self.unknown_range())
    }

    /// The whole range, where none of it is known. Without its end it has one exchange at least.
    fn unknown_range(&self) -> Option<(u64, u64)> {
        let asked = self.from_seq.is_some() || self.to_seq.is_some();
        let from = self.from_seq.unwrap_or(1);
        let range = (from, self.to_seq.unwrap_or(from));
        (asked && self.sequences.is_empty()).then_some(range)
    }

    /// How often something is wrong.
    pub fn tally(&self, kind: Kind) -> Option<&Tally> {
        self.faults.get(&kind)
    }

    fn add_sum(&mut self, line: &Line) {
        let key = (line.tariff, Outcome::as_str(line.outcome));
        let known = self.sums.contains_key(&key) || self.sums.len() < SUMS_MAX;
        let own = known.then(|| self.sums.entry(key).or_default());
        for sum in own.into_iter().chain([&mut self.total]) {
            sum.receipts = sum.receipts.saturating_add(1);
            sum.fees = sum.fees.checked_add(line.fee).unwrap_or(Neuron::new(u128::MAX));
        }
    }

    fn add_place(&mut self, line: &Line) {
        let Some(place) = line.place else {
            self.unpromised = self.unpromised.saturating_add(1);
            if !line.fee.is_zero() {
                self.fault(Kind::Unpromised, &line.id, "it charges and promises no log");
            }
            return;
        };
        let seq = place.account_seq;
        if self.sequences.len() >= LOGS_MAX && !self.sequences.contains_key(&place.log) {
            return self.fault(Kind::Scattered, &line.id, "it stands in yet another log");
        }
        match self.sequences.entry(place.log).or_default().put(seq) {
            Put::New => {}
            Put::Again => {
                let what = format_args!("number {seq} of the account's exchanges is there already");
                self.fault(Kind::SequenceRepeat, &line.id, what);
            }
            Put::Scattered => self.fault(Kind::Scattered, &line.id, "too many gaps before it"),
        }
    }

    /// More documents that are no receipts.
    fn more(&mut self, count: u64) {
        self.documents = self.documents.saturating_add(count);
        let tally = self.faults.entry(Kind::Form).or_default();
        tally.count = tally.count.saturating_add(count);
    }

    fn fee_fault(&mut self, kind: Kind, line: &Line) {
        if let Some(fault) = &line.fee_fault {
            self.fault(kind, &line.id, fault);
        }
    }

    fn fault(&mut self, kind: Kind, place: &dyn std::fmt::Display, what: impl std::fmt::Display) {
        let tally = self.faults.entry(kind).or_default();
        tally.count = tally.count.saturating_add(1);
        if tally.first.len() < EXAMPLES_MAX {
            tally.first.push(format!("{place}: {what}"));
        }
    }
}

/// Sums that are kept apart, and logs that are told apart: a month has a few.
const SUMS_MAX: usize = 1024;
const LOGS_MAX: usize = 32;
/// How many faults of a kind are described.
const EXAMPLES_MAX: usize = 3;
