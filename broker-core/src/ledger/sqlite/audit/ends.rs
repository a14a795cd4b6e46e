//! Holds and how they ended: compared with each other and with the entries that recorded them.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::command::{Hold, ReleaseReason};
use crate::digest::{Digest32, RequestKey};
use crate::ledger::sqlite::rows::{Columns, HOLD, RECEIPT};
use crate::money::Neuron;
use crate::receipt::Receipt;

use super::scan::{Stop, Wrong, each, none};

/// Every hold is what it was when it was written, and set its amount aside.
pub(super) fn holds(db: &Connection) -> Result<(), Stop> {
    let sql = format!(
        "SELECT h.key, {HOLD}, h.opened_at, e.key, e.user, e.memo, t.amount FROM hold h \
         LEFT JOIN entry e ON e.seq = h.entry AND e.kind = 2 \
         LEFT JOIN transfer t ON t.entry = h.entry AND t.debit = 1 AND t.credit = 2 \
         ORDER BY h.entry"
    );
    each(db, "hold", &sql, |columns| {
        let hold = columns.hold()?;
        let digest = hold.digest(columns.take()?);
        fits_entry(hold.key, &hold.user, &digest, columns)?;
        if columns.take::<Option<Neuron>>()?.unwrap_or_default() != hold.amount {
            return Err("another amount was set aside".into());
        }
        Ok(())
    })
}

/// Every receipt is what it was when it was written, fits its hold, costs what its usage costs at
/// the hold's prices, and moved that much.
pub(super) fn receipts(db: &Connection) -> Result<(), Stop> {
    let sql = format!(
        "SELECT r.id, {RECEIPT}, r.key, e.key, e.user, e.memo, t.amount, u.amount, \
         h.key IS NOT NULL, {HOLD} FROM receipt r \
         LEFT JOIN entry e ON e.seq = r.entry AND e.kind = 3 \
         LEFT JOIN transfer t ON t.entry = r.entry AND t.debit = 2 AND t.credit = 3 \
         LEFT JOIN transfer u ON u.entry = r.entry AND u.debit = 2 AND u.credit = 1 \
         LEFT JOIN hold h ON h.key = r.key ORDER BY r.entry"
    );
    each(db, "receipt", &sql, |columns| {
        let receipt = columns.receipt()?;
        fits_entry(columns.take()?, &receipt.user, &receipt.digest(), columns)?;
        let (earned, freed): (Option<Neuron>, Option<Neuron>) = (columns.take()?, columns.take()?);
        if !columns.take::<bool>()? {
            return Err("no hold has its key".into());
        }
        let rest = fits_hold(&receipt, &columns.hold()?)?;
        if earned.unwrap_or_default() != receipt.fee {
            return Err("another fee was moved than it says".into());
        }
        if freed.unwrap_or_default() != rest {
            return Err("another rest was freed than its fee leaves".into());
        }
        Ok(())
    })
}

/// A row was recorded by the entry whose key, user and memo come next.
fn fits_entry(
    key: RequestKey,
    user: &UserId,
    digest: &Digest32,
    columns: &mut Columns<'_, '_>,
) -> Result<(), Wrong> {
    let entry: (Option<RequestKey>, Option<UserId>, Option<Digest32>) =
        (columns.take()?, columns.take()?, columns.take()?);
    match entry {
        (None, ..) => Err("no entry of its kind recorded it".into()),
        entry if entry == (Some(key), Some(*user), Some(*digest)) => Ok(()),
        _ => Err("the chain has another row in its place".into()),
    }
}

/// What the hold's amount leaves beside the fee.
fn fits_hold(receipt: &Receipt, hold: &Hold) -> Result<Neuron, Wrong> {
    if hold.receipt != receipt.id || hold.user != receipt.user {
        return Err("it belongs to another exchange or user than its hold".into());
    }
    let (fee, due) = (receipt.fee, hold.fee(&receipt.usage));
    if fee != due {
        return Err(format!("its fee is {fee}, and its usage costs {due}").into());
    }
    let rest = hold.amount.checked_sub(fee);
    rest.ok_or_else(|| format!("its fee {fee} is above the hold of {}", hold.amount).into())
}

/// Every release is what it was when it was written, and frees the whole hold.
pub(super) fn released(db: &Connection) -> Result<(), Stop> {
    let sql = "SELECT x.key, x.key, x.why, x.at, h.user, h.amount, e.key, e.user, e.memo, \
               t.amount FROM released x LEFT JOIN hold h ON h.key = x.key \
               LEFT JOIN entry e ON e.seq = x.entry AND e.kind = 4 \
               LEFT JOIN transfer t ON t.entry = x.entry AND t.debit = 2 AND t.credit = 1 \
               ORDER BY x.entry";
    each(db, "released", sql, |columns| {
        let key: RequestKey = columns.take()?;
        let (why, at): (ReleaseReason, Timestamp) = (columns.take()?, columns.take()?);
        let hold: (Option<UserId>, Option<Neuron>) = (columns.take()?, columns.take()?);
        let (Some(user), Some(amount)) = hold else {
            return Err("no hold has its key".into());
        };
        fits_entry(key, &user, &why.digest(&key, at), columns)?;
        if columns.take::<Option<Neuron>>()?.unwrap_or_default() != amount {
            return Err("another amount was freed than was held".into());
        }
        Ok(())
    })
}

/// Every hold is open or ended, once. Returns what is open, by user.
pub(super) fn open_holds(db: &Connection) -> Result<BTreeMap<UserId, Neuron>, Stop> {
    let sql = "SELECT h.key, h.user, h.amount, \
               r.key IS NOT NULL, x.key IS NOT NULL, o.key IS NOT NULL FROM hold h \
               LEFT JOIN receipt r ON r.key = h.key LEFT JOIN released x ON x.key = h.key \
               LEFT JOIN open_hold o ON o.key = h.key ORDER BY h.entry";
    let mut open: BTreeMap<UserId, Neuron> = BTreeMap::new();
    each(db, "hold", sql, |columns| {
        let (user, amount): (UserId, Neuron) = (columns.take()?, columns.take()?);
        match (columns.take()?, columns.take()?, columns.take()?) {
            (true, false, false) | (false, true, false) => Ok(()),
            (false, false, true) => {
                let sum = open.entry(user).or_default();
                let more = sum.checked_add(amount);
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

/// Every id of an engine has its alias, which leads to the first receipt of its user that carries
/// it, and there is no other alias.
pub(super) fn aliases(db: &Connection) -> Result<(), Stop> {
    let sql = "SELECT l.alias FROM upstream_alias l LEFT JOIN receipt r ON r.id = l.receipt \
               WHERE r.upstream_id IS NOT l.alias OR r.user IS NOT l.user LIMIT 1";
    none(db, "upstream_alias", sql, "its receipt carries another id or is another user's")?;
    let sql = "SELECT r.id FROM receipt r WHERE r.upstream_id IS NOT NULL AND NOT EXISTS \
               (SELECT 1 FROM upstream_alias l WHERE l.alias = r.upstream_id AND l.user = r.user) \
               LIMIT 1";
    none(db, "receipt", sql, "the engine's id of it leads nowhere")?;
    let sql = "SELECT l.alias FROM receipt r \
               JOIN upstream_alias l ON l.alias = r.upstream_id AND l.user = r.user \
               JOIN receipt f ON f.id = l.receipt WHERE r.entry < f.entry LIMIT 1";
    none(db, "upstream_alias", sql, "an earlier receipt of its user carries the id")
}
