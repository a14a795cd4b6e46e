//! What became of a voucher: positive evidence from final blocks, or nothing.
//!
//! The contract's event names the user, a status and what stayed unpaid; no provider, no nonce and
//! no hash. So the transaction that emitted it is read too: its k-th item is what the contract's
//! k-th event in that transaction is about.

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolEvent};
use tokio::time::sleep;

use crate::chain::evm::EvmChain;
use crate::chain::evm::abi::{Settlement, TEESettlementResult, settleFeesWithTEECall};
use crate::chain::evm::node::{Log, Receipt};
use crate::chain::evm::quantity::neuron;
use crate::chain::evm::rpc::RpcError;
use crate::chain::{Block, ChainError, Landing, Payment};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::voucher::{SignedVoucher, Voucher};

/// An item with the voucher's user, provider and nonce that the contract took.
struct Taken {
    item: Settlement,
    unsettled: U256,
    block: Block,
    transaction: Digest32,
}

impl EvmChain {
    pub(super) async fn find_landing(
        &self,
        voucher: SignedVoucher,
        since: u64,
    ) -> Result<Landing, ChainError> {
        let voucher = voucher.voucher;
        let view = self.view_account(voucher.user).await?;
        let Some(escrow) = view.settled.filter(|escrow| escrow.nonce >= voucher.nonce) else {
            return Ok(Landing::NotYet);
        };
        let nonce = escrow.nonce;
        for look in 1..=LOOKS {
            if let Some(taken) = self.find_taken(&voucher, since, view.block.number).await? {
                return match paid(&voucher, &taken)? {
                    Some(paid) => Ok(Landing::Paid(Payment {
                        paid,
                        cover: view.cover(),
                        block: taken.block,
                        transaction: taken.transaction,
                    })),
                    None => Ok(Landing::Other { nonce }),
                };
            }
            // Behind one address may be several nodes, and the one that answers may lag.
            if look < LOOKS {
                sleep(self.pause()).await;
            }
        }
        // No voucher of ours can have a later one while this is open: whatever took it, this one
        // was jumped over, or nobody can tell any more.
        Ok(if nonce > voucher.nonce {
            Landing::Other { nonce }
        } else {
            Landing::Unknown { nonce }
        })
    }

