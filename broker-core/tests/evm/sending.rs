//! Transactions, with a node that says one thing and does another.

use broker_core::chain::{Chain, ChainError};
use broker_core::{Digest32, Neuron, SignedVoucher};
use serde_json::json;

use crate::landing::voucher;
use crate::node::{FakeNode, PATIENCE, Reply};

fn one() -> Vec<SignedVoucher> {
    vec![voucher(5, 100)]
}

fn internal_error() -> Reply {
    Reply::Error(-32603, "internal error".into(), json!(null))
}

#[tokio::test]
async fn what_was_taken_is_found_although_the_node_called_it_an_error() {
    for reply in [
        (|| Reply::HangUp) as fn() -> Reply,
        internal_error,
        || Reply::Error(-32000, "already known".into(), json!(null)),
        || Reply::Error(-32000, "nonce too low".into(), json!(null)),
        || Reply::Body(502, b"<html>bad gateway</html>".to_vec()),
        || Reply::Result(json!(null)),
    ] {
        let node = FakeNode::start().await;
        node.rule("eth_sendRawTransaction", move |world, params| {
            world.take(params[0].as_str().unwrap());
            Some(reply())
        });
        let mined = node.chain().submit(one()).await.unwrap();
        let state = node.state();
        assert_eq!(state.world.arrived.len(), 1);
        assert_eq!(mined, [state.world.arrived[0].hash]);
    }
}

#[tokio::test]
async fn what_is_not_mined_is_replaced_under_the_same_number_at_a_higher_price() {
    let node = FakeNode::start().await;
    node.state().world.mines = false;
    node.rule("eth_getTransactionReceipt", |world, _| {
        let dear = world.waiting.iter().find(|tx| tx.price > world.gas_price).cloned();
        dear.into_iter().for_each(|transaction| world.mine(transaction));
        None
    });
    let mined = node.chain().submit(one()).await.unwrap();
    let state = node.state();
    let arrived = &state.world.arrived;
    assert_eq!(arrived.len(), 2);
    assert_eq!((arrived[0].number, arrived[1].number), (7, 7));
    assert_eq!(arrived[0].input, arrived[1].input);
    assert!(arrived[1].price.get() * 8 >= arrived[0].price.get() * 9);
    assert_eq!(mined, [arrived[1].hash]);
}

#[tokio::test]
async fn a_first_attempt_that_is_mined_late_is_recognised_after_it_was_replaced() {
    let node = FakeNode::start().await;
    node.state().world.mines = false;
    node.rule("eth_getTransactionReceipt", |world, _| {
        if world.arrived.len() == 2 && world.mined.is_empty() {
            world.mine(world.arrived[0].clone());
        }
        None
    });
    let mined = node.chain().submit(one()).await.unwrap();
    assert_eq!(mined, [node.state().world.arrived[0].hash]);
}

#[tokio::test]
async fn two_callers_at_once_never_share_a_number() {
    let node = FakeNode::start().await;
    let chain = node.chain();
    let other = vec![voucher(6, 1)];
    let (first, second) = tokio::join!(chain.submit(one()), chain.submit(other));
    assert_ne!(first.unwrap(), second.unwrap());
    let numbers: Vec<_> = node.state().world.arrived.iter().map(|tx| tx.number).collect();
    assert_eq!(numbers, [7, 8]);
}

#[tokio::test]
async fn what_a_caller_left_behind_in_the_mempool_is_waited_for() {
    let node = FakeNode::start().await;
    node.state().world.mines = false;
    let chain = node.chain();
    let left = tokio::time::timeout(PATIENCE / 8, chain.submit(one())).await;
    assert!(left.is_err() && node.state().world.waiting.len() == 1);
    let mut counts = 0;
    node.rule("eth_getTransactionCount", move |world, _| {
        counts += 1;
        if counts == 6 {
            world.mines = true;
            world.mine(world.arrived[0].clone());
        }
        None
    });
    chain.submit(vec![voucher(6, 1)]).await.unwrap();
    let numbers: Vec<_> = node.state().world.arrived.iter().map(|tx| tx.number).collect();
    assert_eq!(numbers, [7, 8]);
}

#[tokio::test]
async fn a_receipt_that_comes_later_than_the_count_is_waited_for() {
    let node = FakeNode::start().await;
    let mut reads = 0;
    node.rule("eth_getTransactionReceipt", move |_, _| {
        reads += 1;
        (reads < 3).then(|| Reply::Result(json!(null)))
    });
    let mined = node.chain().submit(one()).await.unwrap();
    assert_eq!(mined, [node.state().world.arrived[0].hash]);
}

