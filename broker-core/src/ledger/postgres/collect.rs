//! Fees on their way to the chain: what a command is decided from, and what it writes.

use std::collections::HashMap;

use crate::account::UserId;
use crate::chain::{Block, Payment};
use crate::command::{Binding, Books, Command, OpenVoucher, Seal, Settle};
use crate::ledger::LedgerError;
use crate::ledger::entry::Entry;
use crate::ledger::statement::{Unsealed, VOUCHER_RECEIPTS_MAX};
use crate::money::Neuron;
use crate::requests::Collected;
use crate::rules::{Record, View};
use crate::voucher::{Domain, SignedVoucher};

use super::fault::{Trouble, corrupt};
use super::retire;
use super::rows::{Columns, hold_columns, receipt_columns, voucher_columns};
use super::session::{Session, Values};
use super::values::Count;

/// True for commands that look at more than an account and a hold, or write more.
pub(super) fn is_about(command: &Command) -> bool {
    !matches!(
        command,
        Command::Mirror { .. }
            | Command::Reserve(_)
            | Command::Capture { .. }
            | Command::Release { .. }
    )
}

/// Adds to `view` what a command that collects is decided from.
pub(super) fn see(
    session: &mut Session,
    view: &mut View,
    command: &Command,
) -> Result<(), Trouble> {
    view.binding = binding(session)?;
    let Some(user) = command.subject().1 else { return Ok(()) };
    view.books = books(session, &user)?;
    view.open = open_voucher(session, &user)?;
    if let Command::Seal(seal) = command {
        let unsealed = collect(session, &user, view.books, Some(seal.sealed_to))?;
        view.collected = unsealed.map(|unsealed| unsealed.collected);
    }
    Ok(())
}

pub(super) fn binding(session: &mut Session) -> Result<Option<Binding>, Trouble> {
    let found = session.query_opt("SELECT chain_id, contract, provider FROM binding", &[])?;
    let binding = found.map(|row| {
        let mut columns = Columns::of(&row);
        let domain = Domain { chain_id: columns.count()?, contract: columns.take()? };
        Ok(Binding { domain, provider: columns.take()? })
    });
    binding.transpose()
}

pub(super) fn books(session: &mut Session, user: &UserId) -> Result<Books, Trouble> {
    let sql = "SELECT nonce, sealed_to, carry FROM books WHERE user_id = $1";
    let Some(row) = session.query_opt(sql, &[user])? else { return Ok(Books::default()) };
    let mut columns = Columns::of(&row);
    let (nonce, sealed_to) = (columns.count()?, columns.count()?);
    Ok(Books { nonce: Some(nonce), sealed_to, carry: columns.take()? })
}

pub(super) fn open_voucher(
    session: &mut Session,
    user: &UserId,
) -> Result<Option<OpenVoucher>, Trouble> {
    let found = session.query_opt(OPEN_VOUCHER, &[user])?;
    let found = found.map(|row| Columns::of(&row).open_voucher()).transpose()?;
    found.map(|(entry, open)| with_signatures(session, entry, open)).transpose()
}

/// The vouchers whose end is not known yet, the oldest first.
pub(super) fn open_vouchers(session: &mut Session) -> Result<Vec<OpenVoucher>, Trouble> {
    let rows = session.query(OPEN_VOUCHERS, &[])?;
    let mut signatures: HashMap<u64, Vec<_>> = HashMap::new();
    for row in session.query(OPEN_SIGNATURES, &[])? {
        let mut columns = Columns::of(&row);
        let signed = signatures.entry(columns.count()?).or_default();
        signed.push((columns.take()?, columns.take()?));
    }
    let open = rows.iter().map(|row| {
        let (entry, open) = Columns::of(row).open_voucher()?;
        Ok(OpenVoucher { signatures: signatures.remove(&entry).unwrap_or_default(), ..open })
    });
    open.collect()
}

fn with_signatures(
    session: &mut Session,
    entry: u64,
    mut open: OpenVoucher,
) -> Result<OpenVoucher, Trouble> {
    for row in session.query(SIGNATURES, &[&Count(entry)])? {
        let mut columns = Columns::of(&row);
        open.signatures.push((columns.take()?, columns.take()?));
    }
    Ok(open)
}

/// What a voucher of the receipts behind the last one would collect: up to the entry `upto`, which
/// has to be one of theirs, or as many as a voucher takes.
pub(super) fn collect(
    session: &mut Session,
    user: &UserId,
    books: Books,
    upto: Option<u64>,
) -> Result<Option<Unsealed>, Trouble> {
    // Entries are numbered from 1 and never reach the sign; whatever does is behind all of them.
    let end = Count(upto.unwrap_or(u64::MAX).min(u64::MAX >> 1));
    let (start, most) = (Count(books.sealed_to), Count(VOUCHER_RECEIPTS_MAX));
    let mut collected = Collected::new(*user, books.carry);
    let mut sealed_to = books.sealed_to;
    session.each::<Trouble>(BEHIND, &[user, &start, &end, &most], |row| {
        let mut columns = Columns::of(row);
        let entry = columns.count()?;
        let receipt = columns.receipt()?;
        let hold = columns.hold()?;
        let added = collected.add(&receipt, &hold.tariff);
        added.ok_or_else(|| corrupt("fees leave the range of money"))?;
        sealed_to = entry;
        Ok(())
    })?;
    let exists = upto.is_none_or(|upto| upto == sealed_to);
    let is_empty = collected.total().is_zero();
    Ok((exists && !is_empty).then_some(Unsealed { collected, sealed_to, books }))
}

