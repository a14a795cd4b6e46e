//! The journal of a stored ledger: every table of records is read once, side by side, in the order
//! of the entries that recorded its rows.

use rusqlite::Connection;

use crate::account::{Bucket, Movement};
use crate::digest::Digest32;
use crate::ledger::entry::{Entry, EntryKind};
use crate::ledger::journal::{Line, LoggedLeaf, Stop, Visitor, Written, fault_of_entry};
use crate::ledger::rows::read;
use crate::money::Neuron;

use super::rows::{Columns, HOLD, RECEIPT, VOUCHER};
use super::scan::{Cursor, Wrong};

/// Every line behind a place in the chain, in order.
///
/// # Errors
/// What the visitor stops at, a row that cannot be read or that no entry recorded, a database that
/// fails.
pub(super) fn lines(db: &Connection, behind: u64, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    let mut statements = Vec::new();
    for (table, sql) in RECORDS {
        statements.push(db.prepare(&ordered(table, sql))?);
    }
    let mut records = Vec::new();
    for (statement, (table, _)) in statements.iter_mut().zip(RECORDS) {
        records.push(Cursor::open(table, statement, behind)?);
    }
    let mut retired = db.prepare(RETIRED)?;
    let mut retired = Cursor::open("retired", &mut retired, behind)?;
    let mut leaves = db.prepare(LEAVES)?;
    let mut leaves = Cursor::open("log_leaf", &mut leaves, behind)?;
    let mut entries = db.prepare(ENTRIES)?;
    let mut entries = Cursor::open("entry", &mut entries, behind)?;
    while let Some((entry, link)) = entries.next(&mut read_entry)? {
        visitor.entry(&entry, Some(link))?;
        if entry.kind == EntryKind::Capture
            && let Some(leaf) = leaves.at(entry.seq, &mut read_leaf)?
        {
            visitor.leaf(&entry, &leaf)?;
        }
        let written = match records.get_mut(place(entry.kind)) {
            None => Written::Cover,
            Some(cursor) => {
                let mut written = cursor.at(entry.seq, &mut |row| read(row, &entry))?;
                if written.is_none() && entry.kind == EntryKind::Capture {
                    let leaf = retired.at(entry.seq, &mut |row| Ok(row.take()?))?;
                    written = leaf.map(Written::Retired);
                }
                let what = || format!("its row in {} is missing", cursor.table);
                written.ok_or_else(|| fault_of_entry(&entry, what()))?
            }
        };
        visitor.line(Line { entry, link: Some(link), written })?;
    }
    retired.ends()?;
    leaves.ends()?;
    records.iter().try_for_each(Cursor::ends)
}

const ENTRIES: &str = "SELECT e.seq, e.seq, e.seq, e.kind, e.user, e.key, e.memo, e.at, e.digest, \
                       e.amount1, e.debit1, e.credit1, e.amount2, e.debit2, e.credit2, \
                       e.amount3, e.debit3, e.credit3 FROM entry e WHERE e.seq > ?1 ORDER BY e.seq";
const RETIRED: &str =
    "SELECT x.entry, x.entry, x.leaf FROM retired x WHERE x.entry > ?1 ORDER BY x.entry";

const LEAVES: &str = "SELECT g.leaf, g.entry, g.leaf, g.hash FROM log_leaf g WHERE g.entry > ?1 \
                      ORDER BY g.entry";

/// The tables of records and how they are read: a row's name, the entry that recorded it, and what
/// [`read`] takes. In the order of the entries' kinds, from [`EntryKind::Reserve`] on.
const RECORDS: [(&str, &str); 10] = [
    ("hold", "SELECT r.key, r.entry, {HOLD}, r.opened_at FROM hold r"),
    (
        "receipt",
        "SELECT r.id, r.entry, {RECEIPT}, h.key FROM receipt r \
         LEFT JOIN hold h ON h.entry = r.hold",
    ),
    (
        "released",
        "SELECT h.key, r.entry, r.why, h.key, r.at FROM released r \
         LEFT JOIN hold h ON h.entry = r.hold",
    ),
    ("binding", "SELECT r.entry, r.entry, r.chain_id, r.contract, r.provider FROM binding r"),
    ("escrow", "SELECT r.entry, r.entry, r.cover, r.nonce, r.user FROM escrow r"),
    (
        "voucher",
        "SELECT r.entry, r.entry, {VOUCHER}, r.carry, r.sealed_to, r.since, r.sealed_at, \
         g.signer, g.signature FROM voucher r \
         LEFT JOIN voucher_signature g ON g.entry = r.entry",
    ),
    (
        "voucher_signature",
        "SELECT r.entry, r.entry, {VOUCHER}, r.signer, r.signature \
         FROM (SELECT * FROM voucher_signature WHERE entry <> voucher) r \
         LEFT JOIN voucher v ON v.entry = r.voucher",
    ),
    (
        "settled",
        "SELECT r.entry, r.entry, v.user, v.nonce, r.paid, r.cover, r.block_number, \
         r.block_hash, r.tx FROM settled r LEFT JOIN voucher v ON v.entry = r.voucher",
    ),
    ("freeze", "SELECT r.entry, r.entry, r.nonce, r.user FROM freeze r"),
    ("retire", "SELECT r.entry, r.entry, r.upto, r.archive FROM retire r"),
];

/// A query of [`RECORDS`], in the order of the entries.
fn ordered(table: &str, sql: &str) -> String {
    let of = |columns: &str, letter: &str| columns.replace(letter, "r.");
    let voucher = if table == "voucher" { of(VOUCHER, "v.") } else { VOUCHER.to_owned() };
    let sql = sql.replace("{HOLD}", &of(HOLD, "h.")).replace("{VOUCHER}", &voucher);
    let sql = sql.replace("{RECEIPT}", RECEIPT);
    format!("{sql} WHERE r.entry > ?1 ORDER BY r.entry")
}

/// Where the records of a kind are in [`RECORDS`]; a mirrored cover has none.
fn place(kind: EntryKind) -> usize {
    usize::from(kind as u8).wrapping_sub(2)
}

fn read_entry(columns: &mut Columns<'_, '_>) -> Result<(Entry, Digest32), Wrong> {
    let seq = columns.count()?;
    let mut entry = columns.entry_at(seq, seq)?;
    let link = columns.take()?;
    for n in 0..MOVEMENTS_MAX {
        let amount: Option<Neuron> = columns.take()?;
        let (debit, credit): (Option<Bucket>, Option<Bucket>) = (columns.take()?, columns.take()?);
        match (amount, debit, credit) {
            (Some(amount), Some(debit), Some(credit)) if n == entry.movements.len() => {
                entry.movements.push(Movement { user: entry.user, debit, credit, amount });
            }
            (None, None, None) => {}
            (Some(_), Some(_), Some(_)) => return Err("the movement before one is missing".into()),
            _ => return Err("a part of a movement is missing".into()),
        }
    }
    Ok((entry, link))
}

/// As many as an entry has columns for.
const MOVEMENTS_MAX: usize = 3;

fn read_leaf(columns: &mut Columns<'_, '_>) -> Result<LoggedLeaf, Wrong> {
    Ok(LoggedLeaf { leaf: columns.count()?, hash: columns.take()? })
}
