//! The simulator as a [`Chain`]. Every call waits at least twice, so that a future dropped at any
//! of these points is a crash at it: before anything happened, or with the answer on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::blocks::{Blocks, Work};
use super::{Fault, SimChain};
use crate::account::UserId;
use crate::chain::{
    AccountView, BATCH_VOUCHERS_MAX, Chain, ChainError, ChainFuture, Landing, Payment, Service,
    ServiceParams, Terms, Verdict,
};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::Address;
use crate::voucher::{Domain, SignedVoucher, Voucher};

impl Chain for SimChain {
    fn domain(&self) -> Domain {
        self.options.domain
    }

    fn provider(&self) -> Address {
        self.options.provider
    }

    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView> {
        self.call(move |state| Ok(state.view(&user)))
    }

    fn service(&self) -> ChainFuture<'_, Option<Service>> {
        self.call(|state| Ok(state.head().contracts.service.clone()))
    }

    fn terms(&self) -> ChainFuture<'_, Terms> {
        self.call(|state| Ok(state.terms()))
    }

    fn gas(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, u64> {
        self.call(move |state| {
            state.remember(&batch);
            match batch.len() {
                0 => Err(ChainError::Reverted("NoSettlementsProvided".to_owned())),
                1..=BATCH_VOUCHERS_MAX => Ok(state.gas_of(&batch)),
                _ => Err(ChainError::Reverted("TooManySettlements".to_owned())),
            }
        })
    }

    fn rehearse(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Verdict>> {
        self.call(move |state| {
            state.remember(&batch);
            let mut contracts = state.head().contracts.clone();
            let statuses = batch.iter().map(|voucher| contracts.settle(voucher).0);
            Ok(statuses.map(|status| Verdict::of(status as u8)).collect())
        })
    }

    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
        Box::pin(async move {
            let hashes = self.call(move |state| state.submit(batch)).await?;
            self.wait_for(&hashes, 0, SUBMIT_TURNS).await;
            Ok(hashes)
        })
    }

    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing> {
        self.call(move |state| Ok(state.landing(&voucher, since)))
    }

    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32> {
        self.write(Work::Register(service))
    }

    fn remove_service(&self) -> ChainFuture<'_, Digest32> {
        self.write(Work::RemoveService)
    }
}

impl SimChain {
    fn call<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Blocks) -> Result<T, ChainError> + Send + 'a,
    ) -> ChainFuture<'a, T> {
        Box::pin(async move {
            pause().await;
            let answer = {
                let mut state = self.lock();
                state.tick();
                state.reach().and_then(|()| work(&mut state))
            };
            pause().await;
            answer
        })
    }

    fn write(&self, work: Work) -> ChainFuture<'_, Digest32> {
        Box::pin(async move {
            let hash = self.call(move |state| state.send_service(work)).await?;
            if !self.wait_for(&[hash], self.options.confirmations, SERVICE_TURNS).await {
                return Err(ChainError::Pending(hash));
            }
            Ok(hash)
        })
    }

    /// Waits a while for transactions to be mined, and for blocks on top: whether that was enough.
    async fn wait_for(&self, hashes: &[Digest32], blocks: u64, turns: u32) -> bool {
        let mut mined_at = None;
        for _ in 0..turns {
            {
                let mut state = self.lock();
                state.tick();
                let head = state.head().block.number;
                if hashes.iter().all(|hash| state.is_mined(hash)) {
                    let mined_at = *mined_at.get_or_insert(head);
                    // What came with an instant pace is final already.
                    let is_instant = self.options.pace == super::Pace::Instant;
                    if is_instant || head.saturating_sub(mined_at) >= blocks {
                        return true;
                    }
                }
            }
            pause().await;
        }
        false
    }
}

impl Blocks {
    /// Whether the node answers now.
    fn reach(&mut self) -> Result<(), ChainError> {
        let down = self.faults.down;
        if self.rng.chance(down) {
            self.down_calls = u32::try_from(self.rng.below(DOWN_CALLS_MAX)).unwrap_or_default();
        }
        if self.down_calls == 0 {
            return Ok(());
        }
        self.down_calls = self.down_calls.saturating_sub(1);
        Err(ChainError::Unreachable("simulated".to_owned()))
    }

    fn view(&self, user: &UserId) -> AccountView {
        let settled = self.last_final();
        AccountView {
            latest: self.head().contracts.escrow(user),
            settled: settled.contracts.escrow(user),
            block: settled.block,
        }
    }

    fn terms(&self) -> Terms {
        let options = &self.options;
        Terms {
            latest: self.head().block,
            last_final: self.last_final().block,
            lock_time_secs: options.lock_time_secs,
            stake: options.stake,
            wallet: Neuron::new(self.head().contracts.wallet),
            gas_price: self.gas_price().min(options.gas_price_max),
        }
    }

    fn gas_price(&self) -> Neuron {
        if self.gas_is_dear() {
            let above = self.options.gas_price_max.checked_add(Neuron::new(1));
            return above.unwrap_or(self.options.gas_price_max);
        }
        self.options.gas_price
    }

    fn remember(&mut self, batch: &[SignedVoucher]) {
        for voucher in batch {
            if !self.seen.contains(voucher) {
                self.seen.push(*voucher);
            }
        }
    }

