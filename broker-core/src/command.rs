//! The whole vocabulary of the ledger: what can be asked of it and what it answers.

use crate::account::{Cover, UserId};
use crate::clock::Timestamp;
use crate::digest::{Digest32, Fingerprint, Framed, RequestKey};
use crate::money::Neuron;
use crate::receipt::{Receipt, ReceiptId};
use crate::signer::Address;
use crate::tariff::{Tariff, Usage};
use crate::voucher::SignedVoucher;

mod collect;
mod retire;

pub use collect::{Binding, Books, OpenVoucher, Seal, Settle};
pub use retire::Retire;

/// Something the ledger is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Sets how much of a user's spending is covered.
    Mirror {
        /// Whose.
        user: UserId,
        /// The cover as the outside has it now.
        cover: Cover,
    },
    /// Sets money aside for a request, before it is forwarded.
    Reserve(Hold),
    /// Ends a hold with a receipt: the fee is earned, the rest is free again.
    Capture {
        /// The hold's key.
        key: RequestKey,
        /// What happened and what it costs.
        receipt: Box<Receipt>,
    },
    /// Ends a hold without a fee.
    Release {
        /// The hold's key.
        key: RequestKey,
        /// Why nothing is charged.
        why: ReleaseReason,
    },
    /// Says whose ledger this is, once, before anything is collected.
    Bind(Binding),
    /// Takes over what a final block says of a user's escrow. The first time it also says where
    /// the user's nonces begin.
    Escrow {
        /// Whose.
        user: UserId,
        /// What covers the user's spending, in neuron.
        cover: Neuron,
        /// The nonce that the contract took last.
        nonce: u64,
    },
    /// Puts captured fees under a signed voucher.
    Seal(Box<Seal>),
    /// Adds another key's signature to an open voucher, for a signer that has changed. The nonce
    /// and all else stay, so only one of the two can ever be paid.
    Countersign(Box<SignedVoucher>),
    /// Ends an open voucher as the chain did.
    Settle(Box<Settle>),
    /// Stops all work for a user whose nonce on chain is ahead of this ledger's: the ledger was
    /// rolled back, or someone else signs for the provider.
    Freeze {
        /// Whose.
        user: UserId,
        /// The nonce that the contract took last.
        nonce: u64,
    },
    /// Lets archived receipts go.
    Retire(Retire),
}

impl Command {
    /// The request that it is about, and the user where the command itself names one.
    pub(crate) fn subject(&self) -> (Option<RequestKey>, Option<UserId>) {
        match self {
            Self::Bind(_) | Self::Retire(_) => (None, None),
            Self::Mirror { user, .. } | Self::Escrow { user, .. } | Self::Freeze { user, .. } => {
                (None, Some(*user))
            }
            Self::Seal(seal) => (None, Some(seal.voucher.voucher.user)),
            Self::Countersign(signed) => (None, Some(signed.voucher.user)),
            Self::Settle(settle) => (None, Some(settle.user)),
            Self::Reserve(hold) => (Some(hold.key), Some(hold.user)),
            Self::Capture { key, .. } | Self::Release { key, .. } => (Some(*key), None),
        }
    }
}

/// Money set aside for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which request; used once, for ever.
    pub key: RequestKey,
    /// What was asked, so that another request under the same key is noticed.
    pub fingerprint: Fingerprint,
    /// The id under which the exchange's receipt will be found.
    pub receipt: ReceiptId,
    /// Who pays.
    pub user: UserId,
    /// The most the request can cost, in neuron.
    pub amount: Neuron,
    /// The prices it was admitted under.
    pub tariff: Tariff,
    /// When a hold that nobody ended may be swept.
    pub expires: Timestamp,
}

impl Hold {
    /// What an exchange with this usage is charged: its fee, and the whole hold where that is
    /// dearer than the hold or leaves the range of money.
    pub fn fee(&self, usage: &Usage) -> Neuron {
        self.tariff.fee(usage).map_or(self.amount, |fee| fee.min(self.amount))
    }

    /// A hash over every field and the time it was opened, which the ledger chains.
    pub fn digest(&self, opened_at: Timestamp) -> Digest32 {
        Framed::new("broker-core.hold.v1")
            .part(&self.key.0.0)
            .part(&self.fingerprint.0.0)
            .part(self.receipt.0.as_bytes())
            .part(self.user.as_bytes())
            .part(&self.amount.to_be_bytes())
            .part(&self.tariff.input_price.to_be_bytes())
            .part(&self.tariff.output_price.to_be_bytes())
            .part(&self.expires.0.to_be_bytes())
            .part(&opened_at.0.to_be_bytes())
            // Holds without a schedule hash as they did before there were any.
            .part_if(self.tariff.schedule_bytes().as_deref())
            .finish()
    }
}

/// Why a hold ends without a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReleaseReason {
    /// The process died while the exchange ran; its entry says `crashed`.
    Crashed = 1,
    /// Nobody ended the hold before it expired.
    Expired = 2,
    /// The request was not forwarded after all.
    NotForwarded = 3,
}

