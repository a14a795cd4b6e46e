//! Fees on their way to the chain, in memory.

use std::collections::BTreeMap;

use crate::account::UserId;
use crate::clock::Timestamp;
use crate::command::{Binding, Books, Command, OpenVoucher};
use crate::ledger::LedgerError;
use crate::ledger::statement::{
    RequestPage, RequestQuery, RequestRow, Statement, Unsealed, VOUCHER_RECEIPTS_MAX,
};
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};
use crate::requests::Collected;
use crate::rules::{Effects, Record, View};

use super::Pages;

/// What is known of vouchers.
#[derive(Clone, Default)]
pub(super) struct Collections {
    pub(super) binding: Option<Binding>,
    users: BTreeMap<UserId, Collection>,
}

#[derive(Clone, Default)]
struct Collection {
    books: Books,
    open: Option<OpenVoucher>,
    /// The entry of the last voucher.
    sealed: u64,
    settled: Neuron,
    /// When the last voucher ended.
    settled_at: Option<Timestamp>,
    /// Every receipt, with its entry, and whether it cost anything.
    captured: Vec<(u64, ReceiptId, bool)>,
    /// The nonce of each voucher and the entry that it reaches to.
    vouchers: Vec<(u64, u64)>,
}

impl Collections {
    pub(super) fn open_vouchers(&self) -> Vec<OpenVoucher> {
        let mut users: Vec<_> = self.users.values().collect();
        users.sort_by_key(|user| user.sealed);
        users.into_iter().filter_map(|user| user.open.clone()).collect()
    }

    pub(super) fn write(&mut self, effects: &Effects<'_>, seq: u64, now: Timestamp) {
        if let Record::Binding(binding) = effects.record {
            self.binding = Some(binding);
        }
        let is_new = !self.users.contains_key(&effects.user);
        if is_new && effects.books.is_none() && !matches!(effects.record, Record::Receipt(..)) {
            return;
        }
        let user = self.users.entry(effects.user).or_default();
        user.books = effects.books_at(seq).unwrap_or(user.books);
        match effects.record {
            Record::Receipt(_, receipt) => {
                user.captured.push((seq, receipt.id, !receipt.fee.is_zero()));
            }
            Record::Seal(seal, _) => {
                user.sealed = seq;
                user.vouchers.push((seal.voucher.voucher.nonce, seal.sealed_to));
                user.open = Some(seal.open_since(now));
            }
            Record::Countersign(signed) => {
                if let Some(open) = &mut user.open {
                    open.signatures.push((signed.signing_address, signed.signature));
                }
            }
            Record::Settle(settle) => {
                user.open = None;
                user.settled_at = Some(now);
                let sum = user.settled.checked_add(settle.payment.paid);
                user.settled = sum.unwrap_or(Neuron::new(u128::MAX));
            }
            _ => {}
        }
    }
}

impl Pages {
    /// No voucher depends on what this entry recorded, now or ever, and the receipt log has it.
    pub(super) fn is_final(&self, receipt: &Receipt, seq: u64) -> bool {
        if receipt.proof.is_some() && self.proofs.leaf(seq).is_none() {
            return false;
        }
        let Some(known) = self.collections.users.get(&receipt.user) else { return true };
        if known.books.nonce.is_none() || receipt.fee.is_zero() {
            return true;
        }
        let ended = match known.open {
            None => known.books.sealed_to,
            // The last of them is open.
            Some(_) => known.vouchers.iter().rev().nth(1).map_or(0, |(_, sealed_to)| *sealed_to),
        };
        seq <= ended
    }

    pub(super) fn forget(&mut self, user: &UserId, receipt: &ReceiptId) {
        if let Some(known) = self.collections.users.get_mut(user) {
            known.captured.retain(|(_, id, _)| id != receipt);
        }
    }

    /// Adds to `view` what a command that collects is decided from.
    pub(super) fn see_collections(
        &self,
        view: &mut View,
        command: &Command,
        user: Option<UserId>,
    ) -> Result<(), LedgerError> {
        view.binding = self.collections.binding;
        let Some(user) = user else { return Ok(()) };
        let Some(known) = self.collections.users.get(&user) else { return Ok(()) };
        (view.books, view.open) = (known.books, known.open.clone());
        if let Command::Seal(seal) = command {
            let unsealed = self.collect(&user, Some(seal.sealed_to))?;
            view.collected = unsealed.map(|unsealed| unsealed.collected);
        }
        Ok(())
    }

