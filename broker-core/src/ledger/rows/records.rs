//! How what an entry recorded is read.

use crate::account::UserId;
use crate::chain::{Block, Payment};
use crate::clock::Timestamp;
use crate::command::{Binding, Retire, Seal, Settle};
use crate::digest::RequestKey;
use crate::ledger::entry::{Entry, EntryKind};
use crate::ledger::journal::Written;
use crate::voucher::{Domain, SignedVoucher};

use super::{Columns, Stored};

/// What an entry recorded, as it says itself whether it belongs to it.
pub(in crate::ledger) fn read<R, E>(columns: &mut Columns<R>, entry: &Entry) -> Result<Written, E>
where
    R: Stored,
    E: From<R::Error> + From<&'static str>,
{
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
        EntryKind::Seal => return read_seal(columns, entry),
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

fn read_seal<R, E>(columns: &mut Columns<R>, entry: &Entry) -> Result<Written, E>
where
    R: Stored,
    E: From<R::Error> + From<&'static str>,
{
    let voucher = columns.voucher()?;
    let carry = columns.take()?;
    let (sealed_to, since) = (columns.count()?, columns.count()?);
    written_with(entry.at, columns.take()?)?;
    let (signer, signature): (Option<_>, Option<_>) = (columns.take()?, columns.take()?);
    let Some((signing_address, signature)) = signer.zip(signature) else {
        return Err("its first signature is missing".into());
    };
    let voucher = SignedVoucher { voucher, signature, signing_address };
    Ok(Written::Seal(Box::new(Seal { voucher, sealed_to, since }), carry))
}

fn written_with(entry: Timestamp, row: Timestamp) -> Result<(), &'static str> {
    if row == entry { Ok(()) } else { Err("its entry is of another time") }
}

fn belongs_to(entry: Option<RequestKey>, row: RequestKey) -> Result<(), &'static str> {
    if entry == Some(row) { Ok(()) } else { Err("its entry is about another request") }
}

fn is_of(entry: &Entry, user: UserId) -> Result<(), &'static str> {
    if user == entry.user { Ok(()) } else { Err("its entry is about another user") }
}
