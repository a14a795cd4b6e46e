//! The stored balances, compared with what the transfers and the open holds amount to.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::account::{Account, UserId};
use crate::ledger::Fault;
use crate::ledger::fold::Fold;
use crate::ledger::sqlite::rows::ACCOUNT;
use crate::money::Neuron;

use super::scan::{Stop, each};

pub(super) fn compare(
    db: &Connection,
    fold: &mut Fold,
    open: &BTreeMap<UserId, Neuron>,
) -> Result<(), Stop> {
    let sql = format!("SELECT a.user, a.user, {ACCOUNT} FROM account a ORDER BY a.user");
    each(db, "account", &sql, |columns| {
        let user: UserId = columns.take()?;
        let stored = columns.account()?;
        let folded = fold.accounts.remove(&user).unwrap_or_default();
        let held = open.get(&user).copied().unwrap_or_default();
        if stored.held != held {
            return Err(format!("it holds {}, and its open holds are {held}", stored.held).into());
        }
        if stored != folded {
            return Err("it differs from the sum of its movements".into());
        }
        Ok(())
    })?;
    let missing = fold.accounts.iter().find(|(_, folded)| **folded != Account::default());
    match missing {
        None => Ok(()),
        Some((user, _)) => Err(Stop::Fault(Fault {
            table: "account",
            row: user.to_string(),
            what: "it is missing, and its movements are not".to_owned(),
        })),
    }
}
