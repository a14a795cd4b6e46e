//! The part of the vocabulary that is about collecting fees on a chain.

use crate::account::UserId;
use crate::chain::Payment;
use crate::clock::Timestamp;
use crate::digest::{Digest32, Framed};
use crate::money::Neuron;
use crate::signer::{Address, Signature};
use crate::voucher::{Domain, SignedVoucher, Voucher};

/// Whose ledger it is: vouchers of another provider, contract or chain never get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The chain and the contract.
    pub domain: Domain,
    /// Who is paid.
    pub provider: Address,
}

impl Binding {
    /// A hash over every field, which the ledger chains.
    pub fn digest(&self) -> Digest32 {
        Framed::new("broker-core.binding.v1")
            .part(&self.domain.chain_id.to_be_bytes())
            .part(&self.domain.contract.0)
            .part(&self.provider.0)
            .finish()
    }
}

/// Captured fees on their way under a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The voucher.
    pub voucher: SignedVoucher,
    /// The entry of the last receipt that it collects: everything of the user's behind the voucher
    /// before it, up to here.
    pub sealed_to: u64,
    /// The block at which the chain had not taken the nonce: the search for what became of the
    /// voucher starts here.
    pub since: u64,
}

impl Seal {
    /// The voucher as it is open from then on.
    pub(crate) fn open_since(&self, sealed_at: Timestamp) -> OpenVoucher {
        let SignedVoucher { voucher, signature, signing_address } = self.voucher;
        let signatures = vec![(signing_address, signature)];
        OpenVoucher { voucher, signatures, since: self.since, sealed_at }
    }

    /// A hash over every field and what is carried over, which the ledger chains.
    pub fn digest(&self, carry: Neuron) -> Digest32 {
        let SignedVoucher { voucher, signature, signing_address } = &self.voucher;
        Framed::new("broker-core.seal.v1")
            .part(&voucher_digest(voucher).0)
            .part(&signature.0)
            .part(&signing_address.0)
            .part(&self.sealed_to.to_be_bytes())
            .part(&self.since.to_be_bytes())
            .part(&carry.to_be_bytes())
            .finish()
    }
}

impl SignedVoucher {
    /// A hash over every field, which the ledger chains for a second signature.
    pub fn record_digest(&self) -> Digest32 {
        Framed::new("broker-core.countersign.v1")
            .part(&voucher_digest(&self.voucher).0)
            .part(&self.signature.0)
            .part(&self.signing_address.0)
            .finish()
    }
}

fn voucher_digest(voucher: &Voucher) -> Digest32 {
    Framed::new("broker-core.voucher.v1")
        .part(voucher.user.as_bytes())
        .part(&voucher.provider.0)
        .part(&voucher.total.to_be_bytes())
        .part(&voucher.requests_hash.0)
        .part(&voucher.nonce.to_be_bytes())
        .finish()
}

/// The end of a voucher, as a final block has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub nonce: u64,
    /// What the contract paid, and what covers the user's spending afterwards.
    pub payment: Payment,
}

impl Settle {
    /// A hash over every field, which the ledger chains.
    pub fn digest(&self) -> Digest32 {
        let payment = &self.payment;
        Framed::new("broker-core.settle.v1")
            .part(self.user.as_bytes())
            .part(&self.nonce.to_be_bytes())
            .part(&payment.paid.to_be_bytes())
            .part(&payment.cover.to_be_bytes())
            .part(&payment.block.number.to_be_bytes())
            .part(&payment.block.hash.0)
            .part(&payment.transaction.0)
            .finish()
    }
}

/// How a user's fees stand on their way to the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// The last nonce given out, or the chain's when the user was first seen; `None` for a user
    /// whose escrow has never been seen.
    pub nonce: Option<u64>,
    /// Receipts up to this entry are under a voucher.
    pub sealed_to: u64,
    /// What the last voucher left unpaid: owed, and under no voucher. Part of what is earned.
    pub carry: Neuron,
}

impl Books {
    /// A hash over what a view of the escrow says, which the ledger chains.
    pub(crate) fn escrow_digest(user: &UserId, cover: Neuron, nonce: u64) -> Digest32 {
        Framed::new("broker-core.escrow.v1")
            .part(user.as_bytes())
            .part(&cover.to_be_bytes())
            .part(&nonce.to_be_bytes())
            .finish()
    }

    /// A hash over a freeze, which the ledger chains.
    pub(crate) fn freeze_digest(user: &UserId, nonce: u64) -> Digest32 {
        let framed = Framed::new("broker-core.freeze.v1");
        framed.part(user.as_bytes()).part(&nonce.to_be_bytes()).finish()
    }
}

/// A voucher whose end is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenVoucher {
    /// What is signed.
    pub voucher: Voucher,
    /// The signatures over it, the oldest first; one for each key.
    pub signatures: Vec<(Address, Signature)>,
    /// Where the search for its end starts.
    pub since: u64,
    /// When it was sealed.
    pub sealed_at: Timestamp,
}

impl OpenVoucher {
    /// The voucher as this key signed it.
    pub fn signed_by(&self, key: &Address) -> Option<SignedVoucher> {
        let mut signatures = self.signatures.iter();
        let found = signatures.find(|(address, _)| address == key);
        found.map(|(address, signature)| SignedVoucher {
            voucher: self.voucher,
            signature: *signature,
            signing_address: *address,
        })
    }
}