#[tokio::test]
async fn what_stays_in_the_mempool_is_pending_and_the_next_one_takes_its_number() {
    let node = FakeNode::start().await;
    node.state().world.mines = false;
    let chain = node.chain();
    let pending = chain.submit(one()).await.unwrap_err();
    let last = node.state().world.arrived.last().cloned().unwrap();
    let before = node.prices().len();
    assert_eq!(pending, ChainError::Pending(last.hash));

    node.rule("eth_sendRawTransaction", |world, params| {
        world.mines = true;
        Some(world.take(params[0].as_str().unwrap()))
    });
    let mined = chain.submit(one()).await.unwrap();
    let state = node.state();
    let next = state.world.arrived.last().unwrap();
    assert_eq!((next.number, mined), (last.number, vec![next.hash]));
    assert_eq!(state.world.arrived.len(), before + 1, "dear enough at once");
    assert!(next.price.get() * 8 >= last.price.get() * 9);
}

#[tokio::test]
async fn an_unknown_transaction_with_our_number_is_outbid() {
    let node = FakeNode::start().await;
    {
        let world = &mut node.state().world;
        world.mines = false;
        let other = crate::world::Arrived {
            hash: Digest32([1; 32]),
            number: 7,
            price: Neuron::new(3_000_000_000),
            gas: 21_000,
            value: Neuron::ZERO,
            input: Vec::new(),
        };
        world.waiting.push(other);
    }
    node.rule("eth_getTransactionReceipt", |world, _| {
        let ours = world.waiting.iter().find(|tx| tx.hash != Digest32([1; 32])).cloned();
        ours.into_iter().for_each(|transaction| world.mine(transaction));
        None
    });
    let mined = node.chain().submit(one()).await.unwrap();
    let state = node.state();
    let ours = state.world.arrived.last().unwrap();
    assert_eq!((ours.number, mined), (7, vec![ours.hash]));
    assert!(ours.price.get() >= 3_300_000_000);
}

#[tokio::test]
async fn a_node_that_calls_every_price_too_low_is_not_outbid_for_ever() {
    let node = FakeNode::start().await;
    node.rule("eth_sendRawTransaction", |_, _| {
        Some(Reply::Error(-32000, "transaction underpriced".into(), json!(null)))
    });
    let calls = || node.state().calls.iter().filter(|call| call.0.contains("sendRaw")).count();
    let error = node.chain().submit(one()).await.unwrap_err();
    assert!(matches!(&error, ChainError::Node(text) if text.contains("underpriced")), "{error}");
    assert!((10..=40).contains(&calls()), "{}", calls());
}

#[tokio::test]
async fn no_price_goes_above_the_cap() {
    let node = FakeNode::start().await;
    node.state().world.mines = false;
    let cap = Some(Neuron::new(1_200_000_000));
    let config = broker_core::chain::evm::EvmConfig { max_gas_price: cap, ..node.config() };
    let chain = node.chain_with(config);
    let error = chain.submit(one()).await.unwrap_err();
    assert!(matches!(error, ChainError::Pending(_)), "{error}");
    let prices = node.prices();
    assert_eq!(prices[..2], [Neuron::new(1_000_000_000), Neuron::new(1_125_000_001)]);
    assert!(prices.len() > 2 && prices[2..].iter().all(|price| *price == prices[1]));

    let cap = Neuron::new(999_999_999);
    let config = broker_core::chain::evm::EvmConfig { max_gas_price: Some(cap), ..node.config() };
    node.state().world.waiting.clear();
    let error = node.chain_with(config).submit(one()).await.unwrap_err();
    assert_eq!(error, ChainError::GasTooDear { price: Neuron::new(1_000_000_000), cap });
}

#[tokio::test]
async fn a_reverted_transaction_is_an_error_that_names_it() {
    let node = FakeNode::start().await;
    node.state().world.status = 0;
    let error = node.chain().submit(one()).await.unwrap_err();
    let hash = node.state().world.arrived[0].hash;
    let ChainError::Reverted(text) = error else { panic!("{error}") };
    assert!(text.contains(&hash.to_string()), "{text}");
}

#[tokio::test]
async fn a_number_that_another_program_used_is_an_error_that_says_so() {
    let node = FakeNode::start().await;
    node.rule("eth_sendRawTransaction", |world, _| {
        world.count = 8;
        Some(Reply::Error(-32000, "nonce too low".into(), json!(null)))
    });
    let error = node.chain().submit(one()).await.unwrap_err();
    assert!(matches!(&error, ChainError::Node(text) if text.contains("number 7")), "{error}");
}

#[tokio::test]
async fn a_wallet_that_cannot_pay_is_told_what_is_missing_and_sends_nothing() {
    let node = FakeNode::start().await;
    node.state().world.balance = Neuron::new(20_000_000_000_000);
    let error = node.chain().submit(one()).await.unwrap_err();
    // A fifth more than the estimate of 100,000, at 1,000,000,000 each.
    let (has, needs) = (Neuron::new(20_000_000_000_000), Neuron::new(120_000_000_000_000));
    let missing = Neuron::new(100_000_000_000_000);
    assert_eq!(error, ChainError::TooPoor { has, needs, missing });
    assert!(node.prices().is_empty());
}
