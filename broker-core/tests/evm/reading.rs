//! Reads, and nodes that answer nothing that could be one.

use std::time::Instant;

use broker_core::chain::evm::EvmConfig;
use broker_core::chain::{Block, Chain, ChainError};
use broker_core::{Digest32, Neuron, UserId};
use serde_json::json;

use crate::node::{API_KEY, FakeNode, PATIENCE, Reply};
use crate::world::account;

const USER: UserId = UserId::new([0x11; 20]);

#[tokio::test]
async fn the_configured_network_passes_and_any_other_is_named() {
    let node = FakeNode::start().await;
    node.chain().check().await.unwrap();

    let wrong = |error: ChainError, words: &str| {
        let ChainError::WrongNetwork(text) = error else { panic!("{error}") };
        assert!(text.contains(words), "{text}");
    };
    let config = EvmConfig { chain_id: 16661, ..node.config() };
    // The self-check asks again, since the node may be away at the start.
    let other = node.chain_with(config);
    wrong(other.terms().await.unwrap_err(), "is of chain 31337");
    wrong(other.check().await.unwrap_err(), "is of chain 31337");
    node.state().world.views.remove("d1d20056");
    wrong(node.chain().check().await.unwrap_err(), "does not answer ledgerAddress()");
    let reply = Reply::Error(3, "execution reverted".into(), json!("0x"));
    node.state().world.views.insert("650190e7", reply);
    wrong(node.chain().check().await.unwrap_err(), "does not answer MIN_PROVIDER_STAKE()");
    node.rule("eth_getCode", |_, _| Some(Reply::Result(json!("0x"))));
    node.state().world.views.clear();
    wrong(node.chain().check().await.unwrap_err(), "no contract is at network.contractAddress");

    let reply = Reply::Error(-32000, "header not found".into(), json!(null));
    node.state().world.views.insert("0d668087", reply);
    assert!(matches!(node.chain().check().await, Err(ChainError::Node(_))));
}

#[tokio::test]
async fn only_the_contract_s_own_word_means_that_there_is_no_account() {
    let node = FakeNode::start().await;
    let answer = |reply| {
        node.state().world.views.insert("fd590847", reply);
    };
    answer(Reply::Error(3, "reverted".into(), json!(format!("0x08ca03ac{}", "00".repeat(64)))));
    let view = node.chain().account(USER).await.unwrap();
    assert_eq!((view.latest, view.settled, view.cover()), (None, None, Neuron::ZERO));

    for reply in [
        Reply::Error(3, "execution reverted".into(), json!(null)),
        Reply::Error(3, "execution reverted".into(), json!("0x08ca03ad")),
        Reply::Error(-32000, "AccountNotExists".into(), json!(null)),
        Reply::Error(-32000, "missing trie node".into(), json!(null)),
        Reply::Result(json!("0x")),
        Reply::Result(json!("0x1234")),
        Reply::Result(json!(null)),
        Reply::Result(json!(17)),
    ] {
        answer(reply);
        node.chain().account(USER).await.unwrap_err();
    }
    // No contract at all is no answer either.
    answer(Reply::Result(json!("0x")));
    node.rule("eth_getCode", |_, _| Some(Reply::Result(json!("0x"))));
    let error = node.chain().account(USER).await.unwrap_err();
    assert!(matches!(error, ChainError::WrongNetwork(_)), "{error}");
}

#[tokio::test]
async fn an_account_is_seen_at_the_latest_and_at_the_last_final_block() {
    let node = FakeNode::start().await;
    node.rule("eth_call", |_, params| {
        let balance = if params[1] == "0x3e8" { 900 } else { 700 };
        assert!(["0x3e8", "0x3e6"].contains(&params[1].as_str().unwrap()), "{params}");
        Some(account(u128::MAX, balance))
    });
    let view = node.chain().account(USER).await.unwrap();
    let block = Block { number: 998, hash: Digest32::keccak256(&998_u64.to_be_bytes()) };
    assert_eq!(view.block, block);
    assert_eq!(view.latest.unwrap().balance, Neuron::new(900));
    assert_eq!((view.settled.unwrap().nonce, view.cover()), (u64::MAX, Neuron::new(700)));
}

#[tokio::test]
async fn before_a_contract_is_final_there_are_no_final_accounts() {
    let node = FakeNode::start().await;
    node.state().world.height = 1;
    node.rule("eth_call", |_, params| {
        Some(if params[1] == "0x1" { account(1, 900) } else { Reply::Result(json!("0x")) })
    });
    node.rule("eth_getCode", |_, params| {
        Some(Reply::Result(json!(if params[1] == "0x1" { "0x60" } else { "0x" })))
    });
    let view = node.chain().account(USER).await.unwrap();
    assert_eq!((view.block.number, view.settled), (0, None));
    assert_eq!(view.latest.unwrap().balance, Neuron::new(900));
}

#[tokio::test]
async fn terms_are_what_contract_and_network_ask_for() {
    let node = FakeNode::start().await;
    let cap = Some(Neuron::new(5));
    let config = EvmConfig { max_gas_price: cap, ..node.config() };
    let terms = node.chain_with(config).terms().await.unwrap();
    assert_eq!((terms.latest.number, terms.last_final.number), (1000, 998));
    assert_eq!((terms.lock_time_secs, terms.stake), (3600, Neuron::new(100)));
    assert_eq!(terms.wallet, Neuron::new(10_u128.pow(21)));
    assert_eq!((terms.gas_price, terms.gas_price_max), (Neuron::new(1_000_000_000), cap));
    assert_eq!(node.chain().terms().await.unwrap().gas_price_max, None);
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error_in_time_and_without_the_address() {
    let huge = || {
        let head = json!({"number": "0x3e8", "hash": crate::world::word(1), "gasLimit": "0x1"});
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": head}).to_string();
        Reply::Body(200, [answer.as_bytes(), &b" ".repeat(9 << 20)].concat())
    };
    let deep = || Reply::Body(200, [b"[".repeat(200_000), b"]".repeat(200_000)].concat());
    let echo = || Reply::Error(-32000, format!("bad key {API_KEY}"), json!(null));
    for reply in [
        huge as fn() -> Reply,
        deep,
        echo,
        || Reply::Body(200, b"<html>".to_vec()),
        || Reply::Body(200, b"{}".to_vec()),
        || Reply::Body(200, b"[]".to_vec()),
        || Reply::Body(200, vec![0xff; 100]),
        || Reply::Body(500, b"{\"result\":\"0x1\"}".to_vec()),
        || Reply::Body(302, Vec::new()),
        || Reply::Silence,
        || Reply::HangUp,
    ] {
        let node = FakeNode::start().await;
        node.state().world.views.insert("fd590847", account(1, 900));
        node.rule("eth_getBlockByNumber", move |_, _| Some(reply()));
        let begun = Instant::now();
        let error = node.chain().account(USER).await.unwrap_err();
        assert!(begun.elapsed() < PATIENCE * 3, "{error}");
        let (shown, told) = (format!("{error:?}"), error.to_string());
        assert!(!shown.contains(API_KEY) && !told.contains(API_KEY), "{told}");
        assert!(!told.contains("/v2/"), "{told}");
        assert!(told.contains("http://127.0.0.1"), "{told}");
    }
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error() {
    let node = FakeNode::start().await;
    for url in ["", "node.example", "ftp://node.example/key", "http://"] {
        let config = EvmConfig { url: url.to_owned(), ..node.config() };
        let error = node.chain_with(config).check().await.unwrap_err();
        assert!(error.to_string().contains("network.url"), "{error}");
    }
}
