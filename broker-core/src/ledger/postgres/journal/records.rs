//! How the rows that entries recorded are read.

use crate::account::UserId;
use crate::chain::{Block, Payment};
use crate::clock::Timestamp;
use crate::command::{Binding, Retire, Seal, Settle};
use crate::digest::RequestKey;
use crate::ledger::entry::{Entry, EntryKind};
use crate::ledger::journal::Written;
use crate::ledger::postgres::fault::{Trouble, corrupt};
use crate::ledger::postgres::rows::{Columns, hold_columns, receipt_columns, voucher_columns};
use crate::voucher::{Domain, SignedVoucher};

/// A table of records.
pub(in crate::ledger::postgres) struct Source {
    /// Its name, as a fault has it.
    pub(in crate::ledger::postgres) table: &'static str,
    /// The rows of some entries: the entry's number, and what [`read`] takes.
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

/// What is behind the number of an entry's row.
pub(super) fn read(columns: &mut Columns<'_>, entry: &Entry) -> Result<Written, Trouble> {
    Ok(match entry.kind {
        EntryKind::Mirror => Written::Cover,
        EntryKind::Reserve => {
            let hold = columns.hold()?;
            written_with(entry.at, columns.take()?)?;
            Written::Hold(Box::new(hold))
        }
        EntryKind::Capture => {
            let receipt = columns.receipt()?;
            belongs_to(entry.key, columns.take()?)?;
            Written::Receipt(Box::new(receipt))
        }
        EntryKind::Release => {
            let why = columns.take()?;
            belongs_to(entry.key, columns.take()?)?;
            written_with(entry.at, columns.take()?)?;
            Written::Release(why)
        }
        EntryKind::Bind => {
            let domain = Domain { chain_id: columns.count()?, contract: columns.take()? };
            Written::Binding(Binding { domain, provider: columns.take()? })
        }
        EntryKind::Escrow => {
            let (cover, nonce) = (columns.take()?, columns.count()?);
            is_of(entry, columns.take()?)?;
            Written::Escrow { cover, nonce }
        }
        EntryKind::Seal => read_seal(columns, entry)?,
        EntryKind::Countersign => {
            let voucher = columns.voucher()?;
            let (signing_address, signature) = (columns.take()?, columns.take()?);
            let signed = SignedVoucher { voucher, signature, signing_address };
            Written::Countersign(Box::new(signed))
        }
        EntryKind::Settle => {
            let (user, nonce) = (columns.take()?, columns.count()?);
            let (paid, cover) = (columns.take()?, columns.take()?);
            let block = Block { number: columns.count()?, hash: columns.take()? };
            let payment = Payment { paid, cover, block, transaction: columns.take()? };
            Written::Settle(Box::new(Settle { user, nonce, payment }))
        }
        EntryKind::Freeze => {
            let nonce = columns.count()?;
            is_of(entry, columns.take()?)?;
            Written::Freeze(nonce)
        }
        EntryKind::Retire => {
            let (upto, archive) = (columns.count()?, columns.take()?);
            Written::Retire(Retire { upto, archive })
        }
    })
}

fn read_seal(columns: &mut Columns<'_>, entry: &Entry) -> Result<Written, Trouble> {
    let voucher = columns.voucher()?;
    let carry = columns.take()?;
    let (sealed_to, since) = (columns.count()?, columns.count()?);
    written_with(entry.at, columns.take()?)?;
    let (signer, signature) = (columns.take::<Option<_>>()?, columns.take::<Option<_>>()?);
    let Some((signing_address, signature)) = signer.zip(signature) else {
        return Err(corrupt("its first signature is missing"));
    };
    let voucher = SignedVoucher { voucher, signature, signing_address };
    Ok(Written::Seal(Box::new(Seal { voucher, sealed_to, since }), carry))
}

fn written_with(entry: Timestamp, row: Timestamp) -> Result<(), Trouble> {
    if row == entry { Ok(()) } else { Err(corrupt("its entry is of another time")) }
}

fn belongs_to(entry: Option<RequestKey>, row: RequestKey) -> Result<(), Trouble> {
    if entry == Some(row) { Ok(()) } else { Err(corrupt("its entry is about another request")) }
}

fn is_of(entry: &Entry, user: UserId) -> Result<(), Trouble> {
    if user == entry.user { Ok(()) } else { Err(corrupt("its entry is about another user")) }
}

const HOLD: &str = concat!(
    "SELECT h.entry, ",
    hold_columns!(),
    ", h.opened_at FROM hold h WHERE h.entry = ANY ($1)"
);

const RECEIPT: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", r.key FROM receipt r WHERE r.entry = ANY ($1)"
);

const RELEASED: &str =
    "SELECT r.entry, r.why, r.key, r.at FROM released r WHERE r.entry = ANY ($1)";

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
