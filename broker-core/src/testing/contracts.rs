//! The rules of InferenceServing and LedgerManager, for one provider.

use std::collections::BTreeMap;

use crate::account::UserId;
use crate::chain::{Block, ChainError, Escrow, Service, ServiceParams};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::{Address, recover_signer};
use crate::voucher::{Domain, SignedVoucher};

/// What a user or the contracts' owner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A user moves money to the provider. What was asked back counts first. The first time it
    /// makes the account, acknowledged, and takes at least one 0G.
    Deposit {
        /// Who.
        user: UserId,
        /// How much, in neuron.
        amount: Neuron,
    },
    /// A user asks everything back that is not asked back yet.
    RequestRefund {
        /// Who.
        user: UserId,
    },
    /// A user takes the refunds whose lock has ended.
    ProcessRefund {
        /// Who.
        user: UserId,
    },
    /// A user acknowledges the provider's signer, or takes that back.
    Acknowledge {
        /// Who.
        user: UserId,
        /// Whether acknowledged.
        yes: bool,
    },
    /// A user revokes one token.
    RevokeToken {
        /// Who.
        user: UserId,
        /// Which.
        token: u8,
    },
    /// A user revokes all tokens.
    RevokeAll {
        /// Who.
        user: UserId,
    },
    /// The contracts' owner acknowledges the service's signer, or takes that back.
    OwnerAcknowledges(bool),
}

/// What the contract answers to one voucher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the contract's own words")]
pub enum Status {
    Success = 0,
    Partial = 1,
    ProviderMismatch = 2,
    NoTeeSigner = 3,
    InvalidNonce = 4,
    InvalidSignature = 5,
}

impl Status {
    /// Whether the contract took the voucher's nonce.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Success | Self::Partial)
    }
}

/// A voucher in a block, and what the contract made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The voucher.
    pub voucher: SignedVoucher,
    /// The contract's answer.
    pub status: Status,
    /// What it paid, in neuron.
    pub paid: Neuron,
    /// What it left unpaid, in neuron.
    pub unsettled: Neuron,
    /// The block.
    pub block: Block,
    /// The transaction.
    pub transaction: Digest32,
}

#[derive(Clone, Debug)]
pub(super) struct Contracts {
    pub(super) service: Option<Service>,
    pub(super) wallet: u128,
    pub(super) paid: BTreeMap<UserId, Neuron>,
    accounts: BTreeMap<UserId, Member>,
    rules: Rules,
}

/// What never changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) provider: Address,
    pub(super) domain: Domain,
    pub(super) lock_time_secs: u64,
    pub(super) stake: u128,
}

#[derive(Clone, Debug, Default)]
struct Member {
    balance: u128,
    refunds: Vec<Refund>,
    nonce: u64,
    acknowledged: bool,
    generation: u64,
    revoked: [u8; 32],
}

#[derive(Clone, Copy, Debug)]
struct Refund {
    amount: u128,
    since: u64,
}

impl Contracts {
    pub(super) const fn new(rules: Rules, wallet: u128) -> Self {
        Self { service: None, wallet, paid: BTreeMap::new(), accounts: BTreeMap::new(), rules }
    }

    pub(super) fn escrow(&self, user: &UserId) -> Option<Escrow> {
        let member = self.accounts.get(user)?;
        Some(Escrow {
            balance: Neuron::new(member.balance),
            pending_refund: Neuron::new(member.pending()),
            refund_since: member.refunds.iter().map(|refund| refund.since).min(),
            nonce: member.nonce,
            acknowledged: member.acknowledged,
            generation: member.generation,
            revoked: member.revoked,
        })
    }

    /// Whether a voucher of this user would be the first: its slot costs more gas.
    pub(super) fn is_fresh(&self, user: &UserId) -> bool {
        self.accounts.get(user).is_none_or(|member| member.nonce == 0)
    }

    pub(super) fn act(&mut self, action: &Action, now: u64) -> Result<(), ChainError> {
        match *action {
            Action::Deposit { user, amount } => self.deposit(user, amount.get()),
            Action::RequestRefund { user } => self.member(user)?.request_refund(now),
            Action::ProcessRefund { user } => {
                let lock_time_secs = self.rules.lock_time_secs;
                self.member(user)?.process_refund(now, lock_time_secs);
                Ok(())
            }
            Action::Acknowledge { user, yes } => {
                let member = self.member(user)?;
                if !yes && member.balance > 0 {
                    return Err(reverted("CannotRevokeWithNonZeroBalance"));
                }
                member.acknowledged = yes;
                Ok(())
            }
            Action::RevokeToken { user, token } => {
                let byte = self.member(user)?.revoked.iter_mut().rev().nth(usize::from(token >> 3));
                if let Some(byte) = byte {
                    *byte |= 1 << (token & 7);
                }
                Ok(())
            }
            Action::RevokeAll { user } => {
                let member = self.member(user)?;
                member.generation = member.generation.saturating_add(1);
                member.revoked = [0; 32];
                Ok(())
            }
            Action::OwnerAcknowledges(yes) => {
                let service = self.service.as_mut().ok_or_else(|| reverted("ServiceNotExist"))?;
                service.tee_signer_acknowledged = yes;
                Ok(())
            }
        }
    }