    pub(super) fn unsealed(&self, user: &UserId) -> Result<Option<Unsealed>, LedgerError> {
        self.collect(user, None)
    }

    fn collect(&self, user: &UserId, upto: Option<u64>) -> Result<Option<Unsealed>, LedgerError> {
        let Some(known) = self.collections.users.get(user) else { return Ok(None) };
        let books = known.books;
        let mut collected = Collected::new(*user, books.carry);
        let mut sealed_to = books.sealed_to;
        let behind = known.captured.iter();
        let behind = behind.filter(|(entry, _, has_fee)| *has_fee && *entry > books.sealed_to);
        for (entry, id, _) in behind {
            let is_within =
                upto.map_or(collected.receipts() < VOUCHER_RECEIPTS_MAX, |upto| *entry <= upto);
            let receipt = self.receipts.get(id);
            let hold = self.keys.get(id).and_then(|key| self.holds.get(key));
            let Some((receipt, hold)) = receipt.zip(hold).filter(|_| is_within) else { break };
            let added = collected.add(receipt, &hold.hold.tariff);
            added.ok_or(LedgerError::Corrupt("fees leave the range of money".to_owned()))?;
            sealed_to = *entry;
        }
        let exists = upto.is_none_or(|upto| upto == sealed_to);
        let is_empty = collected.total().is_zero();
        Ok((exists && !is_empty).then_some(Unsealed { collected, sealed_to, books }))
    }

    /// How a user's fees stand on their way to the chain.
    pub(super) fn standing(&self, user: &UserId) -> (Books, Option<&OpenVoucher>) {
        let known = self.collections.users.get(user);
        (known.map(|known| known.books).unwrap_or_default(), known.and_then(|k| k.open.as_ref()))
    }

    pub(super) fn statement(&self, user: &UserId) -> Statement {
        let known = self.collections.users.get(user).cloned().unwrap_or_default();
        let mut behind = known.captured.iter();
        let first = behind.find(|(entry, _, has_fee)| *has_fee && *entry > known.books.sealed_to);
        let first = first.and_then(|(_, id, _)| self.receipts.get(id));
        let first = first.map(|receipt| receipt.served_at);
        // What a voucher left unpaid is as old as that voucher's end.
        let carried = (!known.books.carry.is_zero()).then_some(known.settled_at).flatten();
        Statement {
            user: *user,
            account: self.account(user),
            books: known.books,
            oldest_unsealed: carried.or(first),
            settled: known.settled,
            open: known.open,
        }
    }

    pub(super) fn requests(&self, query: &RequestQuery) -> Result<RequestPage, LedgerError> {
        let mut page = RequestPage::default();
        let mut rows: Vec<(u64, RequestRow)> = Vec::new();
        for (user, known) in &self.collections.users {
            if query.user.is_some_and(|asked| asked != *user) {
                continue;
            }
            for (entry, id, _) in &known.captured {
                let Some(receipt) = self.receipts.get(id).cloned() else { continue };
                let voucher = known.vouchers.iter().find(|(_, upto)| entry <= upto);
                let voucher = voucher.map(|(nonce, _)| *nonce);
                let open = known.open.as_ref().map(|open| open.voucher.nonce);
                let settled = voucher.is_some() && voucher != open;
                let hold = self.keys.get(id).and_then(|key| self.holds.get(key));
                let tariff = hold.map(|known| known.hold.tariff.clone()).unwrap_or_default();
                rows.push((*entry, RequestRow { receipt, tariff, voucher, settled }));
            }
        }
        rows.retain(|(_, row)| query.processed.is_none_or(|wanted| wanted == row.settled));
        rows.sort_by_key(|(entry, _)| std::cmp::Reverse(*entry));
        page.total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        for (_, row) in &rows {
            let sum = page.fee.checked_add(row.receipt.fee);
            page.fee = sum.ok_or(LedgerError::Corrupt("fees leave the range".to_owned()))?;
        }
        let skip = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(query.limit).unwrap_or(usize::MAX);
        page.items = rows.into_iter().map(|(_, row)| row).skip(skip).take(take).collect();
        Ok(page)
    }
}