/// Writes the record of a command that collects, and the user's books where they change.
pub(super) fn write(
    session: &mut Session,
    record: &Record<'_>,
    books: Option<Books>,
    entry: &Entry,
) -> Result<(), Trouble> {
    let (number, user) = (Count(entry.number), &entry.user);
    if let Some(Books { nonce, sealed_to, carry }) = books {
        let nonce = Count(nonce.unwrap_or_default());
        session.execute(WRITE_BOOKS, &[user, &nonce, &Count(sealed_to), &carry])?;
    }
    match record {
        Record::Binding(Binding { domain, provider }) => {
            let sql = "INSERT INTO binding VALUES ($1, 1, $2, $3, $4)";
            let chain_id = Count(domain.chain_id);
            session.execute(sql, &[&number, &chain_id, &domain.contract, provider])?;
        }
        Record::Escrow(cover, nonce) => {
            let sql = "INSERT INTO escrow VALUES ($1, $2, $3, $4)";
            session.execute(sql, &[&number, user, cover, &Count(*nonce)])?;
        }
        Record::Seal(seal, carry) => write_seal(session, seal, *carry, entry)?,
        Record::Countersign(signed) => {
            let values: Values<'_> = &[&number, user, &signed.signing_address, &signed.signature];
            is_one(session.execute(WRITE_COUNTERSIGNATURE, values)?, user)?;
        }
        Record::Settle(settle) => write_settle(session, settle, entry)?,
        Record::Freeze(nonce) => {
            let sql = "INSERT INTO frozen VALUES ($1, $2, $3)";
            session.execute(sql, &[&number, user, &Count(*nonce)])?;
        }
        Record::Retire(retire) => retire::write(session, retire, entry)?,
        _ => {}
    }
    Ok(())
}

fn write_seal(
    session: &mut Session,
    seal: &Seal,
    carry: Neuron,
    entry: &Entry,
) -> Result<(), Trouble> {
    let SignedVoucher { voucher, signature, signing_address } = &seal.voucher;
    let number = Count(entry.number);
    session.execute(
        "INSERT INTO voucher VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        &[
            &number,
            &voucher.user,
            &Count(voucher.nonce),
            &voucher.provider,
            &voucher.total,
            &carry,
            &voucher.requests_hash,
            &Count(seal.sealed_to),
            &Count(seal.since),
            &entry.at,
        ],
    )?;
    // A second open voucher of a user's is refused here, whatever the rules said.
    session.execute("INSERT INTO open_voucher VALUES ($1, $2)", &[&voucher.user, &number])?;
    let sql = "INSERT INTO voucher_signature VALUES ($1, $1, $2, $3)";
    session.execute(sql, &[&number, signing_address, signature])?;
    Ok(())
}

fn write_settle(session: &mut Session, settle: &Settle, entry: &Entry) -> Result<(), Trouble> {
    let Payment { paid, cover, block: Block { number: block, hash }, transaction } = settle.payment;
    let user = &settle.user;
    let values: Values<'_> =
        &[&Count(entry.number), user, &paid, &cover, &Count(block), &hash, &transaction];
    is_one(session.execute(WRITE_SETTLED, values)?, user)?;
    is_one(session.execute("DELETE FROM open_voucher WHERE user_id = $1", &[user])?, user)
}

fn is_one(rows: u64, user: &UserId) -> Result<(), Trouble> {
    let none = || LedgerError::Corrupt(format!("no voucher of {user} is open"));
    (rows == 1).then_some(()).ok_or_else(|| Trouble::Failed(none()))
}

const OPEN_VOUCHER: &str = concat!(
    "SELECT v.entry, ",
    voucher_columns!(),
    ", v.since, v.sealed_at FROM open_voucher o JOIN voucher v ON v.entry = o.voucher ",
    "WHERE o.user_id = $1"
);

const OPEN_VOUCHERS: &str = concat!(
    "SELECT v.entry, ",
    voucher_columns!(),
    ", v.since, v.sealed_at FROM open_voucher o JOIN voucher v ON v.entry = o.voucher ",
    "ORDER BY v.entry"
);

const SIGNATURES: &str =
    "SELECT signer, signature FROM voucher_signature WHERE voucher = $1 ORDER BY entry";

const OPEN_SIGNATURES: &str = "SELECT o.voucher, g.signer, g.signature FROM open_voucher o \
     JOIN voucher_signature g ON g.voucher = o.voucher ORDER BY g.entry";

/// Answers that cost nothing are under no voucher: they would only fill it up.
const BEHIND: &str = concat!(
    "SELECT r.entry, ",
    receipt_columns!(),
    ", ",
    hold_columns!(),
    " FROM receipt r JOIN hold h ON h.entry = r.hold WHERE r.user_id = $1 AND r.entry > $2 ",
    "AND r.entry <= $3 AND r.fee > 0 ORDER BY r.entry LIMIT $4"
);

const WRITE_BOOKS: &str = "INSERT INTO books VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) \
     DO UPDATE SET nonce = excluded.nonce, sealed_to = excluded.sealed_to, carry = excluded.carry";

const WRITE_COUNTERSIGNATURE: &str = "INSERT INTO voucher_signature \
     SELECT $1::bigint, voucher, $3::bytea, $4::bytea FROM open_voucher WHERE user_id = $2";

const WRITE_SETTLED: &str = "INSERT INTO settled SELECT $1::bigint, voucher, $3::numeric, \
     $4::numeric, $5::bigint, $6::bytea, $7::bytea FROM open_voucher WHERE user_id = $2";
