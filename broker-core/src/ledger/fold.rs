//! Re-adding the books, one entry at a time.

use std::collections::BTreeMap;

use crate::account::{Account, Cover, UserId};
use crate::digest::Digest32;
use crate::ledger::entry::{Entry, EntryKind};
use crate::rules::moved;

/// What the entries so far amount to. Grows with the users, not with the entries.
#[derive(Default)]
pub(crate) struct Fold {
    /// The number of the last entry.
    pub(crate) seq: u64,
    /// How many movements there were.
    pub(crate) transfers: u64,
    /// The last link of the chain.
    pub(crate) head: Digest32,
    /// The account of every user that an entry is about.
    pub(crate) accounts: BTreeMap<UserId, Account>,
}

impl Fold {
    /// Adds the next entry, or says what is wrong with it.
    pub(crate) fn add(&mut self, entry: &Entry, stored: &Digest32) -> Result<(), String> {
        let expected = self.seq.saturating_add(1);
        if entry.seq != expected {
            return Err(format!("the row before it is missing: {expected} was expected"));
        }
        let digest = entry.digest(&self.head);
        if digest != *stored {
            return Err(format!(
                "the chain breaks: with its movements its digest is {digest}, not {stored}"
            ));
        }
        if entry.key.is_some() != entry.kind.is_of_request() {
            return Err("a request's key is missing or out of place".to_owned());
        }
        let account = self.accounts.entry(entry.user).or_default();
        *account = after(account, entry)?;
        let moved = u64::try_from(entry.movements.len()).unwrap_or(u64::MAX);
        self.transfers = self.transfers.saturating_add(moved);
        (self.seq, self.head) = (entry.seq, digest);
        Ok(())
    }
}

fn after(before: &Account, entry: &Entry) -> Result<Account, String> {
    let mut account = *before;
    for movement in &entry.movements {
        let (debit, credit) = (movement.debit, movement.credit);
        if movement.amount.is_zero() {
            return Err("it moves nothing".to_owned());
        }
        if movement.user != entry.user || !entry.kind.moves(debit, credit) {
            let kind = entry.kind;
            return Err(format!("a {kind:?} does not move money from {debit:?} to {credit:?}"));
        }
        account = moved(&account, movement).ok_or("a bucket leaves its range")?;
    }
    match entry.kind {
        EntryKind::Escrow => account.unlimited = false,
        EntryKind::Freeze => account.frozen = true,
        _ => {}
    }
    if entry.kind == EntryKind::Mirror {
        account.unlimited = entry.memo == Cover::Unlimited.digest();
        if !account.unlimited && entry.memo != Cover::UpTo(account.cover).digest() {
            return Err("it does not lead to the cover that it mirrors".to_owned());
        }
    }
    Ok(account)
}
