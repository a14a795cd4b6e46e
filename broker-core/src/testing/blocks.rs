//! Blocks, the transactions that wait for one, and how blocks are undone.

use std::collections::VecDeque;

use super::contracts::{Action, Contracts, Landed, Rules};
use super::faults::{Fault, Faults, Rng};
use super::{Pace, SimOptions};
use crate::chain::{Block, ChainError, ServiceParams};
use crate::digest::{Digest32, Framed};
use crate::money::Neuron;
use crate::voucher::SignedVoucher;

/// The chain's state behind its lock.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) options: SimOptions,
    pub(super) faults: Faults,
    pub(super) results: Vec<Landed>,
    pub(super) seen: Vec<SignedVoucher>,
    pub(super) pruned_below: u64,
    pub(super) rng: Rng,
    pub(super) down_calls: u32,
    /// Gas is too dear up to this block.
    pub(super) dear_until: u64,
    calls: u32,
    injected: VecDeque<Fault>,
    pool: Vec<Transaction>,
    /// The last blocks, with all that the contracts hold after each; never empty.
    recent: VecDeque<Snapshot>,
    genesis: Snapshot,
    sent: u64,
    forks: u64,
    skipped_secs: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) block: Block,
    pub(super) contracts: Contracts,
    time: u64,
    included: Vec<Transaction>,
}

#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) hash: Digest32,
    work: Work,
    /// The first block that may have it.
    not_before: u64,
    reverts: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Work {
    Act(Action),
    Settle(Vec<SignedVoucher>),
    Register(ServiceParams),
    RemoveService,
}

impl Blocks {
    pub(super) fn new(options: SimOptions) -> Self {
        let rules = Rules {
            provider: options.provider,
            domain: options.domain,
            lock_time_secs: options.lock_time_secs,
            stake: options.stake.get(),
        };
        let contracts = Contracts::new(rules, options.wallet.get());
        let block = Block { number: 0, hash: Digest32::keccak256(b"genesis") };
        let genesis = Snapshot { block, contracts, time: GENESIS_SECS, included: Vec::new() };
        Self {
            options,
            faults: Faults::default(),
            results: Vec::new(),
            seen: Vec::new(),
            pruned_below: 0,
            rng: Rng::new(options.seed),
            down_calls: 0,
            dear_until: 0,
            calls: 0,
            injected: VecDeque::new(),
            pool: Vec::new(),
            recent: VecDeque::new(),
            genesis,
            sent: 0,
            forks: 0,
            skipped_secs: 0,
        }
    }

    pub(super) fn head(&self) -> &Snapshot {
        self.recent.back().unwrap_or(&self.genesis)
    }

    pub(super) fn set_wallet(&mut self, amount: u128) {
        for snapshot in self.recent.iter_mut().chain([&mut self.genesis]) {
            snapshot.contracts.wallet = amount;
        }
    }

    /// The last block with enough blocks on top.
    pub(super) fn last_final(&self) -> &Snapshot {
        let depth = usize::try_from(self.options.confirmations).unwrap_or(usize::MAX);
        self.recent.iter().rev().nth(depth).unwrap_or(&self.genesis)
    }

    /// The time of the next block.
    pub(super) fn now_secs(&self) -> u64 {
        self.head().time.saturating_add(BLOCK_SECS).saturating_add(self.skipped_secs)
    }

    pub(super) const fn advance(&mut self, secs: u64) {
        self.skipped_secs = self.skipped_secs.saturating_add(secs);
    }

    /// What the contract would answer to this in the next block.
    pub(super) fn try_now(&self, action: &Action) -> Result<(), ChainError> {
        self.head().contracts.clone().act(action, self.now_secs())
    }

    /// Puts a transaction into the pool, for a block at least so many after the next.
    pub(super) fn send(&mut self, work: Work, delay: u64) -> Digest32 {
        self.send_as(work, delay, false)
    }

