//! What a transaction settled, for whoever checks an invoice: reads only, and of one node, which is
//! believed in what it shows of the chain.

use std::time::Duration;

use alloy_primitives::U256;
use alloy_sol_types::{SolCall, SolEvent};

use super::abi::{Settlement, TEESettlementResult, settleFeesWithTEECall};
use super::quantity::neuron;
use super::rpc::Rpc;
use crate::account::UserId;
use crate::chain::{Block, ChainError};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::Address;
use crate::verify::Settled;

/// A transaction that called `settleFeesWithTEE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledTransaction {
    /// The chain that the node says it is of.
    pub chain_id: u64,
    /// The contract that was called.
    pub contract: Address,
    /// The block that it is in.
    pub block: Block,
    /// Its vouchers, in their order.
    pub items: Vec<SettledItem>,
}

/// One voucher and what the contract made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledItem {
    /// The voucher. What it carries over from the one before it, no chain shows.
    pub settled: Settled,
    /// What was paid, in neuron; `None` where the contract did not take it.
    pub paid: Option<Neuron>,
}

/// Reads the vouchers of a transaction. `None` where the node knows no such transaction in a block.
///
/// # Errors
/// The node cannot be reached, or the transaction is none that settles fees.
pub async fn settled_in(
    client: reqwest::Client,
    url: &str,
    patience: Duration,
    transaction: Digest32,
) -> Result<Option<SettledTransaction>, ChainError> {
    let rpc = Rpc::new(client, url, patience);
    let Some(sent) = rpc.transaction(transaction).await? else { return Ok(None) };
    let Some(receipt) = rpc.receipt(transaction).await? else { return Ok(None) };
    let chain_id = rpc.chain_id().await?;
    let other = |what: &str| ChainError::Node(format!("the transaction {what}"));
    let contract = sent.to.ok_or_else(|| other("calls no contract"))?;
    let call = settleFeesWithTEECall::abi_decode(&sent.input);
    let call = call.map_err(|_| other("does not settle fees"))?;
    let logs = receipt.logs.iter().filter(|log| log.contract == contract);
    let results: Vec<_> = logs
        .filter_map(|log| {
            let topics = log.topics.iter().map(|topic| topic.0);
            TEESettlementResult::decode_raw_log(topics, &log.data).ok()
        })
        .collect();
    if receipt.succeeded && results.len() != call.settlements.len() {
        return Err(other("left not one event for each voucher"));
    }
    let mut results = results.iter();
    let mut items = Vec::new();
    for item in &call.settlements {
        let result = results.next().filter(|_| receipt.succeeded);
        let settled = read(item).ok_or_else(|| other("settles more than there is money"))?;
        items.push(SettledItem { settled, paid: result.and_then(|result| paid(item, result)) });
    }
    Ok(Some(SettledTransaction { chain_id, contract, block: receipt.block, items }))
}

fn read(item: &Settlement) -> Option<Settled> {
    Some(Settled {
        user: UserId::new(item.user.into_array()),
        provider: Address(item.provider.into_array()),
        total: neuron(item.totalFee)?,
        requests_hash: Digest32(item.requestsHash.0),
        nonce: u64::try_from(item.nonce).ok()?,
        carry: Neuron::ZERO,
    })
}

/// What the contract paid; `None` where it did not take the voucher.
fn paid(item: &Settlement, result: &TEESettlementResult) -> Option<Neuron> {
    let unsettled = match result.status {
        _ if result.user != item.user => return None,
        SUCCESS => U256::ZERO,
        PARTIAL => result.unsettledAmount,
        _ => return None,
    };
    neuron(item.totalFee)?.checked_sub(neuron(unsettled)?)
}

/// The contract took the item and paid all of it.
const SUCCESS: u8 = 0;
/// The contract took the item and paid what there was.
const PARTIAL: u8 = 1;
