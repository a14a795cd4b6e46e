//! A hold that is open, and the ways to end it.

use std::fmt;

use crate::clock::Timestamp;
use crate::command::{Applied, Command, Hold, ReleaseReason};
use crate::digest::{Digest32, RequestKey};
use crate::error::Error;
use crate::ledger::LedgerError;
use crate::money::Neuron;
use crate::receipt::{Outcome, Receipt, ReceiptId, signed_text};
use crate::tariff::Usage;

use super::Broker;
use super::blocking::to_the_end;
use super::live::Alive;
use super::receipts::Said;

/// Money that is set aside for one request, durably. Ends once: by a capture or by a release.
/// Dropped without either it is released soon, and nothing is charged.
#[must_use = "dropped, it frees the money again"]
pub struct Reserved {
    broker: Broker,
    hold: Hold,
    /// The how manieth hold of its account it is.
    account_seq: u64,
    open: bool,
    _alive: Alive,
}

/// What was charged for a request. Durable when you have it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Charge {
    /// The fee, in neuron; at most what was reserved.
    pub fee: Neuron,
    /// The signed record of the exchange, as the ledger has it.
    pub receipt: Receipt,
    /// The usage comes to more than was reserved, and what was reserved is charged: worth a metric.
    pub capped: bool,
    /// The receipt as the document that proves it; see [`crate::BrokerBuilder::receipts`]. It is
    /// the client's to keep.
    pub document: Option<String>,
}

/// What was handed over to the client. No part of an answer is kept, only hashes and counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// SHA-256 of the bytes.
    pub response_hash: Digest32,
    /// How many bytes.
    pub bytes: u64,
    /// How many server-sent events; zero for an answer in one piece.
    pub events: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that the client was sent.
    pub status: u16,
    /// The engine's own id of its answer, by which the receipt can be found too; empty is none.
    pub upstream_id: Option<String>,
    /// The client left and the engine was read on to its final count.
    pub drained: bool,
    /// What a receipt that proves itself says besides; see [`crate::BrokerBuilder::receipts`].
    pub said: Said,
}

impl Delivered {
    /// A whole answer in one piece, with status 200.
    pub fn whole(answer: &[u8]) -> Self {
        Self::streamed(Digest32::sha256(answer), answer.len() as u64, 0)
    }

    /// A whole answer as a stream of `events` events and `bytes` bytes, with status 200.
    pub const fn streamed(response_hash: Digest32, bytes: u64, events: u64) -> Self {
        Self {
            response_hash,
            bytes,
            events,
            outcome: Outcome::Complete,
            status: 200,
            upstream_id: None,
            drained: false,
            said: Said::nothing(),
        }
    }
}

impl Reserved {
    /// Asks the ledger for the hold. A caller that leaves meanwhile leaves no hold behind.
    pub(super) async fn open(broker: &Broker, hold: Hold) -> Result<Self, Error> {
        let broker = broker.clone();
        let alive = broker.shared.live.enter(hold.key);
        let answer = broker.shared.handle.apply(Command::Reserve(hold.clone()));
        to_the_end(async move {
            // Until the ledger has said so, the hold under this key may be another exchange's.
            let applied = answer.await.map_err(|error| broker.shared.failure(error))??;
            let Applied::Held { account_seq } = applied else {
                return Err(LedgerError::Corrupt("not the answer to a hold".to_owned()).into());
            };
            Ok(Self { broker, hold, account_seq, open: true, _alive: alive })
        })
        .await?
    }

    /// The id under which the receipt will be found.
    pub fn receipt_id(&self) -> ReceiptId {
        self.hold.receipt
    }

    /// What the ledger calls the request.
    pub fn key(&self) -> RequestKey {
        self.hold.key
    }

    /// What is set aside: the most that the request will cost, in neuron.
    pub fn amount(&self) -> Neuron {
        self.hold.amount
    }

    /// When the hold may be swept, once this value is gone without having ended it.
    pub fn expires(&self) -> Timestamp {
        self.hold.expires
    }

    /// Signs and charges for a whole answer, in one transaction; the rest of the hold is free
    /// again. Call it before the client gets the end of the answer.
    ///
    /// # Errors
    /// As [`Self::capture_hashed`].
    pub async fn capture(self, usage: Usage, answer: &[u8]) -> Result<Charge, Error> {
        self.capture_hashed(usage, Delivered::whole(answer)).await
    }

    /// Signs and charges for an answer that was handed over piece by piece, or in part. The fee is
    /// that of `usage` at the prices the request was admitted under, and at most the hold.
    ///
    /// # Errors
    /// [`Error::Sign`]: nothing is charged and the hold is freed. [`Error::Refused`]: the hold had
    /// ended before, swept by another process. [`Error::Ledger`] and [`Error::Failed`]: whether it
    /// is charged, the ledger tells when it is opened again. Once polled the charge is made, even
    /// if the future is dropped.
    pub async fn capture_hashed(
        mut self,
        usage: Usage,
        delivered: Delivered,
    ) -> Result<Charge, Error> {
        let receipt = self.receipt(usage, delivered)?;
        let capped = self.hold.tariff.fee(&usage).is_none_or(|due| due > self.hold.amount);
        if capped {
            tracing::warn!(receipt = %receipt.id, hold = %self.hold.amount,
                "usage above the hold; the hold is charged");
        }
        let command = Command::Capture { key: self.hold.key, receipt: Box::new(receipt.clone()) };
        // From here on the ledger decides; a release behind its back would be a second end.
        self.open = false;
        match self.broker.write(command).await? {
            Applied::Captured { fee } => {
                let document = receipt.document(&self.hold.tariff);
                Ok(Charge { fee, receipt, capped, document })
            }
            _ => Err(LedgerError::Corrupt("not the answer to a charge".to_owned()).into()),
        }
    }

    /// Frees the hold; nothing is charged. The nonce stays used.
    ///
    /// # Errors
    /// [`Error::Refused`]: the hold had ended before, swept by another process. [`Error::Ledger`]
    /// and [`Error::Failed`]: the hold stays open until the ledger is opened again.
    pub async fn release(mut self, why: ReleaseReason) -> Result<(), Error> {
        self.open = false;
        self.broker.write(Command::Release { key: self.hold.key, why }).await.map(drop)
    }

    fn receipt(&self, usage: Usage, delivered: Delivered) -> Result<Receipt, Error> {
        let shared = &self.broker.shared;
        let request_hash = self.hold.fingerprint.0;
        let text = signed_text(&request_hash, &delivered.response_hash);
        let receipt = Receipt {
            id: self.hold.receipt,
            user: self.hold.user,
            outcome: delivered.outcome,
            status: delivered.status,
            usage,
            fee: self.hold.fee(&usage),
            request_hash,
            response_hash: delivered.response_hash,
            bytes: delivered.bytes,
            events: delivered.events,
            signature: shared.signer.sign_text(&text)?,
            signing_address: shared.signer.address(),
            upstream_id: delivered.upstream_id.filter(|id| !id.is_empty()),
            drained: delivered.drained,
            served_at: shared.clock.now(),
            proof: None,
        };
        Ok(match &shared.prover {
            Some(prover) => prover.prove(receipt, &self.hold, self.account_seq, delivered.said),
            None => receipt,
        })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.open {
            self.broker.shared.handle.release_soon(self.hold.key, ReleaseReason::Crashed);
        }
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({} neuron as {})", self.hold.amount, self.hold.receipt)
    }
}
