//! What a node is asked, and its answers as types.

use serde_json::{Value, json};

use crate::chain::Block;
use crate::chain::evm::quantity::{
    data, quantity, read_address, read_bytes, read_digest, read_neuron, read_u64,
};
use crate::chain::evm::rpc::{Rpc, RpcError};
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::Address;

type Answer<T> = Result<T, RpcError>;

/// A block's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) block: Block,
    /// Gas for all its transactions together.
    pub(super) gas_limit: u64,
}

/// What became of a transaction.
#[derive(Debug)]
pub(super) struct Receipt {
    /// It did what it was to do; one that reverted did nothing.
    pub(super) succeeded: bool,
    pub(super) block: Block,
    pub(super) logs: Vec<Log>,
}

/// What a contract left of a transaction.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) contract: Address,
    pub(super) topics: Vec<Digest32>,
    pub(super) data: Vec<u8>,
    pub(super) transaction: Digest32,
}

/// A transaction as it was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) from: Address,
    pub(super) to: Option<Address>,
    pub(super) input: Vec<u8>,
}

/// A call before it is a transaction.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) value: Neuron,
    pub(super) data: Vec<u8>,
}

impl Draft {
    fn json(&self) -> Value {
        json!({
            "from": self.from.to_string(),
            "to": self.to.to_string(),
            "value": quantity(self.value.get()),
            "data": data(&self.data),
        })
    }
}

impl Rpc {
    pub(super) async fn chain_id(&self) -> Answer<u64> {
        self.ask("eth_chainId", json!([]), read_u64).await
    }

    pub(super) async fn latest(&self) -> Answer<Head> {
        self.ask("eth_getBlockByNumber", json!(["latest", false]), head).await
    }

    pub(super) async fn block(&self, number: u64) -> Answer<Block> {
        let params = json!([quantity(number.into()), false]);
        let head = self.ask("eth_getBlockByNumber", params, head).await?;
        Ok(head.block)
    }

    pub(super) async fn has_code(&self, contract: Address, block: u64) -> Answer<bool> {
        let params = json!([contract.to_string(), quantity(block.into())]);
        Ok(!self.ask("eth_getCode", params, read_bytes).await?.is_empty())
    }

    pub(super) async fn view(&self, to: Address, input: &[u8], block: u64) -> Answer<Vec<u8>> {
        let call = json!({"to": to.to_string(), "data": data(input)});
        self.ask("eth_call", json!([call, quantity(block.into())]), read_bytes).await
    }

    /// Runs `draft` without sending it.
    pub(super) async fn rehearse(&self, draft: &Draft) -> Answer<Vec<u8>> {
        self.ask("eth_call", json!([draft.json(), "latest"]), read_bytes).await
    }

    pub(super) async fn estimate(&self, draft: &Draft) -> Answer<u64> {
        self.ask("eth_estimateGas", json!([draft.json()]), read_u64).await
    }

    pub(super) async fn gas_price(&self) -> Answer<Neuron> {
        self.ask("eth_gasPrice", json!([]), read_neuron).await
    }

    pub(super) async fn balance(&self, of: Address) -> Answer<Neuron> {
        self.ask("eth_getBalance", json!([of.to_string(), "latest"]), read_neuron).await
    }

    /// How many transactions the account sent, as of `tag` (`latest` or `pending`).
    pub(super) async fn transaction_count(&self, of: Address, tag: &str) -> Answer<u64> {
        self.ask("eth_getTransactionCount", json!([of.to_string(), tag]), read_u64).await
    }

    pub(super) async fn send(&self, transaction: &[u8]) -> Answer<()> {
        self.call("eth_sendRawTransaction", json!([data(transaction)])).await.map(drop)
    }

    pub(super) async fn receipt(&self, hash: Digest32) -> Answer<Option<Receipt>> {
        self.ask("eth_getTransactionReceipt", json!([data(&hash.0)]), |v| optional(v, receipt))
            .await
    }

    pub(super) async fn transaction(&self, hash: Digest32) -> Answer<Option<Sent>> {
        self.ask("eth_getTransactionByHash", json!([data(&hash.0)]), |v| optional(v, sent)).await
    }

    /// The logs of `contract` from block `from` to block `to`, both included, whose first topics
    /// are these.
    pub(super) async fn logs(
        &self,
        contract: Address,
        topics: &[Digest32],
        (from, to): (u64, u64),
    ) -> Answer<Vec<Log>> {
        let topics: Vec<_> = topics.iter().map(|topic| data(&topic.0)).collect();
        let filter = json!({
            "address": contract.to_string(),
            "topics": topics,
            "fromBlock": quantity(from.into()),
            "toBlock": quantity(to.into()),
        });
        self.ask("eth_getLogs", json!([filter]), logs).await
    }

    async fn ask<T>(
        &self,
        method: &str,
        params: Value,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Answer<T> {
        let value = self.call(method, params).await?;
        read(&value).ok_or_else(|| {
            let origin = self.origin();
            RpcError::Garbage(format!("{origin} answers {method} with something else"))
        })
    }
}

/// `null` is an answer: there is none.
fn optional<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

fn head(value: &Value) -> Option<Head> {
    let number = read_u64(value.get("number")?)?;
    let hash = read_digest(value.get("hash")?)?;
    let gas_limit = read_u64(value.get("gasLimit")?)?;
    Some(Head { block: Block { number, hash }, gas_limit })
}

fn receipt(value: &Value) -> Option<Receipt> {
    let number = read_u64(value.get("blockNumber")?)?;
    let hash = read_digest(value.get("blockHash")?)?;
    let succeeded = match read_u64(value.get("status")?)? {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some(Receipt { succeeded, block: Block { number, hash }, logs: logs(value.get("logs")?)? })
}

/// The logs that were not taken back.
fn logs(value: &Value) -> Option<Vec<Log>> {
    let removed = |log: &&Value| log.get("removed").and_then(Value::as_bool).unwrap_or_default();
    value.as_array()?.iter().filter(|value| !removed(value)).map(log).collect()
}

fn log(value: &Value) -> Option<Log> {
    let topics = value.get("topics")?.as_array()?.iter().map(read_digest);
    Some(Log {
        contract: Address(read_address(value.get("address")?)?),
        topics: topics.collect::<Option<_>>()?,
        data: read_bytes(value.get("data")?)?,
        transaction: read_digest(value.get("transactionHash")?)?,
    })
}

fn sent(value: &Value) -> Option<Sent> {
    Some(Sent {
        from: Address(read_address(value.get("from")?)?),
        to: optional(value.get("to")?, |to| read_address(to).map(Address))?,
        input: read_bytes(value.get("input")?)?,
    })
}