    pub(super) fn send_as(&mut self, work: Work, delay: u64, reverts: bool) -> Digest32 {
        let hash = self.next_hash();
        let not_before = self.head().block.number.saturating_add(1).saturating_add(delay);
        self.pool.push(Transaction { hash, work, not_before, reverts });
        hash
    }

    /// A hash under which nothing is ever mined.
    pub(super) fn next_hash(&mut self) -> Digest32 {
        self.sent = self.sent.saturating_add(1);
        let sent = self.sent.to_be_bytes();
        Framed::new("broker-core.testing.transaction").part(&sent).finish()
    }

    pub(super) fn is_mined(&self, hash: &Digest32) -> bool {
        !self.pool.iter().any(|transaction| transaction.hash == *hash)
    }

    /// A call of the wallet's client: with a ticking pace it may bring a block.
    pub(super) fn tick(&mut self) {
        self.calls = self.calls.saturating_add(1);
        let Pace::Ticking(calls) = self.options.pace else { return };
        if self.calls.checked_rem(calls).is_none_or(|rest| rest == 0) {
            self.mine();
        }
    }

    /// With an instant pace, makes what was sent final.
    pub(super) fn pace_write(&mut self) {
        if self.options.pace == Pace::Instant {
            for _ in 0..=self.options.confirmations {
                self.mine();
            }
        }
    }

    /// Makes a block, and lets the weather have its way.
    pub(super) fn mine(&mut self) {
        self.mine_one();
        let Faults { reorg, spike, host, .. } = self.faults;
        if self.rng.chance(host) {
            let voucher = self.rng.pick(&self.seen).copied();
            if let Some(voucher) = voucher {
                self.send(Work::Settle(vec![voucher]), 0);
            }
        }
        if self.rng.chance(spike) {
            let blocks = self.rng.below(SPIKE_BLOCKS_MAX);
            self.inject(Fault::GasSpike(blocks));
        }
        if self.rng.chance(reorg) {
            let depth = self.rng.below(REORG_DEPTH_MAX).saturating_add(1);
            self.reorg(depth);
        }
    }

