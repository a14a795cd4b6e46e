//! Re-adding the books, one transfer at a time.

use std::collections::BTreeMap;

use crate::account::{Account, UserId};
use crate::digest::Digest32;
use crate::ledger::transfer::{Transfer, TransferKind};
use crate::rules::moved;

/// What the transfers so far amount to. Grows with the users, not with the transfers.
#[derive(Default)]
pub(crate) struct Fold {
    /// The number of the last transfer.
    pub(crate) seq: u64,
    /// The last link of the chain.
    pub(crate) head: Digest32,
    /// The buckets of every user that money moved for.
    pub(crate) accounts: BTreeMap<UserId, Account>,
}

impl Fold {
    /// Adds the next transfer, or says what is wrong with it.
    pub(crate) fn add(&mut self, transfer: &Transfer, stored: &Digest32) -> Result<(), String> {
        let expected = self.seq.saturating_add(1);
        if transfer.seq != expected {
            return Err(format!("the row before it is missing: {expected} was expected"));
        }
        let digest = transfer.digest(&self.head);
        if digest != *stored {
            return Err(format!("the chain breaks: its digest is {digest}, not {stored}"));
        }
        let movement = &transfer.movement;
        if movement.amount.is_zero() {
            return Err("it moves nothing".to_owned());
        }
        if !transfer.kind.moves(movement.debit, movement.credit) {
            return Err(format!(
                "a {:?} does not move money from {:?} to {:?}",
                transfer.kind, movement.debit, movement.credit
            ));
        }
        if transfer.key.is_some() == (transfer.kind == TransferKind::Mirror) {
            return Err("a request's key is missing or out of place".to_owned());
        }
        if transfer.kind != TransferKind::Capture && transfer.memo != Digest32::default() {
            return Err("only a capture carries the digest of a receipt".to_owned());
        }
        let account = self.accounts.entry(movement.user).or_default();
        let after = moved(account, movement).ok_or("a bucket leaves its range")?;
        *account = after;
        (self.seq, self.head) = (transfer.seq, digest);
        Ok(())
    }
}
