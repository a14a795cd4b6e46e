//! A made-up chain with one contract, one provider and a mempool.

use std::collections::BTreeMap;

use alloy_rlp::{Decodable, Header};
use broker_core::{Address, Digest32, LocalSigner, Neuron, Signer};
use serde_json::{Value, json};

use crate::node::Reply;

/// A transaction as the node has it.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) hash: Digest32,
    pub(crate) number: u64,
    pub(crate) price: Neuron,
    pub(crate) gas: u64,
    pub(crate) value: Neuron,
    pub(crate) input: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) height: u64,
    /// Blocks have so much gas.
    pub(crate) gas_limit: u64,
    pub(crate) gas_price: Neuron,
    pub(crate) balance: Neuron,
    /// Whether a transaction is mined when it arrives.
    pub(crate) mines: bool,
    /// The status of what is mined.
    pub(crate) status: u64,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) waiting: Vec<Arrived>,
    /// The block, the status and the transaction.
    pub(crate) mined: BTreeMap<Digest32, (u64, u64, Arrived)>,
    /// How many transactions of the wallet are mined.
    pub(crate) count: u64,
    /// What the contract answers calls with these selectors.
    pub(crate) views: BTreeMap<&'static str, Reply>,
    /// For each voucher of a mined transaction: the status and what stays unpaid.
    pub(crate) results: Vec<(u8, u128)>,
    /// Where mined transactions come from.
    pub(crate) sender: Address,
}

impl Default for World {
    fn default() -> Self {
        Self {
            height: 1000,
            gas_limit: 30_000_000,
            gas_price: Neuron::new(1_000_000_000),
            balance: Neuron::new(10_u128.pow(21)),
            mines: true,
            status: 1,
            arrived: Vec::new(),
            waiting: Vec::new(),
            mined: BTreeMap::new(),
            count: 7,
            views: BTreeMap::from([
                ("0d668087", Reply::Result(json!(word(3600)))),
                ("650190e7", Reply::Result(json!(word(100)))),
                ("d1d20056", Reply::Result(json!(word(0xdd)))),
            ]),
            results: vec![(0, 0)],
            sender: LocalSigner::from_secret(&[0x46; 32]).unwrap().address(),
        }
    }
}

impl World {
    pub(crate) fn answer(&mut self, method: &str, params: &Value) -> Reply {
        let hash = || params[0].as_str().and_then(digest);
        match method {
            "eth_chainId" => Reply::Result(json!("0x7a69")),
            "eth_getBlockByNumber" => Reply::Result(self.block(&params[0])),
            "eth_getCode" => Reply::Result(json!("0x6000")),
            "eth_call" => self.view(params[0]["data"].as_str().unwrap()),
            "eth_estimateGas" => Reply::Result(json!("0x186a0")),
            "eth_gasPrice" => Reply::Result(json!(format!("{:#x}", self.gas_price.get()))),
            "eth_getBalance" => Reply::Result(json!(format!("{:#x}", self.balance.get()))),
            "eth_getTransactionCount" => {
                let waiting = if params[1] == "pending" { self.waiting.len() as u64 } else { 0 };
                Reply::Result(json!(format!("{:#x}", self.count + waiting)))
            }
            "eth_sendRawTransaction" => self.take(params[0].as_str().unwrap()),
            "eth_getTransactionReceipt" => Reply::Result(self.receipt(hash().unwrap())),
            "eth_getTransactionByHash" => Reply::Result(self.transaction(hash().unwrap())),
            "eth_getLogs" => Reply::Result(self.logs(&params[0])),
            _ => Reply::Error(-32601, format!("no method {method}"), json!(null)),
        }
    }

    /// Takes a transaction as nodes do, and mines it where the world mines.
    pub(crate) fn take(&mut self, raw: &str) -> Reply {
        let transaction = decode(&hex::decode(&raw[2..]).unwrap());
        self.arrived.push(transaction.clone());
        let refuse = |message: &str| Reply::Error(-32000, message.to_owned(), json!(null));
        if transaction.number < self.count {
            return refuse("nonce too low");
        }
        if let Some(other) = self.waiting.iter_mut().find(|tx| tx.number == transaction.number) {
            if other.hash == transaction.hash {
                return refuse("already known");
            }
            if transaction.price.get() * 10 < other.price.get() * 11 {
                return refuse("replacement transaction underpriced");
            }
            *other = transaction.clone();
        } else {
            self.waiting.push(transaction.clone());
        }
        if self.mines {
            self.mine(transaction.clone());
        }
        Reply::Result(json!(format!("0x{}", transaction.hash)))
    }

