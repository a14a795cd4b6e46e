//! The receipt log and the kept documents, in memory.

use uuid::Uuid;

use crate::account::UserId;
use crate::digest::Digest32;
use crate::ledger::journal::{LoggedLeaf, Stop, Written};
use crate::ledger::proofs::{Charged, Kept, KeptKind, LogLeaf, LogState, ProofReader};
use crate::ledger::replay::{Replay, logged};
use crate::ledger::{Fault, LedgerError};
use crate::log::{LogError, Tiles, append};
use crate::receipt::{Receipt, ReceiptId};

use super::{MemoryLedger, Pages};

/// The log, its hashes by level, and what is kept.
#[derive(Clone)]
pub(super) struct Proofs {
    log: Digest32,
    leaves: Vec<u64>,
    levels: Vec<Vec<Digest32>>,
    kept: Vec<Kept>,
}

impl Default for Proofs {
    fn default() -> Self {
        let name = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
        Self { log: Digest32::sha256(&name), leaves: Vec::new(), levels: Vec::new(), kept: vec![] }
    }
}

impl Proofs {
    /// Where the receipt of an entry stands.
    pub(super) fn leaf(&self, entry: u64) -> Option<LoggedLeaf> {
        let place = self.leaves.binary_search(&entry).ok()?;
        let hash = *self.levels.first()?.get(place)?;
        Some(LoggedLeaf { leaf: place as u64, hash })
    }

    /// Compares what follows from the leaves.
    pub(super) fn check(&self, replay: &Replay) -> Result<(), Stop> {
        let size = self.leaves.len() as u64;
        if replay.log.size != size {
            let what = format!("{} receipts stand in the log", replay.log.size);
            let row = size.to_string();
            return Err(Fault { table: "log_leaf", row, what }.into());
        }
        logged::nodes(size, |level, from, count| Ok(self.hashes(level, from, count)?))
    }
}

impl Tiles for Proofs {
    type Error = LedgerError;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        let hashes = self.levels.get(usize::from(level)).map(Vec::as_slice).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(hashes.iter().skip(from).take(count).copied().collect())
    }
}

impl Pages {
    pub(super) fn extend_log(
        &mut self,
        size: u64,
        leaves: &[LogLeaf],
    ) -> Result<bool, LedgerError> {
        let proofs = &mut self.proofs;
        if proofs.leaves.len() as u64 != size {
            return Ok(false);
        }
        let hashes: Vec<_> = leaves.iter().map(|leaf| leaf.hash).collect();
        let stored = append(&*proofs, size, &hashes);
        for node in stored.map_err(<LedgerError as From<LogError<LedgerError>>>::from)? {
            let level = usize::from(node.level);
            while proofs.levels.len() <= level {
                proofs.levels.push(Vec::new());
            }
            if let Some(row) = proofs.levels.get_mut(level) {
                row.push(node.hash);
            }
        }
        proofs.leaves.extend(leaves.iter().map(|leaf| leaf.entry));
        Ok(true)
    }

    pub(super) fn keep(&mut self, kept: &Kept) {
        let kept_already = |known: &Kept| (known.kind, known.name) == (kept.kind, kept.name);
        if !self.proofs.kept.iter().any(kept_already) {
            self.proofs.kept.push(kept.clone());
        }
    }

    /// The receipts behind an entry, in order.
    fn charged_behind(&self, behind: u64) -> impl Iterator<Item = Charged> {
        let lines = self.lines.iter().filter(move |line| line.entry.seq > behind);
        lines.filter_map(|line| match &line.written {
            Written::Receipt(receipt) => Some(self.charged(line.entry.number, receipt)),
            _ => None,
        })
    }

    fn charged(&self, entry: u64, receipt: &Receipt) -> Charged {
        let hold = self.keys.get(&receipt.id).and_then(|key| self.holds.get(key));
        let tariff = hold.map(|known| known.hold.tariff.clone()).unwrap_or_default();
        Charged { entry, receipt: receipt.clone(), tariff }
    }
}

impl ProofReader for MemoryLedger {
    fn log(&self) -> Result<LogState, LedgerError> {
        let pages = self.pages();
        Ok(LogState { id: pages.proofs.log, size: pages.proofs.leaves.len() as u64 })
    }

    fn log_hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, LedgerError> {
        self.pages().proofs.hashes(level, from, count)
    }

    fn log_index(&self, id: &ReceiptId) -> Result<Option<u64>, LedgerError> {
        let pages = self.pages();
        let Some(receipt) = pages.receipts.get(id) else { return Ok(None) };
        let is_its = |charged: &Charged| charged.receipt.id == receipt.id;
        let entry = pages.charged_behind(0).find(is_its).map(|charged| charged.entry);
        let place = entry.and_then(|entry| pages.proofs.leaves.binary_search(&entry).ok());
        Ok(place.map(|place| place as u64))
    }

    fn unlogged(&self, limit: u64) -> Result<Vec<Charged>, LedgerError> {
        let pages = self.pages();
        let behind = pages.proofs.leaves.last().copied().unwrap_or_default();
        let proved = pages.charged_behind(behind).filter(|c| c.receipt.proof.is_some());
        Ok(proved.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    fn charged(&self, id: &ReceiptId) -> Result<Option<Charged>, LedgerError> {
        Ok(self.pages().charged_behind(0).find(|charged| charged.receipt.id == *id))
    }

    fn charged_to(
        &self,
        user: &UserId,
        behind: u64,
        limit: u64,
    ) -> Result<Vec<Charged>, LedgerError> {
        let pages = self.pages();
        let theirs = pages.charged_behind(behind).filter(|c| c.receipt.user == *user);
        Ok(theirs.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    fn kept(&self, kind: KeptKind, name: &Digest32) -> Result<Option<Kept>, LedgerError> {
        let pages = self.pages();
        let mut kept = pages.proofs.kept.iter();
        Ok(kept.find(|kept| (kept.kind, kept.name) == (kind, *name)).cloned())
    }

    fn kept_last(&self, kind: KeptKind, limit: u64) -> Result<Vec<Kept>, LedgerError> {
        let pages = self.pages();
        let kept = pages.proofs.kept.iter().rev().filter(|kept| kept.kind == kind);
        Ok(kept.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }
}
