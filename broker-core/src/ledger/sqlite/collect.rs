//! Fees on their way to the chain: what a command is decided from, and what it writes.

use rusqlite::{Connection, OptionalExtension, params};

use crate::account::UserId;
use crate::chain::{Block, Payment};
use crate::command::{Binding, Books, Command, OpenVoucher, Seal, Settle};
use crate::digest::Digest32;
use crate::ledger::LedgerError;
use crate::ledger::entry::Entry;
use crate::ledger::statement::{Unsealed, VOUCHER_RECEIPTS_MAX};
use crate::requests::Collected;
use crate::rules::{Record, View};
use crate::signer::{Address, Signature};
use crate::voucher::{Domain, SignedVoucher};

use super::rows::{Columns, HOLD, RECEIPT, VOUCHER};
use super::values::Count;

/// Adds to `view` what a command that collects is decided from.
pub(super) fn see(
    db: &Connection,
    view: &mut View,
    command: &Command,
    user: Option<UserId>,
) -> Result<(), LedgerError> {
    let is_about = matches!(
        command,
        Command::Bind(_)
            | Command::Escrow { .. }
            | Command::Seal(_)
            | Command::Countersign(_)
            | Command::Settle(_)
    );
    if !is_about {
        return Ok(());
    }
    view.binding = binding(db)?;
    let Some(user) = user else { return Ok(()) };
    view.books = books(db, &user)?;
    view.open = open_voucher(db, &user)?;
    if let Command::Seal(seal) = command {
        let unsealed = collect(db, &user, view.books, Some(seal.sealed_to))?;
        view.collected = unsealed.map(|unsealed| unsealed.collected);
    }
    Ok(())
}

pub(super) fn binding(db: &Connection) -> Result<Option<Binding>, LedgerError> {
    let sql = "SELECT chain_id, contract, provider FROM binding";
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_row([], |row| {
        let Count(chain_id) = row.get(0)?;
        let domain = Domain { chain_id, contract: row.get(1)? };
        Ok(Binding { domain, provider: row.get(2)? })
    });
    Ok(found.optional()?)
}

pub(super) fn books(db: &Connection, user: &UserId) -> rusqlite::Result<Books> {
    let sql = "SELECT nonce, sealed_to, carry FROM books WHERE user = ?1";
    let found = db.prepare_cached(sql)?.query_row([user], |row| {
        let (Count(nonce), Count(sealed_to)) = (row.get(0)?, row.get(1)?);
        Ok(Books { nonce: Some(nonce), sealed_to, carry: row.get(2)? })
    });
    Ok(found.optional()?.unwrap_or_default())
}

