//! Where the rows are that entries recorded.

use crate::ledger::entry::EntryKind;
use crate::ledger::postgres::rows::{hold_columns, receipt_columns, voucher_columns};

/// A table of records.
pub(in crate::ledger::postgres) struct Source {
    /// Its name, as a fault has it.
    pub(in crate::ledger::postgres) table: &'static str,
    /// The rows of some entries: the entry's number, and what [`crate::ledger::rows::read`] takes.
    pub(in crate::ledger::postgres) sql: &'static str,
}

/// Where entries of a kind have their records. A mirrored cover has none.
pub(in crate::ledger::postgres) fn source(kind: EntryKind) -> Source {
    let (table, sql) = match kind {
        EntryKind::Mirror => ("entry", ""),
        EntryKind::Reserve => ("hold", HOLD),
        EntryKind::Capture => ("receipt", RECEIPT),
        EntryKind::Release => ("released", RELEASED),
        EntryKind::Bind => ("binding", BINDING),
        EntryKind::Escrow => ("escrow", ESCROW),
        EntryKind::Seal => ("voucher", VOUCHER),
        EntryKind::Countersign => ("voucher_signature", COUNTERSIGNATURE),
        EntryKind::Settle => ("settled", SETTLED),
        EntryKind::Freeze => ("freeze", FROZEN),
        EntryKind::Retire => ("retire", RETIRE),
    };
    Source { table, sql }
}

const HOLD: &str = concat!(
    "SELECT h.entry, ",
    hold_columns!(),
    ", h.opened_at FROM hold h WHERE h.entry = ANY ($1)"
);

const RECEIPT: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", h.key FROM receipt r LEFT JOIN hold h ON h.entry = r.hold WHERE r.entry = ANY ($1)"
);

const RELEASED: &str = "SELECT r.entry, r.why, h.key, r.at FROM released r \
     LEFT JOIN hold h ON h.entry = r.hold WHERE r.entry = ANY ($1)";

const BINDING: &str = "SELECT r.entry, r.chain_id, r.contract, r.provider FROM binding r \
     WHERE r.entry = ANY ($1)";

const ESCROW: &str =
    "SELECT r.entry, r.cover, r.nonce, r.user_id FROM escrow r WHERE r.entry = ANY ($1)";

const VOUCHER: &str = concat!(
    "SELECT v.entry, ",
    voucher_columns!(),
    ", v.carry, v.sealed_to, v.since, v.sealed_at, g.signer, g.signature FROM voucher v ",
    "LEFT JOIN voucher_signature g ON g.entry = v.entry WHERE v.entry = ANY ($1)"
);

const COUNTERSIGNATURE: &str = concat!(
    "SELECT g.entry, ",
    voucher_columns!(),
    ", g.signer, g.signature FROM voucher_signature g JOIN voucher v ON v.entry = g.voucher ",
    "WHERE g.entry = ANY ($1) AND g.entry <> g.voucher"
);

const SETTLED: &str = "SELECT s.entry, v.user_id, v.nonce, s.paid, s.cover, s.block_number, \
     s.block_hash, s.tx FROM settled s JOIN voucher v ON v.entry = s.voucher \
     WHERE s.entry = ANY ($1)";

const FROZEN: &str = "SELECT r.entry, r.nonce, r.user_id FROM frozen r WHERE r.entry = ANY ($1)";

const RETIRE: &str = "SELECT r.entry, r.upto, r.archive FROM retire r WHERE r.entry = ANY ($1)";
