//! Receipts that are let go.

use rusqlite::{Connection, params};

use crate::command::Retire;
use crate::ledger::LedgerError;
use crate::ledger::entry::Entry;
use crate::receipt::Receipt;
use crate::requests::receipt_leaf;
use crate::tariff::Tariff;

use super::rows::{Columns, RECEIPT, TARIFF};
use super::values::Count;

/// Receipts that no voucher depends on, now or ever: those that cost nothing, those of users who
/// have no escrow, and those that ended vouchers collect. With an open voucher these are what the
/// one before it reaches to. One with a proof has to stand in the receipt log: its leaf cannot be
/// made once it is gone.
const FINAL: &str = "(r.proof IS NULL OR EXISTS \
     (SELECT 1 FROM log_leaf g WHERE g.entry = r.entry)) \
     AND (r.fee = x'00000000000000000000000000000000' OR b.user IS NULL \
     OR r.entry <= CASE WHEN o.user IS NULL THEN b.sealed_to ELSE \
     coalesce((SELECT v.sealed_to FROM voucher v WHERE v.user = r.user AND v.nonce < b.nonce \
      ORDER BY v.nonce DESC LIMIT 1), 0) END)";

const SOURCE: &str = "receipt r LEFT JOIN books b ON b.user = r.user \
                      LEFT JOIN open_voucher o ON o.user = r.user";

/// The place of the last of the first `limit` final receipts up to a place.
pub(super) fn retirable(db: &Connection, upto: u64, limit: u64) -> rusqlite::Result<Option<u64>> {
    let sql = format!(
        "SELECT max(entry) FROM (SELECT r.entry AS entry FROM {SOURCE} \
         WHERE r.entry <= ?1 AND ({FINAL}) ORDER BY r.entry LIMIT ?2)"
    );
    let most = |count: u64| Count(count.min(u64::MAX >> 1));
    let values = params![most(upto), most(limit)];
    let last: Option<Count> = db.prepare_cached(&sql)?.query_row(values, |row| row.get(0))?;
    Ok(last.map(|Count(place)| place))
}

/// Puts the leaves of final receipts in their place.
pub(super) fn write(db: &Connection, retire: &Retire, entry: &Entry) -> Result<(), LedgerError> {
    let sql = "INSERT INTO retire VALUES (?1, ?2, ?3)";
    let upto = Count(retire.upto);
    db.prepare_cached(sql)?.execute(params![Count(entry.seq), upto, retire.archive])?;
    let sql = format!(
        "SELECT r.entry, {RECEIPT}, {TARIFF} FROM {SOURCE} JOIN hold h ON h.entry = r.hold \
         WHERE r.entry <= ?1 AND ({FINAL}) ORDER BY r.entry"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([upto], |row| {
        let mut columns = Columns::of(row);
        Ok((columns.take()?, columns.receipt()?, columns.tariff()?))
    })?;
    // Read to the end first: what is read is deleted.
    let gone: Vec<(Count, Receipt, Tariff)> = rows.collect::<rusqlite::Result<_>>()?;
    for (number, receipt, tariff) in &gone {
        let sql = "INSERT INTO retired VALUES (?1, ?2)";
        db.prepare_cached(sql)?.execute(params![number, receipt_leaf(receipt, tariff)])?;
    }
    for (number, ..) in &gone {
        db.prepare_cached("DELETE FROM receipt WHERE entry = ?1")?.execute([number])?;
    }
    Ok(())
}
