//! Transactions that wait, vanish, are replaced, revert and are undone.

use std::time::{Duration, Instant};

use broker_core::Neuron;
use broker_core::chain::evm::EvmConfig;
use broker_core::chain::{Chain, ChainError, Landing};
use serde_json::json;

use super::{CONFIRMATIONS, CONTRACT, PROVIDER, Provider, client, config};
use crate::support::{Network, ZG};

/// Waits for a transaction in the mempool that is none of `known`.
fn next_waiting(network: &Network, known: &[String]) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(hash) = network.waiting().into_iter().find(|hash| !known.contains(hash)) {
            return hash;
        }
        assert!(Instant::now() < deadline, "no transaction arrives");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_waits_is_replaced_at_a_higher_price_and_paid_once() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 1, 1000);
    provider.network.set_automine(false);
    let network = &provider.network;
    let sent = provider.submit_while(&[voucher], || {
        let first = next_waiting(network, &[]);
        next_waiting(network, &[first]);
        assert_eq!(network.waiting().len(), 1, "the same number");
        network.mine(1);
    });
    let payment = provider.payment(voucher);
    assert_eq!((sent.unwrap(), payment.paid), (vec![payment.transaction], Neuron::new(1000)));
    assert_eq!(provider.statuses(), [0]);
}

#[test]
fn what_the_node_forgot_is_sent_again() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 1, 1000);
    provider.network.set_automine(false);
    let network = &provider.network;
    let sent = provider.submit_while(&[voucher], || {
        let first = next_waiting(network, &[]);
        network.drop_transaction(&first);
        next_waiting(network, &[first]);
        network.mine(1);
    });
    assert_eq!(sent.unwrap().len(), 1);
    assert_eq!(provider.payment(voucher).paid, Neuron::new(1000));
    assert_eq!(provider.statuses(), [0]);
}

#[test]
fn what_is_mined_after_we_gave_up_is_found_and_not_paid_twice() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 1, 1000);
    provider.network.set_automine(false);
    let patience = Duration::from_secs(3);
    let hasty = client(EvmConfig { patience, ..config(&provider.network) });
    let error = provider.wait(hasty.submit(vec![voucher])).unwrap_err();
    let ChainError::Pending(hash) = error else { panic!("{error}") };
    assert_eq!(provider.landing(voucher), Landing::NotYet);
    provider.network.mine(1);
    assert_eq!(provider.payment(voucher).transaction, hash);
    provider.network.set_automine(true);
    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.payment(voucher).transaction, hash);
    assert_eq!(provider.statuses(), [0, 4]);
}

#[test]
fn a_stuck_transaction_of_an_earlier_process_gives_way() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 1, 1000);
    let network = &provider.network;
    network.set_automine(false);
    let sent = json!([{"from": PROVIDER, "to": PROVIDER, "gasPrice": "0x12a05f200"}]);
    let stuck = network.rpc("eth_sendTransaction", sent).as_str().unwrap().to_owned();
    let patience = Duration::from_secs(3);
    let hasty = client(EvmConfig { patience, ..config(network) });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            next_waiting(network, std::slice::from_ref(&stuck));
            network.mine(1);
        });
        provider.wait(hasty.submit(vec![voucher])).unwrap();
    });
    assert!(network.rpc("eth_getTransactionReceipt", json!([stuck])).is_null());
    assert_eq!(provider.payment(voucher).paid, Neuron::new(1000));
}

#[test]
fn a_reverted_transaction_settles_nothing_and_the_voucher_goes_again() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 1, 1000);
    let network = &provider.network;
    let code = network.rpc("eth_getCode", json!([CONTRACT, "latest"]));
    network.set_automine(false);
    let error = provider.submit_while(&[voucher], || {
        next_waiting(network, &[]);
        // Whatever is called reverts.
        network.rpc("anvil_setCode", json!([CONTRACT, "0x5f5ffd"]));
        network.mine(1);
    });
    let ChainError::Reverted(text) = error.unwrap_err() else { panic!() };
    assert!(text.contains("reverted"), "{text}");
    network.rpc("anvil_setCode", json!([CONTRACT, code]));
    assert_eq!(provider.final_landing(voucher), Landing::NotYet);
    network.set_automine(true);
    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.payment(voucher).paid, Neuron::new(1000));
    assert_eq!(provider.statuses(), [0]);
}

#[test]
fn a_payment_that_a_reorganisation_undoes_was_never_counted() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    provider.network.mine(CONFIRMATIONS);
    let voucher = provider.voucher(2, 1, 1000);
    provider.submit(&[voucher]).unwrap();
    provider.network.mine(CONFIRMATIONS - 1);
    assert_eq!(provider.landing(voucher), Landing::NotYet);
    provider.network.reorganise(CONFIRMATIONS);
    assert_eq!(provider.final_landing(voucher), Landing::NotYet);
    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.payment(voucher).paid, Neuron::new(1000));
    assert_eq!(provider.statuses(), [0]);
}

#[test]
fn a_poor_wallet_and_a_dear_network_send_nothing() {
    let Some(provider) = Provider::serving(&[2]) else { return };
    let voucher = provider.voucher(2, 1, 1000);
    let cap = Neuron::new(1);
    let thrifty = client(EvmConfig { max_gas_price: Some(cap), ..config(&provider.network) });
    let error = provider.wait(thrifty.submit(vec![voucher])).unwrap_err();
    assert!(matches!(error, ChainError::GasTooDear { price, cap: limit }
        if price > cap && limit == cap));

    provider.network.set_balance(PROVIDER, 1_000_000);
    let error = provider.submit(&[voucher]).unwrap_err();
    let ChainError::TooPoor { has, needs, missing } = error else { panic!("{error}") };
    assert_eq!(has, Neuron::new(1_000_000));
    assert_eq!(has.checked_add(missing), Some(needs));
    provider.network.set_balance(PROVIDER, ZG);
    provider.submit(&[voucher]).unwrap();
    assert_eq!(provider.statuses(), [0]);
}