impl ReleaseReason {
    /// The reason a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Crashed,
            2 => Self::Expired,
            3 => Self::NotForwarded,
            _ => return None,
        })
    }

    /// A hash over the release of a hold, which the ledger chains.
    pub fn digest(self, key: &RequestKey, at: Timestamp) -> Digest32 {
        Framed::new("broker-core.release.v1")
            .part(&key.0.0)
            .part(&[self as u8])
            .part(&at.0.to_be_bytes())
            .finish()
    }
}

/// How a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// The exchange is running.
    Open,
    /// The exchange ended with a receipt.
    Finished,
    /// The hold was freed without a receipt.
    Released(ReleaseReason),
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Applied {
    /// The cover is as asked.
    Mirrored,
    /// The amount is set aside.
    Held {
        /// The how manieth hold of its account it is, from 1, without gaps: its receipt says so,
        /// see [`crate::receipt::LedgerPlace`]. An account whose holds are `n` has that many
        /// [`crate::Account::exchanges`].
        account_seq: u64,
    },
    /// The fee is earned.
    Captured {
        /// The fee, in neuron.
        fee: Neuron,
    },
    /// The hold is free again.
    Released,
    /// The ledger is this provider's.
    Bound,
    /// The fees are under the voucher.
    Sealed,
    /// The signature is kept.
    Countersigned,
    /// The voucher has ended.
    Settled {
        /// What is owed again because the escrow did not reach, in neuron.
        rest: Neuron,
    },
    /// Nothing more is done for the user.
    Frozen,
    /// The receipts are gone.
    Retired,
}

/// Why a command was not carried out. A refusal is an answer, not an error: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The account's cover does not reach.
    #[error("the request can cost {needed} neuron and {available} are available")]
    InsufficientFunds {
        /// What may still be held.
        available: Neuron,
        /// What the request can cost.
        needed: Neuron,
    },
    /// The same request is being answered right now.
    #[error("the same request is being answered as {receipt}")]
    InFlight {
        /// Its receipt id.
        receipt: ReceiptId,
    },
    /// The same request has ended before, with an answer or without.
    #[error("the same request has ended before as {receipt}")]
    Finished {
        /// Its receipt id.
        receipt: ReceiptId,
    },
    /// Another request was made under this key.
    #[error("another request was made under this key")]
    KeyReused,
    /// No hold has this key.
    #[error("no hold has this key")]
    UnknownHold,
    /// The hold has ended before.
    #[error("the hold has ended before")]
    HoldEnded,
    /// The fee is above the hold.
    #[error("the fee is above the hold of {held} neuron")]
    FeeAboveHold {
        /// What is set aside.
        held: Neuron,
    },
    /// The fee does not follow from the usage and the hold's prices.
    #[error("the fee for this usage is {due} neuron")]
    WrongFee {
        /// What it would be.
        due: Neuron,
    },
    /// The receipt names another exchange, user or amount than the hold, or its document promises
    /// no place in the log among the account's exchanges.
    #[error("the receipt does not belong to this hold")]
    ForeignReceipt,
    /// The receipt id is taken.
    #[error("the receipt id is taken")]
    ReceiptIdTaken,
    /// The sum leaves the range of money.
    #[error("the sum leaves the range of 2^128 neuron")]
    OutOfRange,
    /// The ledger belongs to another provider, contract or chain.
    #[error("this ledger is bound to provider {0}, on another wallet, contract or chain")]
    BoundElsewhere(Address),
    /// The ledger is nobody's yet.
    #[error("this ledger is bound to no provider yet")]
    NotBound,
    /// The user's nonce on chain is ahead of this ledger's: nothing is done until the operator has
    /// compared both by hand.
    #[error("the account is frozen: the chain is ahead of this ledger")]
    Frozen,
    /// A voucher of the user's is open whose nonce the chain has taken already, or that has to end
    /// before the next one.
    #[error("voucher {nonce} of this user is not settled yet")]
    VoucherOpen {
        /// Its nonce.
        nonce: u64,
    },
    /// No voucher of this nonce is open.
    #[error("no voucher of this nonce is open")]
    NoOpenVoucher,
    /// The chain has taken a nonce that this ledger never gave out.
    #[error("the chain has taken nonce {seen}, and this ledger's last is {known}")]
    ChainAhead {
        /// The last one given out here.
        known: u64,
        /// The last one taken there.
        seen: u64,
    },
    /// The view of the chain is older than what this ledger has settled.
    #[error("the chain is said to be at nonce {seen}, and {known} has been settled")]
    ChainBehind {
        /// The last one settled here.
        known: u64,
        /// The one in the view.
        seen: u64,
    },
    /// The user's escrow has never been seen.
    #[error("the user's escrow has never been seen")]
    NoEscrow,
    /// The voucher's nonce is not the next one.
    #[error("the next voucher's nonce is {expected}")]
    WrongNonce {
        /// The next one.
        expected: u64,
    },
    /// The voucher does not follow from the receipts that it is to collect.
    #[error("these receipts come to {due} neuron and to another hash than the voucher says")]
    WrongVoucher {
        /// What they come to.
        due: Neuron,
    },
    /// There is nothing to collect.
    #[error("there is nothing to collect")]
    NothingEarned,
    /// More is said to be paid than the voucher is worth.
    #[error("the voucher is worth {total} neuron, and more is said to be paid")]
    Overpaid {
        /// What it is worth.
        total: Neuron,
    },
}

/// The ledger's answer to one command.
pub type Decision = Result<Applied, Refusal>;