    /// Looks backwards from block `to`: what is asked for is seldom old.
    async fn find_taken(
        &self,
        voucher: &Voucher,
        since: u64,
        to: u64,
    ) -> Result<Option<Taken>, ChainError> {
        let mut user = Digest32::default();
        user.0.split_at_mut(12).1.copy_from_slice(voucher.user.as_bytes());
        let topics = [Digest32(TEESettlementResult::SIGNATURE_HASH.0), user];
        let (mut end, mut width, mut width_max) = (to, LOG_BLOCKS_MAX, LOG_BLOCKS_MAX);
        let mut requests = 0..LOG_REQUESTS_MAX;
        while end >= since {
            if requests.next().is_none() {
                return Err(ChainError::Node(format!(
                    "the events from block {since} to {end} are more than {LOG_REQUESTS_MAX} \
                     requests away: use a node that shows more blocks at once"
                )));
            }
            let begin = end.saturating_sub(width.saturating_sub(1)).max(since);
            match self.rpc.logs(self.config.contract, &topics, (begin, end)).await {
                Ok(logs) => {
                    let taken = self.taken_in(voucher, &logs, (begin, end)).await?;
                    if taken.is_some() || begin == 0 {
                        return Ok(taken);
                    }
                    end = begin.saturating_sub(1);
                    width = width.saturating_mul(2).min(width_max);
                }
                // Every provider has a limit of its own, and words of its own for it.
                Err(error) if begin < end && may_be_too_much(&error, width) => {
                    width = end.abs_diff(begin).saturating_add(1) / 2;
                    // What took too long takes as long again.
                    if matches!(error, RpcError::Unreachable(_)) {
                        width_max = width;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    async fn taken_in(
        &self,
        voucher: &Voucher,
        logs: &[Log],
        range: (u64, u64),
    ) -> Result<Option<Taken>, ChainError> {
        let mut hashes: Vec<_> = logs.iter().rev().map(|log| log.transaction).collect();
        hashes.dedup();
        for hash in hashes {
            if let Some(taken) = self.taken_by(voucher, hash, range).await? {
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// The voucher's item in the transaction `hash`, if the contract took it there.
    async fn taken_by(
        &self,
        voucher: &Voucher,
        hash: Digest32,
        (begin, end): (u64, u64),
    ) -> Result<Option<Taken>, ChainError> {
        let Some(sent) = self.rpc.transaction(hash).await? else { return Ok(None) };
        if sent.from != voucher.provider || sent.to != Some(self.config.contract) {
            return Ok(None);
        }
        let Ok(call) = settleFeesWithTEECall::abi_decode(&sent.input) else { return Ok(None) };
        let Some(receipt) = self.rpc.receipt(hash).await? else { return Ok(None) };
        if !receipt.succeeded || !(begin..=end).contains(&receipt.block.number) {
            return Ok(None);
        }
        let results = self.results(&receipt);
        if results.len() != call.settlements.len() {
            tracing::warn!(transaction = %hash, "not one event for each item: it tells nothing");
            return Ok(None);
        }
        let pairs = call.settlements.into_iter().zip(&results);
        let ours = |(item, result): &(Settlement, &TEESettlementResult)| {
            item.user == result.user
                && item.user.0 == *voucher.user.as_bytes()
                && item.provider.0 == voucher.provider.0
                && item.nonce == U256::from(voucher.nonce)
                && matches!(result.status, SUCCESS | PARTIAL)
        };
        Ok(pairs.into_iter().find(ours).map(|(item, result)| Taken {
            item,
            unsettled: if result.status == PARTIAL { result.unsettledAmount } else { U256::ZERO },
            block: receipt.block,
            transaction: hash,
        }))
    }

    /// What the contract said of each item, in their order.
    fn results(&self, receipt: &Receipt) -> Vec<TEESettlementResult> {
        let ours = receipt.logs.iter().filter(|log| log.contract == self.config.contract);
        ours.filter_map(|log| {
            let topics = log.topics.iter().map(|topic| topic.0);
            TEESettlementResult::decode_raw_log(topics, &log.data).ok()
        })
        .collect()
    }
}

/// Whether fewer blocks may be answered. A node that says nothing is asked a few times only.
fn may_be_too_much(error: &RpcError, width: u64) -> bool {
    !matches!(error, RpcError::Unreachable(_)) || width > LOG_BLOCKS_SLOW
}

/// What the contract paid, where the item is this voucher. The signature may differ: it pays the
/// same.
fn paid(voucher: &Voucher, taken: &Taken) -> Result<Option<Neuron>, ChainError> {
    let total = voucher.total;
    if taken.item.requestsHash.0 != voucher.requests_hash.0
        || taken.item.totalFee != U256::from(total.get())
    {
        return Ok(None);
    }
    let paid = neuron(taken.unsettled).and_then(|unsettled| total.checked_sub(unsettled));
    paid.map(Some).ok_or_else(|| {
        let unsettled = taken.unsettled;
        ChainError::Node(format!("of {total} neuron {unsettled} are to be unpaid: that cannot be"))
    })
}

/// The contract took the item and paid all of it.
const SUCCESS: u8 = 0;
/// The contract took the item and paid what there was.
const PARTIAL: u8 = 1;
/// Blocks whose logs are asked for at once.
const LOG_BLOCKS_MAX: u64 = 5_000;
/// A node that is too slow for so many is too slow.
const LOG_BLOCKS_SLOW: u64 = 1_000;
/// Requests for logs in one search. What is asked for is nearly always in the first.
const LOG_REQUESTS_MAX: u32 = 400;
/// How often an event is looked for before it counts as not to be found.
const LOOKS: u32 = 3;
