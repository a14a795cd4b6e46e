//! What the contracts hold.

use broker_core::Neuron;
use broker_core::chain::evm::EvmConfig;
use broker_core::chain::{Chain, ChainError};

use super::{Provider, SIGNER, address, client, config};
use crate::support::ZG;

#[test]
fn an_account_is_seen_at_once_and_counts_when_it_is_final() {
    let Some(provider) = Provider::start() else { return };
    provider.network.register("http://127.0.0.1:1", (100, 200), SIGNER.1);
    let view = || provider.wait(provider.chain.account(provider.user(2))).unwrap();
    assert_eq!((view().latest, view().settled), (None, None));

    provider.network.fund(&[2], 5 * ZG, 2 * ZG);
    let seen = view();
    let latest = seen.latest.unwrap();
    assert_eq!((latest.balance, latest.acknowledged), (Neuron::new(2 * ZG), true));
    assert_eq!((latest.nonce, latest.generation, latest.refund_since), (0, 0, None));
    assert_eq!((seen.settled, seen.cover()), (None, Neuron::ZERO));
    provider.network.mine(2);
    assert_eq!(view().settled, Some(latest));
    assert_eq!(view().cover(), Neuron::new(2 * ZG));
    assert_eq!(u128::from(view().block.number), provider.network.block() - 2);
}

#[test]
fn a_refund_counts_from_the_moment_it_was_asked_for() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    provider.network.mine(2);
    let view = || provider.wait(provider.chain.account(provider.user(2))).unwrap();
    provider.network.retrieve(2);
    let block = provider.network.rpc("eth_getBlockByNumber", serde_json::json!(["latest", false]));
    let time = block["timestamp"].as_str().unwrap().trim_start_matches("0x").to_owned();
    let asked_at = u64::from_str_radix(&time, 16).unwrap();
    let latest = view().latest.unwrap();
    assert_eq!(latest.refund_since, Some(asked_at));
    assert_eq!(latest.pending_refund, Neuron::new(2 * ZG));
    assert_eq!((view().settled.unwrap().refund_since, view().cover()), (None, Neuron::ZERO));

    // Paying from what is asked back shrinks the refund and keeps its time.
    provider.submit(&[provider.voucher(2, 1, ZG / 2)]).unwrap();
    let latest = view().latest.unwrap();
    assert_eq!(latest.refund_since, Some(asked_at));
    assert_eq!(latest.pending_refund, Neuron::new(2 * ZG - ZG / 2));

    provider.network.increase_time(3601);
    provider.network.retrieve(2);
    let latest = view().latest.unwrap();
    assert_eq!((latest.refund_since, latest.pending_refund), (None, Neuron::ZERO));
    assert_eq!(latest.balance, Neuron::ZERO);
}

#[test]
fn the_oldest_refund_that_still_waits_counts_and_no_stale_entry_behind_them() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let network = &provider.network;
    let latest = || {
        let view = provider.wait(provider.chain.account(provider.user(2))).unwrap();
        view.latest.unwrap()
    };
    network.retrieve(2);
    let first = latest().refund_since.unwrap();
    network.increase_time(100);
    // Handing over again takes half of the refund back, and all of it is asked for anew.
    network.fund(&[2], 0, ZG);
    network.retrieve(2);
    let raw = network.ask("account", serde_json::json!({"user": 2}));
    assert_eq!(raw["validRefundsLength"], "2");
    assert_eq!(latest().refund_since, Some(first));

    // The first is paid out; the contract moves the second forward and leaves its copy behind.
    network.increase_time(3510);
    network.retrieve(2);
    let raw = network.ask("account", serde_json::json!({"user": 2}));
    assert_eq!(raw["validRefundsLength"], "1");
    assert_eq!(raw["refunds"].as_array().unwrap().len(), 2);
    let second = latest().refund_since.unwrap();
    assert!((first + 100..first + 200).contains(&second), "{first} {second}");
    assert_eq!(latest().pending_refund, Neuron::new(ZG));

    provider.submit(&[provider.voucher(2, 1, ZG)]).unwrap();
    assert_eq!((latest().refund_since, latest().pending_refund), (None, Neuron::ZERO));
}

#[test]
fn revoked_tokens_are_seen() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    provider.network.ask("revoke_tokens", serde_json::json!({"user": 2, "tokenIds": [1, 200]}));
    let latest = || provider.wait(provider.chain.account(provider.user(2))).unwrap().latest;
    let revoked: Vec<u8> = (0..=255).filter(|id| latest().unwrap().is_revoked(*id)).collect();
    assert_eq!(revoked, [1, 200]);
    provider.network.ask("revoke_all_tokens", serde_json::json!({"user": 2}));
    assert_eq!((latest().unwrap().generation, latest().unwrap().revoked), (1, [0; 32]));
}

#[test]
fn the_network_is_recognised_and_others_are_named() {
    let Some(provider) = Provider::start() else { return };
    provider.wait(provider.chain.check()).unwrap();
    let terms = provider.wait(provider.chain.terms()).unwrap();
    assert_eq!((terms.lock_time_secs, terms.stake), (3600, Neuron::new(100 * ZG)));
    assert_eq!(u128::from(terms.latest.number), provider.network.block());
    assert_eq!(terms.last_final.number, terms.latest.number - 2);
    assert_eq!(terms.wallet, Neuron::new(provider.network.balance(crate::support::PROVIDER)));

    let base = config(&provider.network);
    let ledger = address("0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0");
    for (config, words) in [
        (EvmConfig { chain_id: 16661, ..base.clone() }, "is of chain 31337"),
        (EvmConfig { contract: address(SIGNER.1), ..base.clone() }, "no contract"),
        (EvmConfig { contract: ledger, ..base }, "no InferenceServing contract"),
    ] {
        let error = provider.wait(client(config).check()).unwrap_err();
        let ChainError::WrongNetwork(text) = error else { panic!("{error}") };
        assert!(text.contains(words), "{text}");
    }
}
