//! Who is due: a pure decision over what the ledger and the chain say.

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::money::Neuron;

/// When a user's fees are worth collecting, or have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Fees below this are not collected for their amount, in neuron.
    pub min_fee: Neuron,
    /// Fees above this share of the escrow are collected, in percent.
    pub owed_percent: u64,
    /// Fees this old are collected, in milliseconds.
    pub age_millis: u64,
    /// Fees are collected this long before a refund is paid out, in seconds.
    pub refund_buffer_secs: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // What 0G's own broker takes.
            min_fee: Neuron::new(4_000_000_000_000_000),
            owed_percent: 50,
            age_millis: 24 * 60 * 60 * 1000,
            refund_buffer_secs: 18_000,
        }
    }
}

/// What the decision is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose fees.
    pub user: UserId,
    /// Captured and under no voucher, in neuron.
    pub earned: Neuron,
    /// The escrow less refunds, in neuron.
    pub cover: Neuron,
    /// When the oldest of these fees was captured.
    pub oldest: Option<Timestamp>,
    /// A refund is asked for since this second.
    pub refund_since: Option<u64>,
}

/// Why a user is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A refund will be paid out, and the fees with it.
    Refund,
    /// The fees are worth the gas.
    Amount,
    /// The fees take a large share of the escrow.
    Share,
    /// The fees are old.
    Age,
    /// The operator asked for it.
    Asked,
}

impl Reason {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refund => "refund",
            Self::Amount => "amount",
            Self::Share => "share",
            Self::Age => "age",
            Self::Asked => "asked",
        }
    }
}

impl Policy {
    /// Why this user's fees are collected now; `None` where they wait.
    ///
    /// `gas` is what collecting them costs, in neuron: an amount below it does not count as worth
    /// it, whatever [`Policy::min_fee`] says.
    pub fn due(&self, due: &Due, gas: Neuron, now: Timestamp) -> Option<Reason> {
        if due.earned.is_zero() {
            return None;
        }
        if due.refund_since.is_some() {
            return Some(Reason::Refund);
        }
        if due.earned >= self.min_fee.max(gas) {
            return Some(Reason::Amount);
        }
        // Whole percents: earned / cover > percent / 100, without leaving the range of money.
        let share = due.cover.get().checked_div(100).unwrap_or_default();
        if due.earned.get() > share.saturating_mul(u128::from(self.owed_percent)) {
            return Some(Reason::Share);
        }
        let old = due.oldest.is_some_and(|at| now.0.saturating_sub(at.0) > self.age_millis);
        old.then_some(Reason::Age)
    }
}
