//! A ledger as the settler sees it, and a record of what every voucher was made of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use broker_core::settlement::{Question, Store, StoreFuture};
use broker_core::testing::SimChain;
use broker_core::{
    Clock, Command, Decision, Ledger, LedgerError, LedgerReader, MemoryLedger, Neuron, ReceiptId,
    RequestQuery, Seal, Voucher,
};

/// A ledger in memory. Its calls can be cut off before they are carried out, and after.
pub(crate) struct SimStore {
    pub(crate) ledger: MemoryLedger,
    pub(crate) chain: SimChain,
    pub(crate) journal: Journal,
    /// The ledger after every command, where somebody wants it.
    pub(crate) history: Option<History>,
}

/// Every state that a disk can be brought back to.
pub(crate) type History = Arc<Mutex<Vec<MemoryLedger>>>;

/// What each voucher collects, by all that is signed of it: kept where no rollback reaches.
pub(crate) type Journal = Arc<Mutex<BTreeMap<VoucherKey, Vec<(ReceiptId, Neuron)>>>>;

/// A voucher as a key of a map.
pub(crate) type VoucherKey = ([u8; 20], u64, Neuron, [u8; 32]);

pub(crate) fn key_of(voucher: &Voucher) -> VoucherKey {
    let Voucher { user, nonce, total, requests_hash, .. } = voucher;
    (*user.as_bytes(), *nonce, *total, requests_hash.0)
}

impl SimStore {
    pub(crate) fn one(&self, command: &Command) -> Result<Decision, LedgerError> {
        let mut ledger = self.ledger.clone();
        let batch = std::slice::from_ref(command);
        let decision = ledger.apply(batch, self.chain.now())?.remove(0);
        if let (Command::Seal(seal), Ok(_)) = (command, &decision) {
            self.write_down(seal)?;
        }
        if let Some(history) = &self.history {
            history.lock().unwrap().push(self.ledger.fork());
        }
        Ok(decision)
    }

    fn write_down(&self, seal: &Seal) -> Result<(), LedgerError> {
        let voucher = &seal.voucher.voucher;
        let all = RequestQuery { user: Some(voucher.user), limit: u64::MAX, ..Default::default() };
        let rows = self.ledger.requests(&all)?.items.into_iter();
        let ours = rows.filter(|row| row.voucher == Some(voucher.nonce));
        let receipts = ours.map(|row| (row.receipt.id, row.receipt.fee)).collect();
        self.journal.lock().unwrap().insert(key_of(voucher), receipts);
        Ok(())
    }
}

impl Store for SimStore {
    fn apply(&self, command: Command) -> StoreFuture<'_> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let decision = self.one(&command);
            tokio::task::yield_now().await;
            decision
        })
    }

    fn ask(&self, question: Question) {
        question(&self.ledger);
    }
}
