//! SQLite ledgers with a bug between them and whoever writes to them.

use std::path::Path;

use broker_core::{Applied, Command, Decision, Ledger, LedgerError, Timestamp};

use crate::disk::connection::{Orders, open_with};
use crate::work::shipped;
use crate::wrapped::Wrapped;

/// Opens a ledger with the bug of this name.
pub(crate) fn open(bug: &str, path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    match bug {
        "early" => early(path),
        "split" => split(path),
        "synchronous=OFF" => Ok(Box::new(open_with(path, "PRAGMA synchronous = OFF")?.0)),
        "hopeful" => hopeful(path),
        "retried" => retried(path),
        _ => shipped(path),
    }
}

/// Answers at once, and writes when the next batch comes.
fn early(path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    let mut waiting: Vec<Command> = Vec::new();
    let apply = move |inner: &mut dyn Ledger, batch: &[Command], now: Timestamp| {
        let due = std::mem::replace(&mut waiting, batch.to_vec());
        inner.apply(&due, now)?;
        Ok(batch.iter().map(hoped).collect())
    };
    Ok(Box::new(Wrapped { inner: shipped(path)?, apply }))
}

/// Takes a failure for a success.
fn hopeful(path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    let apply = |inner: &mut dyn Ledger, batch: &[Command], now: Timestamp| {
        Ok(inner.apply(batch, now).unwrap_or_else(|_| batch.iter().map(hoped).collect()))
    };
    Ok(Box::new(Wrapped { inner: shipped(path)?, apply }))
}

/// Tries a batch again that has failed.
fn retried(path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    let apply = |inner: &mut dyn Ledger, batch: &[Command], now: Timestamp| {
        inner.apply(batch, now).or_else(|_| inner.apply(batch, now))
    };
    Ok(Box::new(Wrapped { inner: shipped(path)?, apply }))
}

/// What a command answers when all is well.
fn hoped(command: &Command) -> Decision {
    Ok(match command {
        Command::Reserve(_) => Applied::Held { account_seq: 1 },
        Command::Capture { receipt, .. } => Applied::Captured { fee: receipt.fee },
        Command::Release { .. } => Applied::Released,
        _ => Applied::Mirrored,
    })
}

/// Writes what happened in one transaction, and the balances that follow from it in a second.
fn split(path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    let (inner, orders) = open_with(path, LATE_BALANCES)?;
    let apply = move |inner: &mut dyn Ledger, batch: &[Command], now: Timestamp| {
        let mut decisions = Vec::new();
        for command in batch {
            decisions.extend(inner.apply(std::slice::from_ref(command), now)?);
            second_transaction(&orders);
        }
        Ok(decisions)
    };
    Ok(Box::new(Wrapped { inner: Box::new(inner), apply }))
}

fn second_transaction(orders: &Orders) {
    orders.give(
        "BEGIN IMMEDIATE; INSERT INTO temp.gate VALUES (1); \
         UPDATE main.account SET (cover, held, earned, vouchered, unlimited, frozen) = \
         (SELECT cover, held, earned, vouchered, unlimited, frozen FROM temp.late \
         WHERE late.user = account.user) WHERE user IN (SELECT user FROM temp.late); \
         DELETE FROM temp.late; DELETE FROM temp.gate; COMMIT",
    );
}

/// Balances that change are put aside, unless the gate is open.
const LATE_BALANCES: &str = "CREATE TEMP TABLE gate (open INTEGER); \
     CREATE TEMP TABLE late (user BLOB PRIMARY KEY, cover, held, earned, vouchered, unlimited, \
     frozen); \
     CREATE TEMP TRIGGER later BEFORE UPDATE ON main.account \
     WHEN NOT EXISTS (SELECT 1 FROM gate) BEGIN \
     INSERT OR REPLACE INTO late VALUES (new.user, new.cover, new.held, new.earned, \
     new.vouchered, new.unlimited, new.frozen); \
     SELECT RAISE(IGNORE); END";
