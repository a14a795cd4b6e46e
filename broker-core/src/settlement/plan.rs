//! Who is due, over a whole ledger: reads only.

use crate::account::UserId;
use crate::chain::{AccountView, Chain, ChainError, Terms};
use crate::clock::Timestamp;
use crate::ledger::statement::Statement;
use crate::money::Neuron;

use super::check::gas_cost;
use super::policy::{Due, Policy, Reason};

/// One user who owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Who.
    pub user: UserId,
    /// What is under no voucher yet, in neuron.
    pub earned: Neuron,
    /// The escrow.
    pub view: AccountView,
    /// Why the fees are collected now; `None` where they wait.
    pub reason: Option<Reason>,
}

/// What a pass would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every user who owes and has no open voucher.
    pub users: Vec<Planned>,
    /// What collecting from those who are due costs at most, in neuron.
    pub gas_cost: Neuron,
    /// What they owe, in neuron.
    pub amount: Neuron,
    /// Users whose escrow could not be read, and why: the next look asks again.
    pub unread: Vec<(UserId, ChainError)>,
}

/// Looks at every user who owes. `asked` collects from all of them, whatever the policy.
pub async fn plan(
    statements: &[Statement],
    chain: &dyn Chain,
    policy: &Policy,
    terms: &Terms,
    now: Timestamp,
    asked: bool,
) -> Plan {
    let mut plan = Plan::default();
    let owing = statements.iter().filter(|known| {
        !known.account.earned.is_zero() && known.open.is_none() && !known.account.frozen
    });
    // What a user's share of a transaction costs, when others share it too.
    let gas = gas_cost(2, terms.gas_price).checked_sub(gas_cost(1, terms.gas_price));
    for known in owing {
        let view = match chain.account(known.user).await {
            Ok(view) => view,
            Err(error) => {
                plan.unread.push((known.user, error));
                continue;
            }
        };
        let due = due(known, &view, terms, gas.unwrap_or_default());
        let wish = (asked && !due.balance.is_zero()).then_some(Reason::Asked);
        let reason = policy.due(&due, now).or(wish);
        if reason.is_some() {
            plan.amount = plan.amount.checked_add(due.earned).unwrap_or(Neuron::new(u128::MAX));
        }
        plan.users.push(Planned { user: known.user, earned: due.earned, view, reason });
    }
    let due = plan.users.iter().filter(|user| user.reason.is_some()).count();
    if due > 0 {
        plan.gas_cost = gas_cost(u64::try_from(due).unwrap_or(u64::MAX), terms.gas_price);
    }
    plan
}

fn due(known: &Statement, view: &AccountView, terms: &Terms, gas: Neuron) -> Due {
    // What may still be undone counts where it is the worse: a refund that was just asked for.
    let refund = |escrow: Option<crate::chain::Escrow>| escrow.and_then(|e| e.refund_since);
    let refund_since = match (refund(view.latest), refund(view.settled)) {
        (Some(latest), Some(settled)) => Some(latest.min(settled)),
        (latest, settled) => latest.or(settled),
    };
    Due {
        earned: known.account.earned,
        balance: view.latest.map(|escrow| escrow.balance).unwrap_or_default(),
        oldest: known.oldest_unsealed,
        refund_since,
        lock_time_secs: terms.lock_time_secs,
        gas,
    }
}
