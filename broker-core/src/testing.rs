//! The 0G contracts in memory, with the weather of a real chain: for tests, of this crate and of
//! who embeds it.
//!
//! [`SimChain`] keeps the contracts' rules to the neuron and checks every voucher's signature. What
//! it does follows from its seed and from the calls made, so that a failed run can be repeated.
//! [`scenarios`] holds what the real contracts were seen to do, to compare it with.

mod blocks;
mod calls;
mod contracts;
mod faults;
pub mod scenarios;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::account::UserId;
use crate::chain::{Block, ChainError, Service};
use crate::clock::{Clock, Timestamp};
use crate::money::Neuron;
use crate::signer::Address;
use crate::voucher::{Domain, SignedVoucher};

use blocks::{Blocks, Work};
pub use contracts::{Action, Landed, Status};
pub use faults::{Fault, Faults, Rng};

/// A chain in memory with one provider's wallet. Clones are handles to the same chain.
#[derive(Clone, Debug)]
pub struct SimChain {
    options: SimOptions,
    state: Arc<Mutex<Blocks>>,
}

/// What a simulated chain is like.
#[derive(Clone, Copy, Debug)]
pub struct SimOptions {
    /// The wallet's address.
    pub provider: Address,
    /// What vouchers are signed under.
    pub domain: Domain,
    /// Blocks on top of a final one.
    pub confirmations: u64,
    /// When blocks come.
    pub pace: Pace,
    /// What the wallet starts with, in neuron.
    pub wallet: Neuron,
    /// What the first registration sends, in neuron.
    pub stake: Neuron,
    /// Seconds from a refund's request to its payment.
    pub lock_time_secs: u64,
    /// Gas that fits into a block.
    pub block_gas: u64,
    /// What a unit of gas costs, in neuron.
    pub gas_price: Neuron,
    /// What the wallet pays for it at most, in neuron.
    pub gas_price_max: Neuron,
    /// What faults are drawn from.
    pub seed: u64,
}

/// When blocks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Whatever is sent is final at once.
    Instant,
    /// One block for so many calls of [`crate::chain::Chain`].
    Ticking(u32),
    /// Only [`SimChain::mine`] makes blocks.
    Manual,
}

impl Default for SimOptions {
    /// The chain of a local test network and its first spare account; everything is final at once.
    fn default() -> Self {
        Self {
            provider: Address(PROVIDER),
            domain: Domain { chain_id: 31_337, contract: Address(CONTRACT) },
            confirmations: 0,
            pace: Pace::Instant,
            wallet: Neuron::new(1_000 * ONE),
            stake: Neuron::new(100 * ONE),
            lock_time_secs: 3_600,
            block_gas: 30_000_000,
            gas_price: Neuron::new(2_000_000_007),
            gas_price_max: Neuron::new(20_000_000_000),
            seed: 0,
        }
    }
}

impl SimChain {
    /// A chain on which nothing has happened.
    pub fn new(options: SimOptions) -> Self {
        Self { options, state: Arc::new(Mutex::new(Blocks::new(options))) }
    }

    /// What it was made with.
    pub fn options(&self) -> &SimOptions {
        &self.options
    }

    /// Sends what a user or the contracts' owner does. It happens in one of the next blocks, and
    /// with [`Pace::Instant`] now.
    ///
    /// # Errors
    /// The contract refuses, as things are now.
    pub fn act(&self, action: Action) -> Result<(), ChainError> {
        let mut state = self.lock();
        state.try_now(&action)?;
        state.send(Work::Act(action), 0);
        state.pace_write();
        Ok(())
    }

    /// [`Action::Deposit`].
    ///
    /// # Errors
    /// See [`Self::act`].
    pub fn deposit(&self, user: UserId, amount: Neuron) -> Result<(), ChainError> {
        self.act(Action::Deposit { user, amount })
    }

    /// [`Action::RequestRefund`].
    ///
    /// # Errors
    /// See [`Self::act`].
    pub fn request_refund(&self, user: UserId) -> Result<(), ChainError> {
        self.act(Action::RequestRefund { user })
    }

