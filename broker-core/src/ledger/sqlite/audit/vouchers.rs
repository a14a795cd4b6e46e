//! Vouchers: compared with the receipts that they collect, with each other and with how they ended.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::account::UserId;
use crate::chain::{Block, Payment};
use crate::command::{Binding, Books, Seal, Settle};
use crate::digest::Digest32;
use crate::ledger::sqlite::collect;
use crate::ledger::sqlite::rows::{Columns, VOUCHER};
use crate::ledger::sqlite::values::Count;
use crate::money::Neuron;
use crate::signer::{Address, Signature, recover_signer};
use crate::voucher::{SignedVoucher, Voucher};

use super::scan::{Stop, Wrong, each, none};

/// How users stand, by their vouchers.
#[derive(Default)]
pub(super) struct Collecting {
    pub(super) books: BTreeMap<UserId, Books>,
    /// What is under an open voucher.
    pub(super) open: BTreeMap<UserId, Neuron>,
}

/// Everything about collecting.
pub(super) fn compare(db: &Connection) -> Result<Collecting, Stop> {
    let binding = binding(db)?;
    let mut books = escrows(db)?;
    signatures(db, binding)?;
    let mut open = BTreeMap::new();
    vouchers(db, binding, &mut books, &mut open)?;
    freezes(db)?;
    stored_books(db, &books)?;
    Ok(Collecting { books, open })
}

fn binding(db: &Connection) -> Result<Option<Binding>, Stop> {
    let sql = "SELECT b.entry, b.chain_id, b.contract, b.provider, e.memo FROM binding b \
               LEFT JOIN entry e ON e.seq = b.entry AND e.kind = 5";
    let mut found = None;
    each(db, "binding", sql, |columns| {
        let chain_id = columns.count()?;
        let domain = crate::voucher::Domain { chain_id, contract: columns.take()? };
        let binding = Binding { domain, provider: columns.take()? };
        found = Some(binding);
        recorded(&binding.digest(), columns)
    })?;
    Ok(found)
}

/// The memo of the entry that recorded a row comes next.
fn recorded(digest: &Digest32, columns: &mut Columns<'_, '_>) -> Result<(), Wrong> {
    match columns.take::<Option<Digest32>>()? {
        None => Err("no entry of its kind recorded it".into()),
        Some(memo) if memo == *digest => Ok(()),
        Some(_) => Err("the chain has another row in its place".into()),
    }
}

/// Every view of an escrow is what it was. The first of each user begins its nonces.
fn escrows(db: &Connection) -> Result<BTreeMap<UserId, Books>, Stop> {
    let sql = "SELECT x.entry, x.entry, x.user, x.cover, x.nonce, e.memo FROM escrow x \
               LEFT JOIN entry e ON e.seq = x.entry AND e.kind = 6 AND e.user = x.user \
               ORDER BY x.entry";
    let mut books: BTreeMap<UserId, Books> = BTreeMap::new();
    each(db, "escrow", sql, |columns| {
        let entry = columns.count()?;
        let (user, cover): (UserId, Neuron) = (columns.take()?, columns.take()?);
        let nonce = columns.count()?;
        // What was earned before it is under no voucher, ever.
        let sealed_to = entry.saturating_sub(1);
        let begin = Books { nonce: Some(nonce), sealed_to, carry: Neuron::ZERO };
        books.entry(user).or_insert(begin);
        recorded(&Books::escrow_digest(&user, cover, nonce), columns)
    })?;
    Ok(books)
}

/// Every signature is over its voucher, by the key that it names.
fn signatures(db: &Connection, binding: Option<Binding>) -> Result<(), Stop> {
    let sql = format!(
        "SELECT g.entry, {VOUCHER}, g.signer, g.signature, g.entry = v.entry, e.memo \
         FROM voucher_signature g LEFT JOIN voucher v ON v.entry = g.voucher \
         LEFT JOIN entry e ON e.seq = g.entry AND e.user = v.user AND e.kind IN (7, 8) \
         ORDER BY g.entry"
    );
    each(db, "voucher_signature", &sql, |columns| {
        let voucher = columns.voucher()?;
        let (signing_address, signature): (Address, Signature) = (columns.take()?, columns.take()?);
        let Some(binding) = binding else { return Err("the ledger is bound to nobody".into()) };
        let digest = voucher.digest(&binding.domain);
        if recover_signer(&digest, &signature) != Ok(signing_address) {
            return Err("it is no signature of its key over the voucher".into());
        }
        // The first of a voucher is under the digest of the voucher's own entry.
        if columns.take()? {
            return Ok(());
        }
        let signed = SignedVoucher { voucher, signature, signing_address };
        recorded(&signed.record_digest(), columns)
    })?;
    let sql = "SELECT v.entry FROM voucher v LEFT JOIN voucher_signature g ON g.entry = v.entry \
               WHERE g.entry IS NULL LIMIT 1";
    none(db, "voucher", sql, "its first signature is missing")
}

