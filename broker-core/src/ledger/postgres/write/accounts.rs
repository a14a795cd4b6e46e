//! The columns of accounts that changed.

use std::collections::BTreeMap;

use postgres::types::ToSql;

use crate::account::{Account, UserId};
use crate::ledger::postgres::values::Count;
use crate::money::Neuron;

/// Accounts as they are in the end.
#[derive(Default)]
pub(super) struct Accounts {
    user: Vec<UserId>,
    cover: Vec<Neuron>,
    held: Vec<Neuron>,
    earned: Vec<Neuron>,
    vouchered: Vec<Neuron>,
    unlimited: Vec<bool>,
    frozen: Vec<bool>,
    exchanges: Vec<Count>,
}

impl Accounts {
    pub(super) fn of(accounts: &BTreeMap<UserId, Account>) -> Self {
        let mut columns = Self::default();
        for (user, account) in accounts {
            columns.user.push(*user);
            columns.cover.push(account.cover);
            columns.held.push(account.held);
            columns.earned.push(account.earned);
            columns.vouchered.push(account.vouchered);
            columns.unlimited.push(account.unlimited);
            columns.frozen.push(account.frozen);
            columns.exchanges.push(Count(account.exchanges));
        }
        columns
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.user,
            &self.cover,
            &self.held,
            &self.earned,
            &self.vouchered,
            &self.unlimited,
            &self.frozen,
            &self.exchanges,
        ]
    }
}