    /// Mines `transaction`, whether it waits or was replaced.
    pub(crate) fn mine(&mut self, transaction: Arrived) {
        self.waiting.retain(|waiting| waiting.number != transaction.number);
        self.count = transaction.number + 1;
        self.height += 1;
        self.mined.insert(transaction.hash, (self.height, self.status, transaction));
    }

    fn block(&self, number: &Value) -> Value {
        let number = number.as_str().unwrap();
        let number = number.strip_prefix("0x").map(|hex| u64::from_str_radix(hex, 16).unwrap());
        head(number.unwrap_or(self.height), self.gas_limit)
    }

    fn view(&mut self, input: &str) -> Reply {
        match self.views.get(&input[2..10]) {
            Some(Reply::Result(value)) => Reply::Result(value.clone()),
            Some(Reply::Error(code, message, data)) => {
                Reply::Error(*code, message.clone(), data.clone())
            }
            _ => Reply::Result(json!("0x")),
        }
    }

    fn receipt(&self, hash: Digest32) -> Value {
        let Some((block, status, _)) = self.mined.get(&hash) else { return json!(null) };
        let head = head(*block, 0);
        json!({
            "status": format!("{status:#x}"),
            "blockNumber": head["number"],
            "blockHash": head["hash"],
            "logs": self.events(hash, *block),
        })
    }

    fn transaction(&self, hash: Digest32) -> Value {
        let waiting = self.waiting.iter().find(|transaction| transaction.hash == hash);
        let mined = self.mined.get(&hash).map(|(_, _, transaction)| transaction);
        let Some(found) = waiting.or(mined) else { return json!(null) };
        json!({
            "from": self.sender.to_string(),
            "to": Address([0xcc; 20]).to_string(),
            "input": format!("0x{}", hex::encode(&found.input)),
        })
    }

    fn logs(&self, filter: &Value) -> Value {
        let bound =
            |name: &str| u64::from_str_radix(&filter[name].as_str().unwrap()[2..], 16).unwrap();
        let range = bound("fromBlock")..=bound("toBlock");
        let mined = self.mined.iter().filter(|(_, (block, ..))| range.contains(block));
        mined.flat_map(|(hash, (block, ..))| self.events(*hash, *block)).collect()
    }

    fn events(&self, hash: Digest32, block: u64) -> Vec<Value> {
        let event = |(status, unsettled): &(u8, u128)| {
            json!({
                "address": Address([0xcc; 20]).to_string(),
                "topics": [
                    "0x1f69e5b87fd0ce34b3760ba6e5d8aa95a36e316c3ba44e1e65a9d0eb9e96d0bf",
                    format!("0x{}{}", "00".repeat(12), "11".repeat(20)),
                ],
                "data": format!("{}{}", word(u128::from(*status)), &word(*unsettled)[2..]),
                "transactionHash": format!("0x{hash}"),
                "blockNumber": format!("{block:#x}"),
            })
        };
        self.results.iter().map(event).collect()
    }
}

/// A number as the contract answers it.
pub(crate) fn word(number: u128) -> String {
    format!("0x{number:064x}")
}

/// An account without refunds as the contract answers it.
pub(crate) fn account(nonce: u128, balance: u128) -> Reply {
    let fields = [0x20, 0x11, 0x22, nonce, balance, 0, 0x160, 0x180, 1, 0, 0, 0, 0, 0];
    let words: String = fields.iter().map(|field| word(*field)[2..].to_owned()).collect();
    Reply::Result(json!(format!("0x{words}")))
}

fn head(number: u64, gas_limit: u64) -> Value {
    json!({
        "number": format!("{number:#x}"),
        "hash": format!("0x{}", Digest32::keccak256(&number.to_be_bytes())),
        "gasLimit": format!("{gas_limit:#x}"),
    })
}

fn digest(text: &str) -> Option<Digest32> {
    hex::decode(text.strip_prefix("0x")?).ok()?.try_into().ok().map(Digest32)
}

fn decode(raw: &[u8]) -> Arrived {
    let mut rest = raw;
    Header::decode(&mut rest).unwrap();
    let number = u64::decode(&mut rest).unwrap();
    let price = u128::decode(&mut rest).unwrap();
    let gas = u64::decode(&mut rest).unwrap();
    let _to = Header::decode_bytes(&mut rest, false).unwrap();
    let value = u128::decode(&mut rest).unwrap();
    let input = Header::decode_bytes(&mut rest, false).unwrap().to_vec();
    let (price, value) = (Neuron::new(price), Neuron::new(value));
    Arrived { hash: Digest32::keccak256(raw), number, price, gas, value, input }
}
