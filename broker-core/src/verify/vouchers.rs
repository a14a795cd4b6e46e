//! The vouchers that paid an invoice, worked out again from its receipts.

use std::collections::VecDeque;

use super::{Line, Settled};
use crate::account::UserId;
use crate::money::Neuron;
use crate::receipt::ReceiptId;
use crate::requests::{Collected, proved_leaf};

/// Receipts with a fee that no voucher at hand covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// How many stand before the first voucher's first one.
    pub before: u64,
    /// How many stand behind the last voucher's last one.
    pub behind: u64,
    /// What those behind come to, in neuron.
    pub behind_fees: Neuron,
}

/// What a voucher covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The voucher.
    pub settled: Settled,
    /// How many receipts with a fee.
    pub receipts: u64,
    /// Why it does not pay what the receipts come to.
    pub fault: Option<VoucherFault>,
}

/// Why a voucher does not pay what the receipts come to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoucherFault {
    /// It is another account's.
    #[error("it is another account's")]
    OtherAccount,
    /// The total is passed without being met.
    #[error("{receipts} receipts in their order come to {come_to} neuron, and it takes {takes}")]
    Total {
        /// Receipts so far.
        receipts: u64,
        /// What they come to.
        come_to: Neuron,
        /// What the voucher takes.
        takes: Neuron,
    },
    /// The total is right, and the hash is that of other receipts.
    #[error("the total is right, but its requestsHash is not that of these receipts in this order")]
    OtherReceipts,
    /// The receipts end before its total.
    #[error(
        "all receipts that are left come to {come_to} neuron, and it takes {takes}: receipts are \
         withheld, or not in the file"
    )]
    TooMuch {
        /// What they come to.
        come_to: Neuron,
        /// What the voucher takes.
        takes: Neuron,
    },
    /// One before it was not found, so its first receipt is not known.
    #[error("a voucher before it does not hold, so nobody knows where this one begins")]
    Unreached,
    /// Receipts without leaves.
    #[error("the receipts were read without their leaves")]
    NoLeaves,
}

/// Goes through the receipts and the vouchers together.
#[derive(Clone, Debug, Default)]
pub(super) struct Vouchers {
    waiting: VecDeque<Settled>,
    first: Option<ReceiptId>,
    current: Option<Collected>,
    /// The total was met once, with another hash: receipts of other bytes, or one more without end.
    met: bool,
    covered: Vec<Covered>,
    outside: Outside,
    failed: bool,
    account: Option<UserId>,
}

impl Vouchers {
    /// Vouchers in the order of their nonces; the first one begins at `first`, or at the first
    /// receipt with a fee.
    pub(super) fn new(mut settled: Vec<Settled>, first: Option<ReceiptId>) -> Self {
        settled.sort_by_key(|settled| settled.nonce);
        Self { waiting: settled.into(), first, ..Self::default() }
    }

    pub(super) fn add(&mut self, line: &Line) {
        if self.first.is_some_and(|first| first != line.id) {
            self.outside.before =
                self.outside.before.saturating_add(u64::from(!line.fee.is_zero()));
            return;
        }
        self.first = None;
        // Fees of nothing are in no voucher.
        if line.fee.is_zero() {
            return;
        }
        self.account = Some(line.account);
        self.carried();
        let Some(settled) = self.waiting.front().copied().filter(|_| !self.failed) else {
            self.outside.behind = self.outside.behind.saturating_add(1);
            let fees = self.outside.behind_fees;
            self.outside.behind_fees = fees.checked_add(line.fee).unwrap_or(fees);
            return;
        };
        if settled.user != line.account {
            return self.end(VoucherFault::OtherAccount);
        }
        let Some(leaf) = &line.leaf else { return self.end(VoucherFault::NoLeaves) };
        let collected =
            self.current.get_or_insert_with(|| Collected::new(settled.user, settled.carry));
        let added = collected.add_leaf(line.fee, proved_leaf(&line.id, line.fee, leaf));
        let (total, receipts) = (collected.total(), collected.receipts());
        if total > settled.total || added.is_none() {
            let fault = if self.met {
                VoucherFault::OtherReceipts
            } else {
                VoucherFault::Total { receipts, come_to: total, takes: settled.total }
            };
            return self.end(fault);
        }
        if total == settled.total {
            self.met = collected.root() != settled.requests_hash;
            if !self.met {
                self.waiting.pop_front();
                self.current = None;
                self.covered.push(Covered { settled, receipts, fault: None });
            }
        }
    }

    /// Vouchers that ask for nothing but what was carried over, and so cover no receipt.
    fn carried(&mut self) {
        while let Some(settled) = self.waiting.front().copied() {
            let others = self.account.is_some_and(|account| account != settled.user);
            if self.failed || self.current.is_some() || others || settled.carry.is_zero() {
                return;
            }
            let collected = Collected::new(settled.user, settled.carry);
            if collected.total() != settled.total || collected.root() != settled.requests_hash {
                return;
            }
            self.waiting.pop_front();
            self.covered.push(Covered { settled, receipts: 0, fault: None });
        }
    }

    pub(super) fn finish(mut self) -> (Vec<Covered>, Outside) {
        self.carried();
        if let Some(settled) = self.waiting.front().filter(|_| !self.failed) {
            let come_to = self.current.as_ref().map_or(settled.carry, Collected::total);
            let fault = match self.met {
                true => VoucherFault::OtherReceipts,
                false => VoucherFault::TooMuch { come_to, takes: settled.total },
            };
            self.end(fault);
        }
        let unreached = self.waiting.into_iter().map(|settled| Covered {
            settled,
            receipts: 0,
            fault: Some(VoucherFault::Unreached),
        });
        self.covered.extend(unreached);
        (self.covered, self.outside)
    }

    fn end(&mut self, fault: VoucherFault) {
        let receipts = self.current.take().map_or(0, |collected| collected.receipts());
        if let Some(settled) = self.waiting.pop_front() {
            self.covered.push(Covered { settled, receipts, fault: Some(fault) });
        }
        self.failed = true;
    }
}