    pub(super) fn register(&mut self, params: &ServiceParams) -> Result<(), ChainError> {
        if params.additional_info.len() > ADDITIONAL_INFO_MAX {
            return Err(reverted("AdditionalInfoTooLong"));
        }
        if let Some(service) = &mut self.service {
            if params.resets_acknowledgement(&service.params) {
                service.tee_signer_acknowledged = false;
            }
            service.params = params.clone();
            return Ok(());
        }
        self.wallet = self.wallet.checked_sub(self.rules.stake).ok_or_else(|| reverted("stake"))?;
        self.service = Some(Service { params: params.clone(), tee_signer_acknowledged: false });
        Ok(())
    }

    pub(super) fn remove_service(&mut self) -> Result<(), ChainError> {
        self.service.take().ok_or_else(|| reverted("ServiceNotExist"))?;
        self.wallet = self.wallet.saturating_add(self.rules.stake);
        Ok(())
    }

    /// Takes one voucher of a batch: what the contract answers, and what it pays and leaves unpaid.
    pub(super) fn settle(&mut self, voucher: &SignedVoucher) -> (Status, u128, u128) {
        let status = self.check(voucher);
        if !status.is_taken() {
            return (status, 0, 0);
        }
        let user = voucher.voucher.user;
        let Some(member) = self.accounts.get_mut(&user) else { return (status, 0, 0) };
        member.nonce = voucher.voucher.nonce;
        let total = voucher.voucher.total.get();
        let paid = total.min(member.balance);
        member.pay(paid);
        self.wallet = self.wallet.saturating_add(paid);
        let sum = self.paid.entry(user).or_default();
        *sum = Neuron::new(sum.get().saturating_add(paid));
        match total.saturating_sub(paid) {
            0 => (Status::Success, paid, 0),
            rest => (Status::Partial, paid, rest),
        }
    }

    /// The contract's checks, in its order.
    fn check(&self, signed: &SignedVoucher) -> Status {
        let voucher = &signed.voucher;
        if voucher.provider != self.rules.provider {
            return Status::ProviderMismatch;
        }
        let Some(member) = self.accounts.get(&voucher.user) else {
            return Status::InvalidSignature;
        };
        let Some(service) = &self.service else { return Status::ProviderMismatch };
        let signer = service.params.tee_signer;
        if !member.acknowledged || !service.tee_signer_acknowledged || signer.0 == [0; 20] {
            return Status::NoTeeSigner;
        }
        if member.nonce >= voucher.nonce {
            return Status::InvalidNonce;
        }
        // The contract's library takes no other v; ours takes 0 and 1 too.
        let v_is_known = matches!(signed.signature.0.last(), Some(27 | 28));
        match recover_signer(&voucher.digest(&self.rules.domain), &signed.signature) {
            Ok(found) if v_is_known && found == signer => Status::Success,
            _ => Status::InvalidSignature,
        }
    }

    fn deposit(&mut self, user: UserId, amount: u128) -> Result<(), ChainError> {
        if *user.as_bytes() == self.rules.provider.0 {
            return Err(reverted("ProviderCannotBeUser"));
        }
        if !self.accounts.contains_key(&user) && amount < super::ONE {
            return Err(reverted("MinimumTransferRequired"));
        }
        let member = self.accounts.entry(user).or_default();
        member.acknowledged = true;
        let taken_back = amount.min(member.pending());
        member.cancel(taken_back);
        member.balance = member.balance.saturating_add(amount.saturating_sub(taken_back));
        Ok(())
    }

    fn member(&mut self, user: UserId) -> Result<&mut Member, ChainError> {
        self.accounts.get_mut(&user).ok_or_else(|| reverted("AccountNotExists"))
    }
}

impl Member {
    fn pending(&self) -> u128 {
        self.refunds.iter().fold(0, |sum, refund| sum.saturating_add(refund.amount))
    }

    fn request_refund(&mut self, now: u64) -> Result<(), ChainError> {
        let free = self.balance.saturating_sub(self.pending());
        if free == 0 {
            return Ok(());
        }
        if self.refunds.len() >= REFUNDS_MAX {
            return Err(reverted("TooManyRefunds"));
        }
        self.refunds.push(Refund { amount: free, since: now });
        Ok(())
    }

    fn process_refund(&mut self, now: u64, lock_time_secs: u64) {
        let is_due = |refund: &Refund| refund.since.saturating_add(lock_time_secs) <= now;
        let due = self.refunds.iter().filter(|refund| is_due(refund));
        let out = due.fold(0_u128, |sum, refund| sum.saturating_add(refund.amount));
        self.refunds.retain(|refund| !is_due(refund));
        self.balance = self.balance.saturating_sub(out);
    }

    /// Pays from what is free, then from the refunds asked for last.
    fn pay(&mut self, amount: u128) {
        let free = self.balance.saturating_sub(self.pending());
        self.cancel(amount.saturating_sub(free));
        self.balance = self.balance.saturating_sub(amount);
    }

    fn cancel(&mut self, mut amount: u128) {
        while let Some(last) = self.refunds.last_mut() {
            if last.amount > amount {
                last.amount = last.amount.saturating_sub(amount);
                return;
            }
            amount = amount.saturating_sub(last.amount);
            self.refunds.pop();
        }
    }
}

fn reverted(why: &str) -> ChainError {
    ChainError::Reverted(why.to_owned())
}

const REFUNDS_MAX: usize = 5;
const ADDITIONAL_INFO_MAX: usize = 4_096;
