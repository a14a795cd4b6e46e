//! What the chain says of an escrow, taken over into the ledger.

use crate::account::UserId;
use crate::chain::AccountView;
use crate::command::{Command, Refusal};
use crate::ledger::LedgerError;

use super::{Store, read};

/// What became of a view of an escrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// The ledger has it.
    Taken,
    /// A voucher's end has to be written down first; the settler does that.
    AfterSettlement,
    /// The view is older than what the ledger knows.
    Stale,
    /// The chain is ahead of the ledger: the account is frozen.
    Frozen,
    /// The account does not exist on the chain.
    Absent,
}

/// Takes over a view of a user's escrow, and freezes the account where the chain is ahead. Writes
/// nothing where nothing changed.
///
/// # Errors
/// The ledger failed.
pub async fn mirror(
    store: &dyn Store,
    user: UserId,
    view: &AccountView,
) -> Result<Mirrored, LedgerError> {
    let known = read(store, move |reader| reader.statement(&user)).await?;
    if known.as_ref().is_some_and(|known| known.account.frozen) {
        return Ok(Mirrored::Frozen);
    }
    let Some(settled) = view.settled else {
        // An escrow that was there and is gone covers nothing. Its nonce outlives it on the chain.
        let books = known.map(|known| (known.books.nonce, known.account.cover));
        let Some((Some(nonce), cover)) = books else { return Ok(Mirrored::Absent) };
        let stands = read(store, move |reader| reader.statement(&user)).await?;
        let open = stands.and_then(|known| known.open);
        if cover.is_zero() || open.is_some() {
            return Ok(Mirrored::Absent);
        }
        let command = Command::Escrow { user, cover: view.cover(), nonce };
        return store.apply(command).await.map(|_| Mirrored::Absent);
    };
    let (cover, nonce) = (view.cover(), settled.nonce);
    // A voucher of the software before us may be on its way to finality: its nonce is the one to
    // begin with.
    let is_new = known.as_ref().is_none_or(|known| known.books.nonce.is_none());
    if is_new && view.latest_nonce() != nonce {
        return Ok(Mirrored::Stale);
    }
    let is_same = known.is_some_and(|known| {
        let settled =
            known.open.map_or(known.books.nonce, |open| open.voucher.nonce.checked_sub(1));
        known.account.cover == cover && settled == Some(nonce)
    });
    if is_same {
        return Ok(Mirrored::Taken);
    }
    match store.apply(Command::Escrow { user, cover, nonce }).await? {
        Ok(_) => Ok(Mirrored::Taken),
        Err(Refusal::VoucherOpen { .. }) => Ok(Mirrored::AfterSettlement),
        Err(Refusal::ChainAhead { known, seen }) => {
            tracing::error!(
                %user, known, seen,
                "the chain has taken a voucher that this ledger does not know: the account is \
                 frozen. Was the ledger restored from a backup, or does another sidecar sign?"
            );
            // Frozen by somebody else meanwhile is as good.
            let _ = store.apply(Command::Freeze { user, nonce: seen }).await?;
            Ok(Mirrored::Frozen)
        }
        Err(_) => Ok(Mirrored::Stale),
    }
}
