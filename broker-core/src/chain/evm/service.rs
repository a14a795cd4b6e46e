//! Registering the provider's service.

use alloy_primitives::U256;
use alloy_sol_types::SolCall;

use crate::chain::evm::EvmChain;
use crate::chain::evm::abi::{OfferedService, addOrUpdateServiceCall, removeServiceCall};
use crate::chain::evm::node::Draft;
use crate::chain::evm::revert::verdict;
use crate::chain::evm::settle::with_margin;
use crate::chain::evm::wallet::{Memory, Mined, Vacancy};
use crate::chain::{ChainError, ServiceParams};
use crate::digest::Digest32;
use crate::money::Neuron;

impl EvmChain {
    pub(super) async fn offer(&self, service: ServiceParams) -> Result<Digest32, ChainError> {
        let mut memory = self.wallet.turn.lock().await;
        // An earlier registration may be under way: whether there is a service is asked behind it.
        let vacancy = self.vacancy().await?;
        let value = match self.view_service().await? {
            Some(_) => Neuron::ZERO,
            None => self.stake().await?,
        };
        let data = addOrUpdateServiceCall { params: offered(service) }.abi_encode();
        let mined = self.call_contract(&mut memory, vacancy, value, data).await?;
        // Others may send while this one waits to be final.
        drop(memory);
        self.finality(mined).await
    }

    pub(super) async fn withdraw(&self) -> Result<Digest32, ChainError> {
        let mut memory = self.wallet.turn.lock().await;
        let vacancy = self.vacancy().await?;
        let data = removeServiceCall {}.abi_encode();
        let mined = self.call_contract(&mut memory, vacancy, Neuron::ZERO, data).await?;
        drop(memory);
        self.finality(mined).await
    }

    async fn call_contract(
        &self,
        memory: &mut Memory,
        vacancy: Vacancy,
        value: Neuron,
        data: Vec<u8>,
    ) -> Result<Mined, ChainError> {
        let (from, to) = (self.provider_address(), self.config.contract);
        let draft = Draft { from, to, value, data };
        // A node asked to estimate what the wallet cannot pay says no more than "no".
        self.afford(value, 0, Neuron::ZERO).await?;
        let gas = self.rpc.estimate(&draft).await.map_err(verdict)?;
        let limit = self.rpc.latest().await?.gas_limit;
        let gas = with_margin(gas).min(limit);
        self.transact(memory, vacancy, &draft, gas).await
    }
}

fn offered(service: ServiceParams) -> OfferedService {
    OfferedService {
        serviceType: service.kind,
        url: service.url,
        model: service.model,
        verifiability: service.verifiability,
        inputPrice: U256::from(service.input_price.get()),
        outputPrice: U256::from(service.output_price.get()),
        additionalInfo: service.additional_info,
        teeSignerAddress: service.tee_signer.0.into(),
    }
}
