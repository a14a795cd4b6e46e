//! What the contract holds, at one block.

use alloy_primitives::U256;
use alloy_sol_types::SolCall;

use crate::account::UserId;
use crate::chain::evm::EvmChain;
use crate::chain::evm::abi::{
    self, InferenceServingErrors as Reason, MIN_PROVIDER_STAKECall, getAccountCall, getServiceCall,
    ledgerAddressCall, lockTimeCall,
};
use crate::chain::evm::quantity::neuron;
use crate::chain::evm::revert::verdict;
use crate::chain::evm::rpc::RpcError;
use crate::chain::{AccountView, Block, ChainError, Escrow, Service, ServiceParams, Terms};
use crate::money::Neuron;
use crate::signer::Address;

impl EvmChain {
    /// Whether the node is of the configured chain, and the configured address an InferenceServing
    /// contract.
    ///
    /// # Errors
    /// [`ChainError::WrongNetwork`] where it is not, which says what differs; any other error where
    /// the node did not tell.
    pub async fn check(&self) -> Result<(), ChainError> {
        self.check_chain_id().await?;
        let latest = self.rpc.latest().await?.block;
        self.probe("lockTime()", lockTimeCall {}, latest).await?;
        self.probe("MIN_PROVIDER_STAKE()", MIN_PROVIDER_STAKECall {}, latest).await?;
        self.probe("ledgerAddress()", ledgerAddressCall {}, latest).await
    }

    async fn check_chain_id(&self) -> Result<(), ChainError> {
        let (seen, wanted) = (self.rpc.chain_id().await?, self.config.chain_id);
        if seen == wanted {
            return Ok(());
        }
        Err(ChainError::WrongNetwork(format!(
            "network.chainID is {wanted}, and the node at {} is of chain {seen}",
            self.rpc.origin()
        )))
    }

    async fn probe<C: SolCall>(&self, name: &str, call: C, at: Block) -> Result<(), ChainError> {
        let none = || {
            ChainError::WrongNetwork(format!(
                "the contract at network.contractAddress, {}, does not answer {name}: it is no \
                 InferenceServing contract",
                self.config.contract
            ))
        };
        match self.rpc.view(self.config.contract, &call.abi_encode(), at.number).await {
            Ok(bytes) if bytes.is_empty() => Err(self.no_contract(at).await?.unwrap_or_else(none)),
            Ok(bytes) => C::abi_decode_returns(&bytes).map(drop).map_err(|_| none()),
            Err(RpcError::Refused(refused)) if refused.is_revert() => Err(none()),
            Err(error) => Err(error.into()),
        }
    }

    /// The error that no contract is there, if none is.
    async fn no_contract(&self, at: Block) -> Result<Option<ChainError>, ChainError> {
        let contract = self.config.contract;
        let missing = !self.rpc.has_code(contract, at.number).await?;
        Ok(missing.then(|| {
            ChainError::WrongNetwork(format!(
                "no contract is at network.contractAddress, {contract}, on chain {}",
                self.config.chain_id
            ))
        }))
    }

    /// The latest block, and the last one that has enough on top of it.
    pub(super) async fn blocks(&self) -> Result<(Block, Block), ChainError> {
        let latest = self.rpc.latest().await?.block;
        if self.config.confirmations == 0 {
            return Ok((latest, latest));
        }
        let last_final = latest.number.saturating_sub(self.config.confirmations);
        Ok((latest, self.rpc.block(last_final).await?))
    }

    pub(super) async fn view_account(&self, user: UserId) -> Result<AccountView, ChainError> {
        let (newest, block) = self.blocks().await?;
        let (latest, settled) =
            tokio::try_join!(self.escrow(user, newest, true), self.escrow(user, block, false))?;
        Ok(AccountView { latest, settled, block })
    }

    /// The escrow at one block. The contract itself may be younger than the block, unless it
    /// `must_exist`.
    async fn escrow(
        &self,
        user: UserId,
        at: Block,
        must_exist: bool,
    ) -> Result<Option<Escrow>, ChainError> {
        let call = getAccountCall {
            user: (*user.as_bytes()).into(),
            provider: self.provider_address().0.into(),
        };
        match self.rpc.view(self.config.contract, &call.abi_encode(), at.number).await {
            Ok(bytes) if bytes.is_empty() => match self.no_contract(at).await? {
                Some(missing) if must_exist => Err(missing),
                Some(_) => Ok(None),
                None => Err(odd("getAccount")),
            },
            Ok(bytes) => {
                let account = getAccountCall::abi_decode_returns(&bytes);
                escrow(&account.map_err(|_| odd("getAccount"))?).map(Some)
            }
            Err(RpcError::Refused(refused))
                if matches!(refused.reason(), Some(Reason::AccountNotExists(_))) =>
            {
                Ok(None)
            }
            Err(error) => Err(verdict(error)),
        }
    }

