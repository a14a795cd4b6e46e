//! Receipts that prove themselves, and the log that they stand in.

use crate::command::Hold;
use crate::digest::Digest32;
use crate::error::Error;
use crate::keyset::ReceiptKey;
use crate::ledger::proofs::next_leaves;
use crate::receipt::{Claims, LedgerPlace, Receipt, ReceiptId};
use crate::statement::Author;
use crate::tariff::UsageSource;

use super::Broker;

/// What a receipt that proves itself says of an exchange beyond hashes and counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The path that was asked, `/v1/chat/completions`.
    pub endpoint: String,
    /// The model that was asked for.
    pub model: Option<String>,
    /// SHA-256 of the bytes that the engine was sent, where these are not the request's; where
    /// anything was counted and this is not said, they are.
    pub forwarded_hash: Option<Digest32>,
    /// Why the engine says that it ended.
    pub finish_reason: Option<String>,
    /// The end of the rolling hash over a streamed answer, see [`crate::stream`].
    pub chain_head: Option<Digest32>,
}

impl Said {
    /// Nothing at all: for exchanges of another kind than requests over HTTP.
    pub const fn nothing() -> Self {
        Self {
            endpoint: String::new(),
            model: None,
            forwarded_hash: None,
            finish_reason: None,
            chain_head: None,
        }
    }
}

/// Who makes documents of receipts.
pub(super) struct Prover {
    pub(super) key: ReceiptKey,
    pub(super) keyset: Digest32,
    /// The log that they promise.
    pub(super) log: Digest32,
}

impl Prover {
    pub(super) fn prove(
        &self,
        receipt: Receipt,
        hold: &Hold,
        account_seq: u64,
        said: Said,
    ) -> Receipt {
        // Who generates tokens was sent something.
        let counted = receipt.usage.source != UsageSource::None;
        let sent = counted.then_some(receipt.request_hash);
        let claims = Claims {
            endpoint: said.endpoint,
            model: said.model,
            forwarded_hash: said.forwarded_hash.or(sent),
            finish_reason: said.finish_reason,
            chain_head: said.chain_head,
            hold: hold.amount,
            ledger: Some(LedgerPlace { log: self.log, account_seq }),
            ..Claims::default()
        };
        let author = Author { key: &self.key, keyset: self.keyset };
        receipt.proved(claims, &hold.tariff, author)
    }
}

impl Broker {
    /// A receipt as the document that proves it; `None` for one without, or an unknown one. Made
    /// anew from the record each time, byte for byte the same.
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`].
    pub async fn document(&self, id: ReceiptId) -> Result<Option<String>, Error> {
        let charged = self.read(move |reader| reader.charged(&id)).await?;
        Ok(charged.and_then(|charged| charged.receipt.document(&charged.tariff)))
    }

    /// Brings the receipt log up to date, and tells how many leaves were added: those of all
    /// receipts with a proof that stand in no log yet and have their place in the chain. Commands
    /// go on between its pages. Call it now and then, say every second, in one process.
    /// [`crate::log`] makes proofs of what [`Self::read`] gives as [`crate::LogTiles`].
    ///
    /// # Errors
    /// [`Error::Ledger`] or [`Error::Failed`]; what was added until then stays.
    pub async fn extend_log(&self) -> Result<u64, Error> {
        let mut added: u64 = 0;
        loop {
            let page = self.read(|reader| next_leaves(reader, PAGE_LEAVES));
            let (size, leaves) = page.await?;
            if leaves.is_empty() {
                return Ok(added);
            }
            let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
            let extend =
                self.shared.handle.with_ledger(move |ledger| ledger.extend_log(size, &leaves));
            if extend.await.map_err(|error| self.shared.failure(error))? {
                added = added.saturating_add(count);
            }
        }
    }
}

/// Some milliseconds of hashing.
const PAGE_LEAVES: u64 = 1_024;