    pub(super) fn reorg(&mut self, depth: u64) -> u64 {
        let undoable = self.head().block.number.saturating_sub(self.last_final().block.number);
        let depth = depth.min(REORG_DEPTH_MAX).min(undoable);
        if depth == 0 {
            return 0;
        }
        self.forks = self.forks.saturating_add(1);
        let time = self.head().time;
        let mut undone = Vec::new();
        for _ in 0..depth {
            let snapshot = self.recent.pop_back();
            undone.splice(0..0, snapshot.into_iter().flat_map(|snapshot| snapshot.included));
        }
        let head = self.head().block.number;
        self.results.retain(|item| item.block.number <= head);
        for mut transaction in undone {
            // Some nodes forget what they had mined. Whoever sent it has to send it again.
            let is_lost = self.faults.reorg > 0 && self.rng.chance(LOST_PERMILLE);
            if is_lost && matches!(transaction.work, Work::Settle(_)) {
                continue;
            }
            // The new branch has it where it likes, or later.
            transaction.not_before =
                head.saturating_add(1).saturating_add(self.rng.below(depth.saturating_add(2)));
            self.pool.push(transaction);
        }
        for _ in 0..=depth {
            self.mine_one();
        }
        // Time does not run backwards with it.
        let lost = time.saturating_sub(self.head().time);
        self.skipped_secs = self.skipped_secs.saturating_add(lost);
        depth
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Down(calls) => self.down_calls = calls,
            Fault::GasSpike(blocks) => {
                self.dear_until = self.head().block.number.saturating_add(blocks);
            }
            fault => self.injected.push_back(fault),
        }
    }

    /// The fault that what is sent now meets.
    pub(super) fn draw_fault(&mut self) -> Option<Fault> {
        let send = self.faults.send;
        self.injected
            .pop_front()
            .or_else(|| self.rng.chance(send).then(|| self.rng.fault_of_sending()))
    }

    pub(super) fn calm(&mut self) {
        self.faults = Faults::default();
        self.injected.clear();
        (self.down_calls, self.dear_until, self.pruned_below) = (0, 0, 0);
        for transaction in &mut self.pool {
            transaction.not_before = 0;
        }
    }

    pub(super) fn gas_is_dear(&self) -> bool {
        self.dear_until > self.head().block.number
    }

    pub(super) fn gas_of(&self, batch: &[SignedVoucher]) -> u64 {
        let contracts = &self.head().contracts;
        batch.iter().fold(GAS_BASE, |gas, signed| {
            let fresh = contracts.is_fresh(&signed.voucher.user);
            gas.saturating_add(if fresh { GAS_FRESH } else { GAS_WARM })
        })
    }

    fn mine_one(&mut self) {
        let head = self.head();
        let number = head.block.number.saturating_add(1);
        let hash = Framed::new("broker-core.testing.block")
            .part(&head.block.hash.0)
            .part(&number.to_be_bytes())
            .part(&self.forks.to_be_bytes())
            .finish();
        let block = Block { number, hash };
        let mut contracts = head.contracts.clone();
        let time = self.now_secs();
        self.skipped_secs = 0;
        let mut included = Vec::new();
        let mut gas_left = self.options.block_gas;
        for transaction in std::mem::take(&mut self.pool) {
            let gas = match &transaction.work {
                Work::Settle(batch) => self.gas_of(batch),
                _ => GAS_BASE,
            };
            // Nothing is bigger than a block: what does not fit waits for the next.
            let Some(rest) = gas_left.checked_sub(gas).filter(|_| transaction.not_before <= number)
            else {
                self.pool.push(transaction);
                continue;
            };
            gas_left = rest;
            self.execute(&transaction, &mut contracts, block, time, gas);
            included.push(transaction);
        }
        self.recent.push_back(Snapshot { block, contracts, time, included });
        while self.recent.len() > RECENT_BLOCKS_MAX.max(self.deepest()) {
            self.recent.pop_front();
        }
    }

    /// Blocks that have to be kept to know the last final one.
    fn deepest(&self) -> usize {
        usize::try_from(self.options.confirmations).unwrap_or(usize::MAX).saturating_add(1)
    }

    fn execute(
        &mut self,
        transaction: &Transaction,
        contracts: &mut Contracts,
        block: Block,
        time: u64,
        gas: u64,
    ) {
        if !matches!(transaction.work, Work::Act(_)) {
            let cost = self.options.gas_price.get().saturating_mul(u128::from(gas));
            contracts.wallet = contracts.wallet.saturating_sub(cost);
        }
        if transaction.reverts {
            return;
        }
        // What the contract refuses reverts: it does nothing, as on a real chain.
        match &transaction.work {
            Work::Act(action) => contracts.act(action, time).unwrap_or_default(),
            Work::Register(params) => contracts.register(params).unwrap_or_default(),
            Work::RemoveService => contracts.remove_service().unwrap_or_default(),
            Work::Settle(batch) => {
                for voucher in batch {
                    let (status, paid, unsettled) = contracts.settle(voucher);
                    self.results.push(Landed {
                        voucher: *voucher,
                        status,
                        paid: Neuron::new(paid),
                        unsettled: Neuron::new(unsettled),
                        block,
                        transaction: transaction.hash,
                    });
                }
            }
        }
    }
}

/// Deepest reorganisation.
const REORG_DEPTH_MAX: u64 = 12;
/// How many of the vouchers in undone blocks are lost where the weather brings reorganisations.
const LOST_PERMILLE: u32 = 250;
const SPIKE_BLOCKS_MAX: u64 = 10;
/// Blocks whose contents are kept.
const RECENT_BLOCKS_MAX: usize = 64;
const BLOCK_SECS: u64 = 2;
const GENESIS_SECS: u64 = 1_700_000_000;
/// As measured on the real contracts.
const GAS_BASE: u64 = 56_000;
const GAS_WARM: u64 = 58_500;
const GAS_FRESH: u64 = 73_500;
