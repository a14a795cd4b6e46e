//! The chain that fees are collected on: the promise, apart from how it is reached.
//!
//! What a chain's node says of one moment is not yet true for good: balances and nonces count from
//! *final* blocks, those with enough blocks on top. A failed call says nothing about the chain:
//! [`ChainError`] is "I do not know", never "no".

use std::future::Future;
use std::pin::Pin;

use crate::account::UserId;
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::Address;
use crate::voucher::{Domain, SignedVoucher};

#[cfg(feature = "evm")]
pub mod evm;

/// What a call to the chain returns.
pub type ChainFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ChainError>> + Send + 'a>>;

/// Vouchers in one transaction at most; the contract takes no more.
pub const BATCH_VOUCHERS_MAX: usize = 50;

/// The 0G contracts, seen by one provider: reads for anyone, writes by its wallet.
///
/// One value owns the wallet: calls that write wait for each other, so that two transactions never
/// share a number by accident.
pub trait Chain: Send + Sync {
    /// The domain that vouchers are signed under.
    fn domain(&self) -> Domain;

    /// The provider: the wallet's address.
    fn provider(&self) -> Address;

    /// One user's escrow with this provider, at the latest and at the last final block.
    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView>;

    /// The provider's service as the contract has it; `None` where none is registered.
    fn service(&self) -> ChainFuture<'_, Option<Service>>;

    /// What the contracts and the network ask for at this moment.
    fn terms(&self) -> ChainFuture<'_, Terms>;

    /// The gas that settling these vouchers in one transaction takes (at most
    /// [`BATCH_VOUCHERS_MAX`]).
    fn gas(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, u64>;

    /// What the contract would make of each voucher now, in their order (at most
    /// [`BATCH_VOUCHERS_MAX`]). Sends nothing, and proves nothing of what a later block will do.
    fn rehearse(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Verdict>>;

    /// Sends the vouchers, in as many transactions as the network needs, and waits for them a
    /// while. What it answers is a hint for the log: only [`Chain::landing`] tells what happened.
    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>>;

    /// What became of a voucher, as the last final block has it. Looks for the contract's event
    /// from block `since` on.
    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing>;

    /// Registers the service or changes it, and waits until that is final. The first registration
    /// sends [`Terms::stake`].
    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32>;

    /// Removes the service, which returns the stake, and waits until that is final.
    fn remove_service(&self) -> ChainFuture<'_, Digest32>;
}

/// A block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Its height.
    pub number: u64,
    /// Its hash.
    pub hash: Digest32,
}

/// A user's escrow with this provider, as one block has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Escrow {
    /// What is deposited, money asked back included, in neuron.
    pub balance: Neuron,
    /// What of it is asked back and not paid out yet, in neuron.
    pub pending_refund: Neuron,
    /// When the oldest open refund was asked for, in seconds since 1970.
    pub refund_since: Option<u64>,
    /// The nonce of the last voucher that the contract took; `u64::MAX` stands for all above.
    pub nonce: u64,
    /// The user acknowledged the provider.
    pub acknowledged: bool,
    /// Session tokens of an earlier generation are revoked.
    pub generation: u64,
    /// A bit for each revoked token id: bit 0 is the lowest of the last byte.
    pub revoked: [u8; 32],
}

impl Escrow {
    /// Whether the token with this id is revoked.
    pub fn is_revoked(&self, token: u8) -> bool {
        let byte = self.revoked.iter().rev().nth(usize::from(token >> 3)).copied();
        byte.unwrap_or_default() & (1 << (token & 7)) != 0
    }
}

/// A user's escrow at two blocks; `None` where the account does not exist there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountView {
    /// At the latest block: what may still be undone.
    pub latest: Option<Escrow>,
    /// At the last final block.
    pub settled: Option<Escrow>,
    /// The last final block.
    pub block: Block,
}

impl AccountView {
    /// What covers the user's spending: the final balance, less refunds as soon as they are seen.
    pub fn cover(&self) -> Neuron {
        let Some(settled) = self.settled else { return Neuron::ZERO };
        let seen = self.latest.map(|latest| latest.pending_refund).unwrap_or_default();
        settled.balance.checked_sub(settled.pending_refund.max(seen)).unwrap_or_default()
    }

    /// The nonce that the contract took last, final or not.
    pub fn latest_nonce(&self) -> u64 {
        let nonce = |escrow: Option<Escrow>| escrow.map_or(0, |escrow| escrow.nonce);
        nonce(self.latest).max(nonce(self.settled))
    }
}

/// A provider's service as the contract has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// What was registered.
    pub params: ServiceParams,
    /// The contract's owner acknowledged the signer; without it nothing settles.
    pub tee_signer_acknowledged: bool,
}

/// What a provider registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceParams {
    /// `chatbot` and others.
    pub kind: String,
    /// The sidecar's public address, without a trailing slash.
    pub url: String,
    /// The model's name.
    pub model: String,
    /// `TeeML` and others.
    pub verifiability: String,
    /// Neuron for one prompt token.
    pub input_price: Neuron,
    /// Neuron for one generated token.
    pub output_price: Neuron,
    /// JSON that clients read; at most 4,096 bytes.
    pub additional_info: String,
    /// The key that signs answers and vouchers.
    pub tee_signer: Address,
}

impl Default for ServiceParams {
    fn default() -> Self {
        Self {
            kind: String::new(),
            url: String::new(),
            model: String::new(),
            verifiability: String::new(),
            input_price: Neuron::ZERO,
            output_price: Neuron::ZERO,
            additional_info: String::new(),
            tee_signer: Address([0; 20]),
        }
    }
}

