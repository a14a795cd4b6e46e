//! Vouchers that do not all go in one transaction.

use broker_core::SignedVoucher;
use broker_core::chain::{Chain, ChainError};
use serde_json::json;

use crate::landing::voucher;
use crate::node::{FakeNode, Reply};

/// What one voucher adds to a transaction's input.
const VOUCHER_BYTES: usize = 352;

fn vouchers(count: u64) -> Vec<SignedVoucher> {
    (0..count).map(|nonce| voucher(nonce + 1, 100)).collect()
}

/// How many vouchers an input of the contract has.
fn count(input: &[u8]) -> usize {
    (input.len() - 68) / VOUCHER_BYTES
}

fn sizes(node: &FakeNode) -> Vec<usize> {
    node.state().world.arrived.iter().map(|transaction| count(&transaction.input)).collect()
}

fn input(params: &serde_json::Value) -> Vec<u8> {
    hex::decode(&params[0]["data"].as_str().unwrap()[2..]).unwrap()
}

#[tokio::test]
async fn a_transaction_has_fifty_vouchers_at_most() {
    let node = FakeNode::start().await;
    assert_eq!(node.chain().submit(vouchers(101)).await.unwrap().len(), 3);
    assert_eq!(sizes(&node), [50, 50, 1]);
}

#[tokio::test]
async fn a_batch_is_halved_until_a_block_has_gas_for_it() {
    let node = FakeNode::start().await;
    node.rule("eth_estimateGas", |_, params| {
        let gas = 60_000 * count(&input(params)) as u64;
        if gas > 2_000_000 {
            let message = "gas required exceeds allowance (2000000)".into();
            return Some(Reply::Error(-32000, message, json!(null)));
        }
        Some(Reply::Result(json!(format!("{gas:#x}"))))
    });
    node.state().world.gas_limit = 1_000_000;
    assert_eq!(node.chain().submit(vouchers(50)).await.unwrap().len(), 4);
    assert_eq!(sizes(&node), [12, 13, 12, 13]);
    let gas = node.state().world.arrived.iter().map(|transaction| transaction.gas).max();
    assert_eq!(gas, Some(936_000), "a fifth more than was estimated");
}

#[tokio::test]
async fn a_voucher_that_cannot_go_keeps_no_other() {
    let node = FakeNode::start().await;
    node.rule("eth_estimateGas", |_, params| {
        // The nonce 4 as a word of its own, behind a hash of 0x33.
        let bad = [&[0x33; 32][..], &[0; 31], &[4]].concat();
        let found = input(params).windows(bad.len()).any(|part| part == bad);
        let data = json!("0x90b8ec18");
        found.then(|| Reply::Error(3, "execution reverted".into(), data))
    });
    let error = node.chain().submit(vouchers(8)).await.unwrap_err();
    assert!(matches!(&error, ChainError::Reverted(text) if text.contains("TransferFailed")));
    assert_eq!(sizes(&node).iter().sum::<usize>(), 7);
}

/// Gas for vouchers as a node estimates it.
fn estimates(node: &FakeNode) {
    node.rule("eth_estimateGas", |_, params| {
        let gas = 60_000 * count(&input(params)) as u64;
        Some(Reply::Result(json!(format!("{gas:#x}"))))
    });
}

#[tokio::test]
async fn a_wallet_that_cannot_pay_for_all_vouchers_sends_those_it_can_pay_for() {
    let node = FakeNode::start().await;
    estimates(&node);
    let each = 72_000 * 1_000_000_000;
    node.rule("eth_getBalance", move |world, _| {
        let sent: usize = world.arrived.iter().map(|transaction| count(&transaction.input)).sum();
        let left = (13 * each) - sent as u128 * each;
        Some(Reply::Result(json!(format!("{left:#x}"))))
    });
    let error = node.chain().submit(vouchers(50)).await.unwrap_err();
    assert!(matches!(error, ChainError::TooPoor { .. }), "{error}");
    assert_eq!(sizes(&node), [12, 1]);
}

#[tokio::test]
async fn a_voucher_that_reverts_only_when_it_is_mined_keeps_no_other() {
    let node = FakeNode::start().await;
    estimates(&node);
    node.rule("eth_sendRawTransaction", |world, params| {
        // A word of its own, behind a hash of 0x33, as in the estimates above.
        let bad = [&[0x33; 32][..], &[0; 31], &[4]].concat();
        let raw = hex::decode(&params[0].as_str().unwrap()[2..]).unwrap();
        world.status = u64::from(!raw.windows(bad.len()).any(|part| part == bad));
        None
    });
    let error = node.chain().submit(vouchers(8)).await.unwrap_err();
    assert!(matches!(error, ChainError::Reverted(_)), "{error}");
    assert_eq!(sizes(&node), [8, 4, 2, 2, 1, 1, 4]);
    let state = node.state();
    let mined = state.world.mined.values().filter(|(_, status, _)| *status == 1);
    assert_eq!(mined.map(|(_, _, transaction)| count(&transaction.input)).sum::<usize>(), 7);
}

#[tokio::test]
async fn a_node_in_trouble_stops_the_rest() {
    let node = FakeNode::start().await;
    let mut estimates = 0;
    node.rule("eth_estimateGas", move |_, _| {
        estimates += 1;
        let message = "too many requests".into();
        (estimates > 1).then(|| Reply::Error(429, message, json!(null)))
    });
    let error = node.chain().submit(vouchers(150)).await.unwrap_err();
    assert!(matches!(error, ChainError::Node(_)), "{error}");
    assert_eq!(sizes(&node), [50]);
    let calls = |method: &str| node.state().calls.iter().filter(|call| call.0 == method).count();
    assert_eq!(calls("eth_estimateGas"), 2);
}

#[tokio::test]
async fn gas_is_what_the_node_estimates() {
    let node = FakeNode::start().await;
    assert_eq!(node.chain().gas(vouchers(3)).await.unwrap(), 100_000);
    assert_eq!(node.chain().submit(Vec::new()).await.unwrap(), []);
    assert!(sizes(&node).is_empty());
}