    fn submit(&mut self, batch: Vec<SignedVoucher>) -> Result<Vec<Digest32>, ChainError> {
        self.remember(&batch);
        let mut hashes = Vec::new();
        let mut rest = batch.as_slice();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(self.fitting(rest));
            self.afford(self.gas_of(part))?;
            hashes.extend(self.send_batch(part)?);
            rest = after;
        }
        self.pace_write();
        Ok(hashes)
    }

    /// How many of these go into one transaction: at least one.
    fn fitting(&self, batch: &[SignedVoucher]) -> usize {
        let most = batch.len().min(BATCH_VOUCHERS_MAX);
        let fits = |count: &usize| {
            let part = batch.get(..*count).unwrap_or_default();
            self.gas_of(part) <= self.options.block_gas
        };
        (1..=most).rev().find(fits).unwrap_or(1)
    }

    /// Sends one transaction, with whatever happens to it; as many hashes as were answered.
    fn send_batch(&mut self, batch: &[SignedVoucher]) -> Result<Vec<Digest32>, ChainError> {
        let settle = |part: &[SignedVoucher]| Work::Settle(part.to_vec());
        Ok(match self.draw_fault() {
            Some(Fault::ErrorBefore) => return Err(node_error()),
            Some(Fault::ErrorAfter) => {
                self.send(settle(batch), 0);
                self.pace_write();
                return Err(node_error());
            }
            Some(Fault::Dropped) => vec![self.next_hash()],
            Some(Fault::Delayed(blocks)) => vec![self.send(settle(batch), blocks)],
            Some(Fault::Duplicated) => {
                vec![self.send(settle(batch), 0), self.send(settle(batch), 0)]
            }
            Some(Fault::Replaced) => {
                self.send(settle(batch), 0);
                vec![self.next_hash()]
            }
            Some(Fault::Reverted) => vec![self.send_as(settle(batch), 0, true)],
            Some(Fault::OutOfGas) => {
                let mut hashes = vec![self.send_as(settle(batch), 0, true)];
                let half = batch.len().div_ceil(2).max(1);
                hashes.extend(batch.chunks(half).map(|part| self.send(settle(part), 0)));
                hashes
            }
            Some(Fault::Down(_) | Fault::GasSpike(_)) | None => vec![self.send(settle(batch), 0)],
        })
    }

    /// Sends a change of the service; of the faults it meets those that an operator would see.
    fn send_service(&mut self, work: Work) -> Result<Digest32, ChainError> {
        self.afford(GAS_SERVICE)?;
        let mut contracts = self.head().contracts.clone();
        match &work {
            Work::Register(params) => {
                let (has, stake) = (contracts.wallet, self.options.stake.get());
                if contracts.service.is_none() && has < stake {
                    return Err(too_poor(has, stake));
                }
                contracts.register(params)?;
            }
            _ => contracts.remove_service()?,
        }
        let hash = match self.draw_fault() {
            Some(Fault::ErrorBefore) => return Err(node_error()),
            Some(Fault::ErrorAfter) => {
                self.send(work, 0);
                self.pace_write();
                return Err(node_error());
            }
            Some(Fault::Delayed(blocks)) => self.send(work, blocks),
            Some(Fault::Reverted) => {
                self.send_as(work, 0, true);
                self.pace_write();
                return Err(ChainError::Reverted("simulated".to_owned()));
            }
            _ => self.send(work, 0),
        };
        self.pace_write();
        Ok(hash)
    }

    fn afford(&self, gas: u64) -> Result<(), ChainError> {
        let (price, cap) = (self.gas_price(), self.options.gas_price_max);
        if price > cap {
            return Err(ChainError::GasTooDear { price, cap });
        }
        let needs = price.get().saturating_mul(u128::from(gas));
        let has = self.head().contracts.wallet;
        if has < needs { Err(too_poor(has, needs)) } else { Ok(()) }
    }

    fn landing(&mut self, signed: &SignedVoucher, since: u64) -> Landing {
        let settled = self.last_final();
        let (last, voucher) = (settled.block.number, &signed.voucher);
        let nonce = settled.contracts.escrow(&voucher.user).map_or(0, |escrow| escrow.nonce);
        if nonce < voucher.nonce {
            return Landing::NotYet;
        }
        let pruned = self.faults.pruned;
        if self.rng.chance(pruned) {
            return Landing::Unknown { nonce };
        }
        let from = since.max(self.pruned_below);
        let taken = self.results.iter().find(|item| {
            let Voucher { user, nonce, .. } = item.voucher.voucher;
            item.status.is_taken()
                && (user, nonce) == (voucher.user, voucher.nonce)
                && (from..=last).contains(&item.block.number)
        });
        match taken {
            // The signature may differ: it pays the same.
            Some(item) if item.voucher.voucher == *voucher => Landing::Paid(Payment {
                paid: item.paid,
                cover: self.view(&voucher.user).cover(),
                block: item.block,
                transaction: item.transaction,
            }),
            Some(_) => Landing::Other { nonce },
            None => Landing::Unknown { nonce },
        }
    }
}

fn node_error() -> ChainError {
    ChainError::Node("simulated".to_owned())
}

fn too_poor(has: u128, needs: u128) -> ChainError {
    let missing = Neuron::new(needs.saturating_sub(has));
    ChainError::TooPoor { has: Neuron::new(has), needs: Neuron::new(needs), missing }
}

/// Waits for its next turn, once.
fn pause() -> Pause {
    Pause { waited: false }
}

struct Pause {
    waited: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.waited {
            return Poll::Ready(());
        }
        self.waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Turns that a call waits for vouchers to be mined.
const SUBMIT_TURNS: u32 = 8;
/// Turns that a call waits for a change of the service to be final.
const SERVICE_TURNS: u32 = 256;
const DOWN_CALLS_MAX: u64 = 6;
const GAS_SERVICE: u64 = 500_000;