    /// [`Action::ProcessRefund`].
    ///
    /// # Errors
    /// See [`Self::act`].
    pub fn process_refund(&self, user: UserId) -> Result<(), ChainError> {
        self.act(Action::ProcessRefund { user })
    }

    /// [`Action::OwnerAcknowledges`].
    ///
    /// # Errors
    /// See [`Self::act`].
    pub fn owner_acknowledges(&self, yes: bool) -> Result<(), ChainError> {
        self.act(Action::OwnerAcknowledges(yes))
    }

    /// Makes so many blocks.
    pub fn mine(&self, blocks: u64) {
        let mut state = self.lock();
        for _ in 0..blocks {
            state.mine();
        }
    }

    /// Lets so many seconds pass before the next block.
    pub fn advance(&self, secs: u64) {
        let mut state = self.lock();
        state.advance(secs);
        state.pace_write();
    }

    /// Undoes the last blocks, at most 12 and never a final one; a longer branch takes their place,
    /// with the same transactions in blocks of its own choice. Tells how many were undone.
    pub fn reorg(&self, depth: u64) -> u64 {
        self.lock().reorg(depth)
    }

    /// Makes something go wrong: [`Fault::Down`] and [`Fault::GasSpike`] now, any other with the
    /// next thing the wallet sends.
    pub fn inject(&self, fault: Fault) {
        self.lock().inject(fault);
    }

    /// Lets things go wrong by chance from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Lets nothing go wrong any more; delayed transactions are mined with the next block.
    pub fn calm(&self) {
        self.lock().calm();
    }

    /// The node forgets the events of blocks below this one.
    pub fn prune_logs(&self, below: u64) {
        self.lock().pruned_below = below;
    }

    /// The latest block.
    pub fn latest(&self) -> Block {
        self.lock().head().block
    }

    /// Everything that the contract was given and what it answered, in the order of the chain.
    pub fn results(&self) -> Vec<Landed> {
        self.lock().results.clone()
    }

    /// The vouchers that the contract took.
    pub fn landed(&self) -> Vec<Landed> {
        let state = self.lock();
        state.results.iter().filter(|item| item.status.is_taken()).copied().collect()
    }

    /// What each user has paid the provider, in neuron.
    pub fn paid(&self) -> BTreeMap<UserId, Neuron> {
        self.lock().head().contracts.paid.clone()
    }

    /// What the wallet has, in neuron.
    pub fn wallet(&self) -> Neuron {
        Neuron::new(self.lock().head().contracts.wallet)
    }

    /// Sets what the wallet has, in every block that may still count.
    pub fn set_wallet(&self, amount: Neuron) {
        self.lock().set_wallet(amount.get());
    }

    /// The service as the latest block has it.
    pub fn service_now(&self) -> Option<Service> {
        self.lock().head().contracts.service.clone()
    }

    /// Every voucher that a hostile host has seen so far.
    pub fn seen(&self) -> Vec<SignedVoucher> {
        self.lock().seen.clone()
    }

    /// A hostile host with the wallet's key sends a voucher, whenever it likes.
    pub fn host_sends(&self, voucher: SignedVoucher) {
        let mut state = self.lock();
        state.send(Work::Settle(vec![voucher]), 0);
        state.pace_write();
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimChain {
    /// The time of the next block.
    fn now(&self) -> Timestamp {
        Timestamp(self.lock().now_secs().saturating_mul(1_000))
    }
}

/// One 0G, in neuron.
pub const ONE: u128 = 1_000_000_000_000_000_000;

const PROVIDER: [u8; 20] = [
    0x70, 0x99, 0x79, 0x70, 0xc5, 0x18, 0x12, 0xdc, 0x3a, 0x01, 0x0c, 0x7d, 0x01, 0xb5, 0x0e, 0x0d,
    0x17, 0xdc, 0x79, 0xc8,
];
const CONTRACT: [u8; 20] = [
    0x01, 0x65, 0x87, 0x8a, 0x59, 0x4c, 0xa2, 0x55, 0x33, 0x8a, 0xdf, 0xa4, 0xd4, 0x84, 0x49, 0xf6,
    0x92, 0x42, 0xeb, 0x8f,
];
