//! What ends an exchange: the signature of its answer, and the receipt that proves itself.

use broker_core::keyset::ReceiptKey;
use broker_core::receipt::{Claims, LedgerPlace};
use broker_core::statement::Author;
use broker_core::{
    Digest32, LocalSigner, Neuron, Outcome, Receipt, ReceiptId, Signature, Signer, Tariff,
    Timestamp, Usage, UserId, signed_text,
};

/// When everything here happens.
pub(crate) const NOW: Timestamp = Timestamp(1_750_000_000_000);
/// What is set aside for each exchange.
pub(crate) const HOLD: Neuron = Neuron::new(1 << 70);
const ID: &str = "0198c1f0-5c00-7000-8000-000000000002";

/// Signs with keys that everybody knows.
pub struct Desk {
    signer: LocalSigner,
    key: ReceiptKey,
    tariff: Tariff,
}

impl Desk {
    /// With its keys and prices.
    ///
    /// # Panics
    /// The keys are none.
    pub fn new() -> Self {
        Self {
            signer: LocalSigner::from_secret(&[7; 32]).unwrap(),
            key: ReceiptKey::from_secret(&[2; 32]),
            tariff: Tariff::per_token(Neuron::new(100_000), Neuron::new(200_000)),
        }
    }

    /// Of the text over the hashes of a request and its answer.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn signature(&self) -> Signature {
        self.signer.sign_text(&signed_text(&Digest32([1; 32]), &Digest32([2; 32]))).unwrap()
    }

    /// The receipt of a streamed chat, which proves itself.
    pub fn receipt(&self) -> Receipt {
        self.receipt_of(ReceiptId::parse(ID).unwrap(), UserId::named("open"), 17)
    }

    /// The same as a document for its client.
    ///
    /// # Panics
    /// It has none.
    pub fn document(&self) -> String {
        self.receipt().document(&self.tariff).unwrap()
    }

    /// Its place in the log.
    ///
    /// # Panics
    /// It has none.
    pub fn leaf(&self, receipt: &Receipt) -> Digest32 {
        receipt.log_leaf(&self.tariff).unwrap()
    }

    /// The whole end of an exchange: the signature, and the receipt as the ledger takes it.
    pub fn ending(&self) -> (Signature, Receipt) {
        (self.signature(), self.receipt())
    }

    pub(crate) const fn tariff(&self) -> &Tariff {
        &self.tariff
    }

    /// The receipt of this id: the user's exchange of this number, from one on.
    pub(crate) fn receipt_of(&self, id: ReceiptId, user: UserId, account_seq: u64) -> Receipt {
        let usage = Usage::new(42, 128);
        let receipt = Receipt {
            id,
            user,
            outcome: Outcome::Complete,
            status: 200,
            usage,
            fee: self.tariff.fee(&usage).unwrap(),
            request_hash: Digest32([1; 32]),
            response_hash: Digest32([2; 32]),
            bytes: 5643,
            events: 131,
            signature: Signature([0x5a; 65]),
            signing_address: self.signer.address(),
            upstream_id: Some(format!("chatcmpl-{id}")),
            drained: false,
            served_at: NOW,
            proof: None,
        };
        let claims = Claims {
            endpoint: "/v1/chat/completions".to_owned(),
            model: Some("tiny".to_owned()),
            forwarded_hash: Some(Digest32([3; 32])),
            finish_reason: Some("stop".to_owned()),
            chain_head: Some(Digest32([4; 32])),
            hold: HOLD,
            ledger: Some(LedgerPlace { log: Digest32([5; 32]), account_seq }),
            ..Claims::default()
        };
        let author = Author { key: &self.key, keyset: Digest32([6; 32]) };
        receipt.proved(claims, &self.tariff, author)
    }
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}