impl ServiceParams {
    /// Whether changing `old` to this resets the owner's acknowledgement, which stops settlement.
    pub fn resets_acknowledgement(&self, old: &Self) -> bool {
        (&self.kind, &self.model, &self.verifiability, &self.additional_info, self.tee_signer)
            != (&old.kind, &old.model, &old.verifiability, &old.additional_info, old.tee_signer)
    }
}

/// What the contracts and the network ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The latest block.
    pub latest: Block,
    /// The last final block.
    pub last_final: Block,
    /// Seconds from a refund's request to its payment.
    pub lock_time_secs: u64,
    /// What the first registration has to send, in neuron.
    pub stake: Neuron,
    /// What the wallet has, in neuron.
    pub wallet: Neuron,
    /// What a unit of gas costs, in neuron, at most the configured cap.
    pub gas_price: Neuron,
}

/// What the contract makes of a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Verdict {
    /// It pays it in full.
    #[error("it is paid in full")]
    Success,
    /// It pays what there is, and takes the nonce.
    #[error("it is paid as far as the escrow reaches")]
    Partial,
    /// The sender is not the voucher's provider, or has no service.
    #[error("the wallet is not the voucher's provider, or has no service")]
    ProviderMismatch,
    /// The user or the contract's owner has not acknowledged the signer.
    #[error("the user or the network's owner has not acknowledged the signer")]
    NoTeeSigner,
    /// The nonce is taken.
    #[error("its nonce is taken")]
    InvalidNonce,
    /// The signature is not the signer's under the contract's domain, or the account is gone.
    #[error("the contract finds another signer in it: is network.contractAddress the right one?")]
    InvalidSignature,
    /// Something this program does not know.
    #[error("the contract answers with status {0}")]
    Unknown(u8),
}

impl Verdict {
    /// The verdict that a status of the contract stands for.
    pub const fn of(status: u8) -> Self {
        match status {
            0 => Self::Success,
            1 => Self::Partial,
            2 => Self::ProviderMismatch,
            3 => Self::NoTeeSigner,
            4 => Self::InvalidNonce,
            5 => Self::InvalidSignature,
            other => Self::Unknown(other),
        }
    }

    /// Whether the contract takes the voucher's nonce.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Success | Self::Partial)
    }
}

/// What became of a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// The contract has not taken its nonce in any final block: the same bytes may be sent again.
    NotYet,
    /// The contract took it, and paid.
    Paid(Payment),
    /// Its nonce is taken, and not by this voucher, whoever signed it: by another one of the same
    /// signer, or by one from before a ledger was rolled back.
    Other {
        /// The nonce that the contract took last.
        nonce: u64,
    },
    /// Its nonce is taken, and the event that tells how is not to be found.
    Unknown {
        /// The nonce that the contract took last.
        nonce: u64,
    },
}

/// How the contract paid a voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// What it paid, in neuron: the whole voucher, or what there was.
    pub paid: Neuron,
    /// What covers the user's spending afterwards, as [`AccountView::cover`] of the block it was
    /// read from.
    pub cover: Neuron,
    /// The block that has the transaction.
    pub block: Block,
    /// The transaction.
    pub transaction: Digest32,
}

/// Why the chain gave no answer. It says nothing about what the chain holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The node cannot be reached, or not in time.
    #[error("the chain's node cannot be reached: {0}")]
    Unreachable(String),
    /// The node answered with an error, or with something that cannot be.
    #[error("the chain's node: {0}")]
    Node(String),
    /// The node is of another chain, or the address is no InferenceServing contract.
    #[error("this is not the configured network: {0}")]
    WrongNetwork(String),
    /// The contract reverts the call.
    #[error("the contract refuses: {0}")]
    Reverted(String),
    /// The wallet has too little.
    #[error("the wallet has {has} neuron and needs {needs}: {missing} neuron are missing")]
    TooPoor {
        /// What it has, in neuron.
        has: Neuron,
        /// What it needs, in neuron.
        needs: Neuron,
        /// The difference, in neuron.
        missing: Neuron,
    },
    /// Gas costs more than the configured cap.
    #[error("gas costs {price} neuron, above network.maxGasPrice {cap}")]
    GasTooDear {
        /// What it costs, in neuron.
        price: Neuron,
        /// The cap, in neuron.
        cap: Neuron,
    },
    /// A transaction was sent and is not mined yet; it may still be.
    #[error("transaction {0} was sent and is not mined yet")]
    Pending(Digest32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_token_is_a_bit_of_the_bitmap() {
        let mut escrow = Escrow::default();
        escrow.revoked[31] = 0b0000_0010;
        escrow.revoked[0] = 0b1000_0000;
        let revoked: Vec<u8> = (0..=255).filter(|id| escrow.is_revoked(*id)).collect();
        assert_eq!(revoked, [1, 255]);
    }

    #[test]
    fn a_refund_counts_when_it_is_seen_and_a_deposit_when_it_is_final() {
        let escrow = |balance, refund| {
            let (balance, pending_refund) = (Neuron::new(balance), Neuron::new(refund));
            Some(Escrow { balance, pending_refund, ..Escrow::default() })
        };
        for (settled, latest, cover) in [
            (escrow(10, 0), escrow(10, 0), 10),
            (escrow(10, 0), escrow(15, 0), 10),
            (escrow(10, 0), escrow(10, 4), 6),
            (escrow(10, 4), escrow(6, 0), 6),
            (escrow(3, 3), escrow(0, 0), 0),
            (None, escrow(15, 0), 0),
            (escrow(10, 2), None, 8),
        ] {
            let view = AccountView { latest, settled, block: Block::default() };
            assert_eq!(view.cover(), Neuron::new(cover), "{settled:?} {latest:?}");
        }
    }
}