/// Every voucher follows the one before it, is worth what its receipts cost, hashes them, and ended
/// as it is said to.
fn vouchers(
    db: &Connection,
    binding: Option<Binding>,
    books: &mut BTreeMap<UserId, Books>,
    open: &mut BTreeMap<UserId, Neuron>,
) -> Result<(), Stop> {
    let sql = format!(
        "SELECT v.entry, {VOUCHER}, v.carry, v.sealed_to, v.since, g.signer, g.signature, e.memo, \
         s.paid, s.cover, s.block_number, s.block_hash, s.tx, f.memo, o.user IS NOT NULL \
         FROM voucher v JOIN voucher_signature g ON g.entry = v.entry \
         LEFT JOIN entry e ON e.seq = v.entry AND e.kind = 7 AND e.user = v.user \
         LEFT JOIN settled s ON s.voucher = v.entry \
         LEFT JOIN entry f ON f.seq = s.entry AND f.kind = 9 AND f.user = v.user \
         LEFT JOIN open_voucher o ON o.voucher = v.entry AND o.user = v.user ORDER BY v.entry"
    );
    each(db, "voucher", &sql, |columns| {
        let voucher = columns.voucher()?;
        if binding.is_none_or(|binding| binding.provider != voucher.provider) {
            return Err("it is another provider's".into());
        }
        let carry: Neuron = columns.take()?;
        let (sealed_to, since) = (columns.count()?, columns.count()?);
        let (signing_address, signature) = (columns.take()?, columns.take()?);
        let signed = SignedVoucher { voucher, signature, signing_address };
        recorded(&Seal { voucher: signed, sealed_to, since }.digest(carry), columns)?;
        let before = books.get(&voucher.user).copied().unwrap_or_default();
        follows(db, &voucher, carry, sealed_to, before)?;
        let after = Books { nonce: Some(voucher.nonce), sealed_to, carry: Neuron::ZERO };
        let rest = match ended(&voucher, columns)? {
            Some(rest) => rest,
            None => {
                open.insert(voucher.user, voucher.total);
                Neuron::ZERO
            }
        };
        books.insert(voucher.user, Books { carry: rest, ..after });
        Ok(())
    })?;
    let sql = "SELECT o.user FROM open_voucher o LEFT JOIN voucher v ON v.entry = o.voucher \
               WHERE v.user IS NOT o.user LIMIT 1";
    none(db, "open_voucher", sql, "no voucher of its user has its number")
}

fn follows(
    db: &Connection,
    voucher: &Voucher,
    carry: Neuron,
    sealed_to: u64,
    before: Books,
) -> Result<(), Wrong> {
    let expected = before.nonce.and_then(|nonce| nonce.checked_add(1));
    if expected != Some(voucher.nonce) || carry != before.carry {
        return Err("it does not follow the voucher before it".into());
    }
    let unsealed = collect::collect(db, &voucher.user, before, Some(sealed_to));
    let unsealed = unsealed.map_err(|error| Wrong::Is(error.to_string()))?;
    let Some(unsealed) = unsealed else { return Err("its receipts are not there".into()) };
    let due = unsealed.collected.total();
    if due != voucher.total {
        return Err(format!("it is worth {}, and its receipts cost {due}", voucher.total).into());
    }
    if unsealed.collected.root() != voucher.requests_hash {
        return Err("its hash is not that of its receipts".into());
    }
    Ok(())
}

/// What the voucher left unpaid, or none while it is open; the columns of its end come next.
fn ended(voucher: &Voucher, columns: &mut Columns<'_, '_>) -> Result<Option<Neuron>, Wrong> {
    let paid: Option<Neuron> = columns.take()?;
    let cover: Option<Neuron> = columns.take()?;
    let number: Option<Count> = columns.take()?;
    let (hash, transaction): (Option<Digest32>, Option<Digest32>) =
        (columns.take()?, columns.take()?);
    let all = paid.zip(cover).zip(number).zip(hash).zip(transaction);
    let Some(((((paid, cover), Count(number)), hash), transaction)) = all else {
        columns.take::<Option<Digest32>>()?;
        let open: bool = columns.take()?;
        return if open { Ok(None) } else { Err("it is neither open nor settled".into()) };
    };
    let payment = Payment { paid, cover, block: Block { number, hash }, transaction };
    let settle = Settle { user: voucher.user, nonce: voucher.nonce, payment };
    recorded(&settle.digest(), columns)?;
    if columns.take()? {
        return Err("it is settled, and among the open".into());
    }
    let rest = voucher.total.checked_sub(paid);
    let overpaid = || format!("{paid} were paid, and it is worth {}", voucher.total);
    rest.map(Some).ok_or_else(|| overpaid().into())
}

fn freezes(db: &Connection) -> Result<(), Stop> {
    let sql = "SELECT z.entry, z.user, z.nonce, e.memo FROM freeze z \
               LEFT JOIN entry e ON e.seq = z.entry AND e.kind = 10 AND e.user = z.user";
    each(db, "freeze", sql, |columns| {
        let user: UserId = columns.take()?;
        let nonce = columns.count()?;
        recorded(&Books::freeze_digest(&user, nonce), columns)
    })
}

fn stored_books(db: &Connection, books: &BTreeMap<UserId, Books>) -> Result<(), Stop> {
    let mut left: BTreeMap<_, _> = books.iter().collect();
    each(db, "books", "SELECT b.user, b.user FROM books b ORDER BY b.user", |columns| {
        let user: UserId = columns.take()?;
        let stored = collect::books(db, &user)?;
        if left.remove(&user) != Some(&stored) {
            return Err("they differ from what the vouchers come to".into());
        }
        Ok(())
    })?;
    match left.first_key_value() {
        None => Ok(()),
        Some((user, _)) => Err(Stop::Fault(crate::ledger::Fault {
            table: "books",
            row: user.to_string(),
            what: "they are missing, and the user's escrow is not".to_owned(),
        })),
    }
}
