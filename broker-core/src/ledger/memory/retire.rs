//! Receipts that are let go, in memory.

use crate::ledger::journal::Written;
use crate::receipt::{Receipt, ReceiptId};
use crate::requests::receipt_leaf;

use super::Pages;

impl Pages {
    /// Lets the final receipts go that entries up to `upto` recorded.
    pub(super) fn retire(&mut self, upto: u64) {
        let mut gone: Vec<Receipt> = Vec::new();
        let mut lines = std::mem::take(&mut self.lines);
        for line in lines.iter_mut().filter(|line| line.entry.seq <= upto) {
            let Written::Receipt(receipt) = &line.written else { continue };
            if !self.is_final(receipt, line.entry.seq) {
                continue;
            }
            let hold = line.entry.key.and_then(|key| self.holds.get(&key));
            let tariff = hold.map(|known| known.hold.tariff.clone()).unwrap_or_default();
            gone.push((**receipt).clone());
            line.written = Written::Retired(receipt_leaf(receipt, &tariff));
        }
        for receipt in &gone {
            self.receipts.remove(&receipt.id);
            self.forget(&receipt.user, &receipt.id);
        }
        for receipt in &gone {
            let Some(alias) = &receipt.upstream_id else { continue };
            let next = lines.iter().find_map(|line| match &line.written {
                Written::Receipt(left)
                    if left.user == receipt.user && left.upstream_id == receipt.upstream_id =>
                {
                    Some(left.id)
                }
                _ => None,
            });
            self.lead(alias, receipt, next);
        }
        self.lines = lines;
    }

    pub(super) fn retirable(&self, upto: u64, limit: u64) -> Option<u64> {
        let lines = self.lines.iter().filter(|line| line.entry.seq <= upto);
        let gone = lines.filter(|line| match &line.written {
            Written::Receipt(receipt) => self.is_final(receipt, line.entry.seq),
            _ => false,
        });
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        gone.take(limit).last().map(|line| line.entry.seq)
    }

    /// The engine's id leads to the first receipt that is left.
    fn lead(&mut self, alias: &str, gone: &Receipt, next: Option<ReceiptId>) {
        let Some(holders) = self.aliases.get_mut(alias) else { return };
        match next {
            Some(next) => holders.insert(gone.user, next),
            None => holders.remove(&gone.user),
        };
        if holders.is_empty() {
            self.aliases.remove(alias);
        }
    }
}