pub(super) fn open_voucher(
    db: &Connection,
    user: &UserId,
) -> Result<Option<OpenVoucher>, LedgerError> {
    let sql = format!(
        "SELECT v.entry, {VOUCHER}, v.since, v.sealed_at FROM open_voucher o \
         JOIN voucher v ON v.entry = o.voucher WHERE o.user = ?1"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_row([user], |row| Columns::of(row).open_voucher());
    found.optional()?.map(|(entry, open)| with_signatures(db, entry, open)).transpose()
}

/// The vouchers whose end is not known yet, the oldest first.
pub(super) fn open_vouchers(db: &Connection) -> Result<Vec<OpenVoucher>, LedgerError> {
    let sql = format!(
        "SELECT v.entry, {VOUCHER}, v.since, v.sealed_at FROM open_voucher o \
         JOIN voucher v ON v.entry = o.voucher ORDER BY v.entry"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| Columns::of(row).open_voucher())?;
    let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    rows.into_iter().map(|(entry, open)| with_signatures(db, entry, open)).collect()
}

fn with_signatures(
    db: &Connection,
    entry: u64,
    mut open: OpenVoucher,
) -> Result<OpenVoucher, LedgerError> {
    let sql = "SELECT signer, signature FROM voucher_signature WHERE voucher = ?1 ORDER BY entry";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([Count(entry)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    open.signatures = rows.collect::<rusqlite::Result<Vec<(Address, Signature)>>>()?;
    Ok(open)
}

/// As the index over them has it. Answers that cost nothing are under no voucher: they would only
/// fill it up.
pub(super) const HAS_FEE: &str = "fee > x'00000000000000000000000000000000'";

/// What a voucher of the receipts behind the last one would collect: up to the entry `upto`, which
/// has to be one of theirs, or as many as a voucher takes.
pub(super) fn collect(
    db: &Connection,
    user: &UserId,
    books: Books,
    upto: Option<u64>,
) -> Result<Option<Unsealed>, LedgerError> {
    let sql = format!(
        "SELECT r.entry, {RECEIPT}, {HOLD} FROM receipt r JOIN hold h ON h.entry = r.hold \
         WHERE r.user = ?1 AND r.entry > ?2 AND r.entry <= ?3 AND r.{HAS_FEE} \
         ORDER BY r.entry LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    // Entries are numbered from 1 and never reach the sign.
    let end = Count(upto.unwrap_or(u64::MAX >> 1));
    let most = Count(VOUCHER_RECEIPTS_MAX);
    let mut rows = statement.query(params![user, Count(books.sealed_to), end, most])?;
    let mut collected = Collected::new(*user, books.carry);
    let mut sealed_to = books.sealed_to;
    while let Some(row) = rows.next()? {
        let mut columns = Columns::of(row);
        let Count(entry) = columns.take()?;
        let receipt = columns.receipt()?;
        let hold = columns.hold()?;
        let added = collected.add(&receipt, &hold.tariff);
        added.ok_or_else(|| LedgerError::Corrupt("fees leave the range of money".to_owned()))?;
        sealed_to = entry;
    }
    let exists = upto.is_none_or(|upto| upto == sealed_to);
    let is_empty = collected.total().is_zero();
    Ok((exists && !is_empty).then_some(Unsealed { collected, sealed_to, books }))
}

/// Writes the record of a command that collects, and the user's books where they change.
pub(super) fn write(
    db: &Connection,
    record: &Record<'_>,
    books: Option<Books>,
    entry: &Entry,
) -> Result<(), LedgerError> {
    if let Some(books) = books {
        write_books(db, &entry.user, &books)?;
    }
    let (seq, user) = (Count(entry.seq), &entry.user);
    match record {
        Record::Binding(Binding { domain, provider }) => {
            let sql = "INSERT INTO binding VALUES (?1, 1, ?2, ?3, ?4)";
            let values = params![seq, Count(domain.chain_id), domain.contract, provider];
            db.prepare_cached(sql)?.execute(values)?;
        }
        Record::Escrow(cover, nonce) => {
            let sql = "INSERT INTO escrow VALUES (?1, ?2, ?3, ?4)";
            db.prepare_cached(sql)?.execute(params![seq, user, cover, Count(*nonce)])?;
        }
        Record::Seal(seal, carry) => write_seal(db, seal, *carry, entry)?,
        Record::Countersign(signed) => write_signature(db, signed, entry)?,
        Record::Settle(settle) => write_settle(db, settle, entry)?,
        Record::Freeze(nonce) => {
            let sql = "INSERT INTO freeze VALUES (?1, ?2, ?3)";
            db.prepare_cached(sql)?.execute(params![seq, user, Count(*nonce)])?;
        }
        _ => {}
    }
    Ok(())
}

fn write_books(db: &Connection, user: &UserId, books: &Books) -> rusqlite::Result<()> {
    let sql = "INSERT INTO books VALUES (?1, ?2, ?3, ?4) ON CONFLICT (user) DO UPDATE SET \
               nonce = ?2, sealed_to = ?3, carry = ?4";
    let nonce = Count(books.nonce.unwrap_or_default());
    let values = params![user, nonce, Count(books.sealed_to), books.carry];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn write_seal(
    db: &Connection,
    seal: &Seal,
    carry: crate::money::Neuron,
    entry: &Entry,
) -> rusqlite::Result<()> {
    let SignedVoucher { voucher, signature, signing_address } = &seal.voucher;
    let seq = Count(entry.seq);
    let sql = "INSERT INTO voucher VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    db.prepare_cached(sql)?.execute(params![
        seq,
        voucher.user,
        Count(voucher.nonce),
        voucher.provider,
        voucher.total,
        carry,
        voucher.requests_hash,
        Count(seal.sealed_to),
        Count(seal.since),
        entry.at,
    ])?;
    // A second open voucher of a user's is refused here, whatever the rules said.
    let sql = "INSERT INTO open_voucher VALUES (?1, ?2)";
    db.prepare_cached(sql)?.execute(params![voucher.user, seq])?;
    let sql = "INSERT INTO voucher_signature VALUES (?1, ?1, ?2, ?3)";
    db.prepare_cached(sql)?.execute(params![seq, signing_address, signature])?;
    Ok(())
}

fn write_signature(db: &Connection, signed: &SignedVoucher, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO voucher_signature SELECT ?1, voucher, ?3, ?4 FROM open_voucher \
               WHERE user = ?2";
    let values = params![Count(entry.seq), entry.user, signed.signing_address, signed.signature];
    db.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn write_settle(db: &Connection, settle: &Settle, entry: &Entry) -> Result<(), LedgerError> {
    let Payment { paid, cover, block: Block { number, hash }, transaction } = settle.payment;
    let sql = "INSERT INTO settled SELECT ?1, voucher, ?3, ?4, ?5, ?6, ?7 FROM open_voucher \
               WHERE user = ?2";
    let (seq, number) = (Count(entry.seq), Count(number));
    let hashes: (Digest32, Digest32) = (hash, transaction);
    let values = params![seq, settle.user, paid, cover, number, hashes.0, hashes.1];
    db.prepare_cached(sql)?.execute(values)?;
    match db.prepare_cached("DELETE FROM open_voucher WHERE user = ?1")?.execute([settle.user])? {
        1 => Ok(()),
        _ => Err(LedgerError::Corrupt(format!("no voucher of {} is open", settle.user))),
    }
}