    pub(super) async fn view_service(&self) -> Result<Option<Service>, ChainError> {
        let at = self.rpc.latest().await?.block;
        let call = getServiceCall { provider: self.provider_address().0.into() };
        match self.rpc.view(self.config.contract, &call.abi_encode(), at.number).await {
            Ok(bytes) if bytes.is_empty() => {
                Err(self.no_contract(at).await?.unwrap_or_else(|| odd("getService")))
            }
            Ok(bytes) => {
                let found = getServiceCall::abi_decode_returns(&bytes);
                service(found.map_err(|_| odd("getService"))?).map(Some)
            }
            Err(RpcError::Refused(refused))
                if matches!(refused.reason(), Some(Reason::ServiceNotExist(_))) =>
            {
                Ok(None)
            }
            Err(error) => Err(verdict(error)),
        }
    }

    /// Asks for the chain's id too: a node that was away at the start may be of another one.
    pub(super) async fn view_terms(&self) -> Result<Terms, ChainError> {
        self.check_chain_id().await?;
        let (latest, last_final) = self.blocks().await?;
        let at = latest.number;
        let (lock_time, stake, wallet, price) = tokio::try_join!(
            self.number(lockTimeCall {}.abi_encode(), at),
            self.number(MIN_PROVIDER_STAKECall {}.abi_encode(), at),
            async { Ok(self.rpc.balance(self.provider_address()).await?) },
            async { Ok(self.rpc.gas_price().await?) },
        )?;
        Ok(Terms {
            latest,
            last_final,
            lock_time_secs: lock_time.saturating_to(),
            stake: amount(stake)?,
            wallet,
            gas_price: price,
            gas_price_max: self.config.max_gas_price,
        })
    }

    /// What a first registration sends.
    pub(super) async fn stake(&self) -> Result<Neuron, ChainError> {
        let latest = self.rpc.latest().await?.block.number;
        amount(self.number(MIN_PROVIDER_STAKECall {}.abi_encode(), latest).await?)
    }

    async fn number(&self, call: Vec<u8>, block: u64) -> Result<U256, ChainError> {
        let bytes = self.rpc.view(self.config.contract, &call, block).await.map_err(verdict)?;
        U256::try_from_be_slice(&bytes)
            .filter(|_| bytes.len() == 32)
            .ok_or_else(|| odd("a number of the contract"))
    }
}

fn escrow(account: &abi::Account) -> Result<Escrow, ChainError> {
    let valid = account.validRefundsLength.saturating_to();
    let open = account.refunds.iter().take(valid).filter(|refund| !refund.processed);
    Ok(Escrow {
        balance: amount(account.balance)?,
        pending_refund: amount(account.pendingRefund)?,
        refund_since: open.map(|refund| refund.createdAt.saturating_to()).min(),
        nonce: account.nonce.saturating_to(),
        acknowledged: account.acknowledged,
        generation: account.generation.saturating_to(),
        revoked: account.revokedBitmap.to_be_bytes(),
    })
}

fn service(found: abi::RegisteredService) -> Result<Service, ChainError> {
    Ok(Service {
        params: ServiceParams {
            kind: found.serviceType,
            url: found.url,
            model: found.model,
            verifiability: found.verifiability,
            input_price: amount(found.inputPrice)?,
            output_price: amount(found.outputPrice)?,
            additional_info: found.additionalInfo,
            tee_signer: Address(found.teeSignerAddress.into_array()),
        },
        tee_signer_acknowledged: found.teeSignerAcknowledged,
    })
}

fn amount(number: U256) -> Result<Neuron, ChainError> {
    let above = || ChainError::Node(format!("an amount of {number} neuron is above 2^128-1"));
    neuron(number).ok_or_else(above)
}

fn odd(what: &str) -> ChainError {
    ChainError::Node(format!("{what} is answered with something else"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refund(created_at: u64, processed: bool) -> abi::Refund {
        let created_at = U256::from(created_at);
        abi::Refund { index: U256::ZERO, amount: U256::ONE, createdAt: created_at, processed }
    }

    fn account() -> abi::Account {
        abi::Account {
            user: [1; 20].into(),
            provider: [2; 20].into(),
            nonce: U256::from(7),
            balance: U256::from(10),
            pendingRefund: U256::from(4),
            refunds: vec![refund(50, true), refund(70, false), refund(60, false), refund(5, false)],
            additionalInfo: String::new(),
            acknowledged: true,
            validRefundsLength: U256::from(3),
            generation: U256::from(2),
            revokedBitmap: U256::from(2),
        }
    }

    #[test]
    fn the_oldest_open_refund_among_the_valid_ones_counts() {
        let seen = escrow(&account()).unwrap();
        assert_eq!(seen.refund_since, Some(60));
        assert_eq!((seen.nonce, seen.generation), (7, 2));
        assert!(seen.is_revoked(1) && !seen.is_revoked(0));

        let none = abi::Account { validRefundsLength: U256::from(1), ..account() };
        assert_eq!(escrow(&none).unwrap().refund_since, None);
    }

    #[test]
    fn counters_stop_at_their_end_and_money_does_not() {
        let poisoned = abi::Account { nonce: U256::MAX, generation: U256::MAX, ..account() };
        let seen = escrow(&poisoned).unwrap();
        assert_eq!((seen.nonce, seen.generation), (u64::MAX, u64::MAX));

        let rich = abi::Account { balance: U256::MAX, ..account() };
        assert!(matches!(escrow(&rich), Err(ChainError::Node(_))));
    }
}
