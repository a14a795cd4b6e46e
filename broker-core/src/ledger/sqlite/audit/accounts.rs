//! The stored balances, compared with what the transfers and the open holds amount to.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::account::{Account, UserId};
use crate::command::Books;
use crate::ledger::Fault;
use crate::ledger::fold::Fold;
use crate::ledger::sqlite::collect;
use crate::ledger::sqlite::rows::ACCOUNT;
use crate::ledger::sqlite::values::Count;
use crate::money::Neuron;

use super::scan::{Stop, Wrong, each};
use super::vouchers::Collecting;

pub(super) fn compare(
    db: &Connection,
    fold: &mut Fold,
    open: &BTreeMap<UserId, Neuron>,
    collecting: &Collecting,
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
        let under = collecting.open.get(&user).copied().unwrap_or_default();
        if stored.vouchered != under {
            let what = stored.vouchered;
            return Err(format!("{what} are under vouchers, and the open one has {under}").into());
        }
        let books = collecting.books.get(&user).copied().unwrap_or_default();
        let unsealed = unsealed(db, &user, books)?;
        if stored.earned != unsealed {
            let earned = stored.earned;
            return Err(format!("it earned {earned}, and {unsealed} are under no voucher").into());
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

/// The fees of a user that no voucher collects, and what the last one left unpaid.
fn unsealed(db: &Connection, user: &UserId, books: Books) -> Result<Neuron, Wrong> {
    let sql =
        format!("SELECT fee FROM receipt WHERE user = ?1 AND entry > ?2 AND {}", collect::HAS_FEE);
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query((user, Count(books.sealed_to)))?;
    let mut sum = books.carry;
    while let Some(row) = rows.next()? {
        sum = sum.checked_add(row.get(0)?).ok_or("its fees leave the range of money")?;
    }
    Ok(sum)
}
