//! Who is due: a pure decision over what the ledger and the chain say.

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
    /// Fees that are not worth their gas are collected this long before a refund is paid out, in
    /// seconds; others as soon as the refund is asked for.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Captured and under no voucher, in neuron.
    pub earned: Neuron,
    /// The escrow, refunds included, in neuron: what a voucher can be paid from.
    pub balance: Neuron,
    /// When the oldest of these fees was captured.
    pub oldest: Option<Timestamp>,
    /// A refund is asked for since this second.
    pub refund_since: Option<u64>,
    /// Seconds from a refund's request to its payment.
    pub lock_time_secs: u64,
    /// What collecting these fees costs, in neuron.
    pub gas: Neuron,
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
    /// Why these fees are collected now; `None` where they wait. An empty escrow pays nothing, so
    /// its fees always wait.
    pub fn due(&self, due: &Due, now: Timestamp) -> Option<Reason> {
        if due.earned.is_zero() || due.balance.is_zero() {
            return None;
        }
        if let Some(since) = due.refund_since {
            let paid_out = since.saturating_add(due.lock_time_secs);
            let is_late = now.as_secs().saturating_add(self.refund_buffer_secs) >= paid_out;
            if due.earned >= due.gas || is_late {
                return Some(Reason::Refund);
            }
        }
        // More than the escrow has is not paid, and what is paid has to be worth its gas.
        let collectable = due.earned.min(due.balance);
        if collectable < due.gas {
            return None;
        }
        if collectable >= self.min_fee {
            return Some(Reason::Amount);
        }
        // Whole percents: earned / balance > percent / 100, within the range of money.
        let share = due.balance.get().checked_div(100).unwrap_or_default();
        if due.earned.get() > share.saturating_mul(u128::from(self.owed_percent)) {
            return Some(Reason::Share);
        }
        let old = due.oldest.is_some_and(|at| now.0.saturating_sub(at.0) > self.age_millis);
        old.then_some(Reason::Age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_and_why() {
        let policy = Policy {
            min_fee: Neuron::new(1_000),
            owed_percent: 50,
            age_millis: 10_000,
            refund_buffer_secs: 100,
        };
        let n = Neuron::new;
        let base = Due {
            earned: n(900),
            balance: n(10_000),
            oldest: Some(Timestamp(990_000)),
            refund_since: None,
            lock_time_secs: 1_000,
            gas: n(500),
        };
        let now = Timestamp(1_000_000);
        for (due, reason) in [
            (base, None),
            (Due { earned: n(0), refund_since: Some(0), ..base }, None),
            (Due { balance: n(0), earned: n(9_000), ..base }, None),
            (Due { earned: n(1_000), ..base }, Some(Reason::Amount)),
            (Due { earned: n(1_000), gas: n(1_001), ..base }, None),
            (Due { earned: n(5_000), balance: n(900), ..base }, Some(Reason::Share)),
            (Due { earned: n(5_000), balance: n(499), ..base }, None),
            (Due { oldest: Some(Timestamp(0)), gas: n(901), ..base }, None),
            (Due { balance: n(1_700), ..base }, Some(Reason::Share)),
            (Due { balance: n(1_900), ..base }, None),
            (Due { oldest: Some(Timestamp(989_999)), ..base }, Some(Reason::Age)),
            (Due { oldest: None, ..base }, None),
            (Due { refund_since: Some(999), ..base }, Some(Reason::Refund)),
            (Due { refund_since: Some(999), gas: n(901), ..base }, None),
            (Due { refund_since: Some(100), gas: n(901), ..base }, Some(Reason::Refund)),
            (Due { refund_since: Some(101), gas: n(901), ..base }, None),
        ] {
            assert_eq!(policy.due(&due, now), reason, "{due:?}");
        }
    }
}
