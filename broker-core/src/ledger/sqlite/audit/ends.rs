//! Holds and how they ended: compared with each other and with the movements they caused.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::account::UserId;
use crate::command::ReleaseReason;
use crate::digest::{Digest32, RequestKey};
use crate::ledger::sqlite::rows::{Columns, HOLD, RECEIPT};
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};

use super::scan::{Stop, Wrong, each, none};

/// Every receipt is what it was when it was written, fits its hold, and cost what was moved.
pub(super) fn receipts(db: &Connection) -> Result<(), Stop> {
    let sql = format!(
        "SELECT r.id, {RECEIPT}, r.digest, h.receipt, h.user, h.amount, \
         e.amount, e.memo, b.amount, b.memo \
         FROM receipt r LEFT JOIN hold h ON h.key = r.key \
         LEFT JOIN transfer e ON e.key = r.key AND e.kind = 3 AND e.debit = 2 AND e.credit = 3 \
         LEFT JOIN transfer b ON b.key = r.key AND b.kind = 3 AND b.debit = 2 AND b.credit = 1"
    );
    each(db, "receipt", &sql, |columns| {
        let receipt = columns.receipt()?;
        let digest = receipt.digest();
        if columns.take::<Digest32>()? != digest {
            return Err("its fields do not have its digest".into());
        }
        fits_hold(&receipt, columns)
            .and_then(|rest| fits_movements(&receipt, &digest, rest, columns))
    })
}

/// What the hold's amount leaves beside the fee.
fn fits_hold(receipt: &Receipt, columns: &mut Columns<'_, '_>) -> Result<Neuron, Wrong> {
    let (id, user, amount): (Option<ReceiptId>, Option<UserId>, Option<Neuron>) =
        (columns.take()?, columns.take()?, columns.take()?);
    let (Some(id), Some(user), Some(amount)) = (id, user, amount) else {
        return Err("no hold has its key".into());
    };
    if id != receipt.id || user != receipt.user {
        return Err("it belongs to another exchange or user than its hold".into());
    }
    let rest = amount.checked_sub(receipt.fee);
    rest.ok_or_else(|| format!("its fee {} is above the hold of {amount}", receipt.fee).into())
}

fn fits_movements(
    receipt: &Receipt,
    digest: &Digest32,
    rest: Neuron,
    columns: &mut Columns<'_, '_>,
) -> Result<(), Wrong> {
    let (earned, earned_memo): (Option<Neuron>, Option<Digest32>) =
        (columns.take()?, columns.take()?);
    let (freed, freed_memo): (Option<Neuron>, Option<Digest32>) =
        (columns.take()?, columns.take()?);
    if earned.unwrap_or_default() != receipt.fee {
        return Err("another fee was moved than it says".into());
    }
    if freed.unwrap_or_default() != rest {
        return Err("another rest was freed than its fee leaves".into());
    }
    // The first movement carries the digest, the second zeros; a free exchange may have none.
    let zeros = Digest32::default();
    let (first, second) = match earned_memo {
        Some(memo) => (Some(memo), freed_memo),
        None => (freed_memo, None),
    };
    if first.is_some_and(|memo| memo != *digest) || second.is_some_and(|memo| memo != zeros) {
        return Err("the chain has another receipt in its place".into());
    }
    Ok(())
}

/// Every release frees the whole hold.
pub(super) fn released(db: &Connection) -> Result<(), Stop> {
    let sql = "SELECT x.key, x.key, x.why, h.amount, t.amount FROM released x \
               LEFT JOIN hold h ON h.key = x.key LEFT JOIN transfer t ON t.key = x.key \
               AND t.kind = 4 AND t.debit = 2 AND t.credit = 1";
    each(db, "released", sql, |columns| {
        columns.take::<RequestKey>()?;
        columns.take::<ReleaseReason>()?;
        let (amount, freed): (Option<Neuron>, Option<Neuron>) = (columns.take()?, columns.take()?);
        match amount {
            None => Err("no hold has its key".into()),
            Some(amount) if amount != freed.unwrap_or_default() => {
                Err("another amount was freed than was held".into())
            }
            Some(_) => Ok(()),
        }
    })
}

/// Every hold set its amount aside and is open or ended, once. Returns what is open, by user.
pub(super) fn holds(db: &Connection) -> Result<BTreeMap<UserId, Neuron>, Stop> {
    let sql = format!(
        "SELECT h.key, {HOLD}, t.user, t.amount, \
         r.key IS NOT NULL, x.key IS NOT NULL, o.key IS NOT NULL \
         FROM hold h LEFT JOIN receipt r ON r.key = h.key LEFT JOIN released x ON x.key = h.key \
         LEFT JOIN open_hold o ON o.key = h.key LEFT JOIN transfer t ON t.key = h.key \
         AND t.kind = 2 AND t.debit = 1 AND t.credit = 2 ORDER BY h.n"
    );
    let mut open: BTreeMap<UserId, Neuron> = BTreeMap::new();
    each(db, "hold", &sql, |columns| {
        let hold = columns.hold()?;
        let (user, amount): (Option<UserId>, Option<Neuron>) = (columns.take()?, columns.take()?);
        if amount.unwrap_or_default() != hold.amount || user.is_some_and(|u| u != hold.user) {
            return Err("another amount or another user's was set aside".into());
        }
        match (columns.take()?, columns.take()?, columns.take()?) {
            (true, false, false) | (false, true, false) => Ok(()),
            (false, false, true) => {
                let sum = open.entry(hold.user).or_default();
                let more = sum.checked_add(hold.amount);
                *sum = more.ok_or("the open holds leave the range of money")?;
                Ok(())
            }
            (false, false, false) => Err("it has not ended, and is not among the open".into()),
            (true, true, _) => Err("it ended twice".into()),
            (_, _, true) => Err("it has ended, and is among the open".into()),
        }
    })?;
    let sql = "SELECT o.key FROM open_hold o \
               WHERE NOT EXISTS (SELECT 1 FROM hold h WHERE h.key = o.key) LIMIT 1";
    none(db, "open_hold", sql, "no hold has its key")?;
    Ok(open)
}

/// Every alias leads to a receipt that carries it, and every id of an engine has its alias.
pub(super) fn aliases(db: &Connection) -> Result<(), Stop> {
    let sql = "SELECT l.alias FROM upstream_alias l LEFT JOIN receipt r ON r.id = l.receipt \
               WHERE r.upstream_id IS NOT l.alias OR r.user IS NOT l.user LIMIT 1";
    none(db, "upstream_alias", sql, "its receipt carries another id or is another user's")?;
    let sql = "SELECT r.id FROM receipt r WHERE r.upstream_id IS NOT NULL AND NOT EXISTS \
               (SELECT 1 FROM upstream_alias l WHERE l.alias = r.upstream_id AND l.user = r.user) \
               LIMIT 1";
    none(db, "receipt", sql, "the engine's id of it leads nowhere")
}
