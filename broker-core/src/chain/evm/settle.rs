//! Sending vouchers, in as few transactions as the network takes.

use std::collections::VecDeque;

use alloy_primitives::U256;
use alloy_sol_types::SolCall;

use crate::chain::evm::EvmChain;
use crate::chain::evm::abi::{Settlement, settleFeesWithTEECall};
use crate::chain::evm::node::Draft;
use crate::chain::evm::revert::verdict;
use crate::chain::evm::rpc::RpcError;
use crate::chain::evm::wallet::Memory;
use crate::chain::{BATCH_VOUCHERS_MAX, ChainError, Verdict};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::voucher::SignedVoucher;

/// What to do with some vouchers.
enum Plan {
    /// Send them with so much gas.
    Send { gas: u64 },
    /// They do not go in one transaction.
    Split(ChainError),
}

impl EvmChain {
    /// The gas that settling `batch` takes.
    pub(super) async fn estimate(&self, batch: &[SignedVoucher]) -> Result<u64, ChainError> {
        self.rpc.estimate(&self.settlement(batch)).await.map_err(verdict)
    }

    /// What the contract would answer to a transaction with `batch`.
    pub(super) async fn verdicts(
        &self,
        batch: &[SignedVoucher],
    ) -> Result<Vec<Verdict>, ChainError> {
        let answer = self.rpc.rehearse(&self.settlement(batch)).await.map_err(verdict)?;
        let statuses = settleFeesWithTEECall::abi_decode_returns(&answer);
        let statuses = statuses.map_err(|_| ChainError::Node(NO_STATUSES.to_owned()))?;
        if statuses.len() != batch.len() {
            return Err(ChainError::Node(NO_STATUSES.to_owned()));
        }
        Ok(statuses.into_iter().map(Verdict::of).collect())
    }

    /// Sends every voucher that can be sent. What one voucher suffers stops no other; a node that
    /// is away and a wallet that cannot pay stop the rest.
    ///
    /// # Errors
    /// The first that a voucher met. Some may be mined all the same.
    pub(super) async fn settle(
        &self,
        batch: &[SignedVoucher],
    ) -> Result<Vec<Digest32>, ChainError> {
        let mut memory = self.wallet.turn.lock().await;
        let mut parts: VecDeque<_> = batch.chunks(BATCH_VOUCHERS_MAX).collect();
        let mut mined = Vec::new();
        let mut failure = None;
        while let Some(part) = parts.pop_front() {
            match self.settle_part(&mut memory, part, &mut parts).await {
                Ok(transaction) => mined.extend(transaction),
                Err(error) => {
                    tracing::warn!(%error, vouchers = part.len(), "vouchers did not settle");
                    let stops = !matches!(error, ChainError::Reverted(_));
                    failure = failure.or(Some(error));
                    if stops {
                        break;
                    }
                }
            }
        }
        failure.map_or(Ok(mined), Err)
    }

    /// Sends `part`, or puts its halves before the other `parts`.
    async fn settle_part<'a>(
        &self,
        memory: &mut Memory,
        part: &'a [SignedVoucher],
        parts: &mut VecDeque<&'a [SignedVoucher]>,
    ) -> Result<Option<Digest32>, ChainError> {
        let vacancy = self.vacancy().await?;
        let draft = self.settlement(part);
        match self.plan(&draft).await? {
            Plan::Send { gas } => {
                let mined = self.transact(memory, vacancy, &draft, gas).await?;
                tracing::info!(transaction = %mined.hash, vouchers = part.len(), "mined");
                Ok(Some(mined.hash))
            }
            Plan::Split(error) if part.len() <= 1 => Err(error),
            Plan::Split(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push_front(second);
                parts.push_front(first);
                Ok(None)
            }
        }
    }

    async fn plan(&self, draft: &Draft) -> Result<Plan, ChainError> {
        let limit = self.rpc.latest().await?.gas_limit;
        match self.rpc.estimate(draft).await {
            Ok(gas) if gas > limit => Ok(Plan::Split(ChainError::Reverted(format!(
                "a voucher takes {gas} units of gas, and a block has {limit}"
            )))),
            Ok(gas) => Ok(Plan::Send { gas: with_margin(gas).min(limit) }),
            Err(RpcError::Refused(refused)) if refused.is_out_of_gas() => {
                Ok(Plan::Split(ChainError::Reverted(format!(
                    "a voucher takes more gas than the node allows: {}",
                    refused.message
                ))))
            }
            // One that cannot go must not keep the others.
            Err(RpcError::Refused(refused)) if refused.is_revert() => {
                Ok(Plan::Split(verdict(RpcError::Refused(refused))))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn settlement(&self, batch: &[SignedVoucher]) -> Draft {
        let settlements = batch.iter().map(item).collect();
        Draft {
            from: self.provider_address(),
            to: self.config.contract,
            value: Neuron::ZERO,
            data: settleFeesWithTEECall { settlements }.abi_encode(),
        }
    }
}

/// A fifth more: the state that a transaction meets is a little later than what was estimated on.
pub(super) fn with_margin(gas: u64) -> u64 {
    gas.saturating_add(gas / 5)
}

fn item(signed: &SignedVoucher) -> Settlement {
    let voucher = &signed.voucher;
    Settlement {
        user: (*voucher.user.as_bytes()).into(),
        provider: voucher.provider.0.into(),
        totalFee: U256::from(voucher.total.get()),
        requestsHash: voucher.requests_hash.0.into(),
        nonce: U256::from(voucher.nonce),
        signature: signed.signature.0.to_vec().into(),
    }
}

const NO_STATUSES: &str = "the contract does not answer with a status for each voucher";
