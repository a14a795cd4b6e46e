//! A provider on the chain: 0G's own client is served, and the fees are collected.

use std::time::Duration;

use serde_json::{Value, json};

use crate::sdk::{TEXT, chat, engine, verify};
use crate::support::{
    Engine, Fault, FaultyNode, Network, PROVIDER, Sidecar, ZG, get, neuron, wait_until,
};

/// A sidecar on the chain whose operator registered it, whose signer the owner trusts.
pub(crate) fn provider(network: &Network, engine: &Engine, prices: (u128, u128)) -> Sidecar {
    provider_at(&network.url(), network, engine, prices)
}

/// The same, behind a node of its own.
pub(crate) fn provider_at(
    node: &str,
    network: &Network,
    engine: &Engine,
    prices: (u128, u128),
) -> Sidecar {
    let sidecar = Sidecar::on(node, engine);
    enter(&sidecar, network, engine, prices);
    sidecar
}

/// Registers it, and waits until it takes requests.
pub(crate) fn enter(sidecar: &Sidecar, network: &Network, engine: &Engine, prices: (u128, u128)) {
    sidecar.register(engine, prices);
    let service = network.ask("service", json!({}));
    assert_eq!(service["url"], sidecar.url());
    assert_eq!(service["teeSignerAddress"].as_str().unwrap(), sidecar.signer());
    assert_eq!(service["model"], "tiny");
    network.owner_acknowledges();
    // It looks by itself too, but not at once.
    sidecar.settle();
    sidecar.wait_until_ready();
}

/// What the sidecar tells the SDK that user 2 owes.
fn owed(network: &Network, sidecar: &Sidecar) -> u128 {
    let headers = network.ask("sdk_headers", json!({"user": 2}));
    let authorization = headers["Authorization"].as_str().unwrap();
    let (user, _) = network.wallet(2);
    let path = format!("/v1/user/{user}/unsettledfee");
    let answer = get(sidecar.public, &path, &[("authorization", authorization)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    neuron(&answer.json()["unsettledFee"])
}

#[test]
fn a_user_of_the_sdk_is_served_and_pays_exactly_what_was_charged() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let sidecar = provider(&network, &engine, (100_000, 200_000));
    network.ask("sdk_add_ledger", json!({"user": 2, "amount": 10}));
    network.ask("sdk_acknowledge", json!({"user": 2}));
    let metadata = network.ask("sdk_metadata", json!({"user": 2}));
    assert_eq!(metadata["endpoint"], format!("{}/v1/proxy", sidecar.url()));

    let models = network.ask("sdk_models", json!({"user": 2}));
    assert!(models["models"].to_string().contains("tiny"), "{models}");
    let folder = tempfile::tempdir().unwrap();
    verify(&network, folder.path(), true);

    let fee = 13 * 100_000 + 5 * 200_000;
    for (n, stream) in [false, true, true].into_iter().enumerate() {
        let answer = chat(&network, &sidecar, stream);
        assert_eq!(answer["provider"], PROVIDER);
        assert_eq!(owed(&network, &sidecar), (n as u128 + 1) * fee);
    }
    let before = network.account(2).unwrap().balance;
    sidecar.settle();
    wait_until("the settlement", SETTLED, || !network.settlements().is_empty());
    wait_until("the ledger", SETTLED, || owed(&network, &sidecar) == 0);
    let vouchers = network.settlements();
    assert_eq!(vouchers.len(), 1);
    assert_eq!((&vouchers[0]["status"], neuron(&vouchers[0]["fee"])), (&json!(0), 3 * fee));
    assert_eq!(before - network.account(2).unwrap().balance, 3 * fee);
}

#[test]
fn a_key_of_the_sdk_that_lasts_is_served_until_it_is_revoked() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let sidecar = provider(&network, &engine, (100, 200));
    network.fund(&[2], 10 * ZG, 3 * ZG);
    network.ask("sdk_acknowledge", json!({"user": 2}));
    let keys: Vec<Value> = (1..=2)
        .map(|id| network.ask("sdk_api_key", json!({"user": 2, "options": {"tokenId": id}})))
        .collect();
    let ask = |key: &Value| {
        let bearer = format!("Bearer {}", key["rawToken"].as_str().unwrap());
        let headers = json!({"Authorization": bearer});
        network.try_ask("sdk_chat", json!({"user": 2, "maxTokens": 5, "headers": headers}))
    };
    // Before the sidecar has heard of the account.
    network.ask("revoke_token", json!({"user": 2, "tokenId": 2}));
    assert_eq!(ask(&keys[0]).unwrap()["text"], TEXT);
    let refused = ask(&keys[1]).unwrap_err();
    assert!(refused.contains("session token has been revoked"), "{refused}\n{}", sidecar.log());
    assert_eq!(engine.requests(), 1);
}

#[test]
fn the_sdk_tops_the_account_up_by_what_the_sidecar_says_is_owed() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    // A tenth of a 0G for each token that is made.
    let sidecar = provider(&network, &engine, (1, ZG / 10));
    network.ask("sdk_add_ledger", json!({"user": 2, "amount": 10}));
    network.ask("sdk_acknowledge", json!({"user": 2}));
    assert_eq!(network.account(2).unwrap().balance, ZG);
    // Nothing is owed: twice the minimum.
    network.ask("sdk_headers", json!({"user": 2}));
    assert_eq!(network.account(2).unwrap().balance, 2 * ZG);
    chat(&network, &sidecar, false);
    chat(&network, &sidecar, true);
    let fee = 13 + ZG / 2;
    // What is owed was asked for before each: half a 0G before the second, which brought one more.
    assert_eq!(network.account(2).unwrap().balance, 3 * ZG);
    assert_eq!(owed(&network, &sidecar), 2 * fee);
    // That asked again: what is owed and twice the minimum are more than is there.
    assert_eq!(network.account(2).unwrap().balance, 4 * ZG);
}

pub(crate) const SETTLED: Duration = Duration::from_secs(60);

/// All that the provider was paid, and what it was asked to be paid, over all vouchers.
pub(crate) fn paid(network: &Network) -> u128 {
    let vouchers = network.settlements();
    let landed = vouchers.iter().filter(|voucher| voucher["status"].as_u64().unwrap() <= 1);
    landed.map(|voucher| neuron(&voucher["fee"]) - neuron(&voucher["unsettled"])).sum()
}

#[test]
fn a_provider_killed_while_it_collects_is_paid_once() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let mut sidecar = provider(&network, &engine, (100_000, 200_000));
    network.fund(&[2], 10 * ZG, 5 * ZG);
    let fee = 13 * 100_000 + 5 * 200_000;
    for round in 1..=4_u64 {
        chat(&network, &sidecar, false);
        // The voucher is mined when the process is gone, or waits when it comes back.
        network.set_automine(false);
        sidecar.settle();
        wait_until("a transaction that waits", SETTLED, || !network.waiting().is_empty());
        sidecar.kill();
        match round {
            1 => network.mine(1),
            2 => network.drop_transaction(&network.waiting()[0]),
            _ => {}
        }
        network.set_automine(true);
        if round == 3 {
            network.mine(1);
        }
        sidecar.start_again();
        sidecar.wait_until_ready();
        sidecar.settle();
        let all = u128::from(round) * fee;
        wait_until("the money", SETTLED, || paid(&network) == all);
        wait_until("the ledger", SETTLED, || owed(&network, &sidecar) == 0);
    }
    assert_eq!(5 * ZG - network.account(2).unwrap().balance, 4 * fee);
    sidecar.kill();
    sidecar.run(&["ledger", "audit"]);
}

#[test]
fn a_node_that_loses_its_answers_changes_nothing_of_what_is_paid() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let node = FaultyNode::before(&network);
    let sidecar = provider_at(&node.url(), &network, &engine, (100_000, 200_000));
    network.fund(&[2], 10 * ZG, 5 * ZG);
    let fee = 13 * 100_000 + 5 * 200_000;
    for (round, fault) in (1..).zip([Fault::Refused, Fault::ErrsAfterwards, Fault::Silent]) {
        chat(&network, &sidecar, false);
        node.spoil("eth_sendRawTransaction", fault, 1);
        sidecar.settle();
        wait_until("the fault", SETTLED, || node.is_through());
        sidecar.settle();
        wait_until("the money", SETTLED, || paid(&network) == round * fee);
        wait_until("the ledger", SETTLED, || owed(&network, &sidecar) == 0);
    }
    assert_eq!(5 * ZG - network.account(2).unwrap().balance, 3 * fee);
}

#[test]
fn what_is_owed_outlives_the_loss_of_the_acknowledgement() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let sidecar = provider(&network, &engine, (100_000, 200_000));
    network.fund(&[2], 10 * ZG, 5 * ZG);
    let fee = 13 * 100_000 + 5 * 200_000;
    chat(&network, &sidecar, false);
    network.owner_revokes();
    sidecar.settle();
    wait_until("a sidecar that takes nothing", SETTLED, || {
        get(sidecar.admin, "/readyz", &[]).status == 503
    });
    let asked = json!({"user": 2, "maxTokens": 5});
    let refused = network.try_ask("sdk_chat", asked).unwrap_err();
    assert!(refused.starts_with("503") || refused.starts_with("400"), "{refused}");
    assert_eq!((engine.requests(), paid(&network)), (1, 0));
    network.owner_acknowledges();
    // By itself, and what was owed is paid with what comes.
    sidecar.wait_until_ready();
    sidecar.settle();
    wait_until("the money", SETTLED, || paid(&network) == fee);
    chat(&network, &sidecar, true);
    sidecar.settle();
    wait_until("the rest", SETTLED, || paid(&network) == 2 * fee);
}

#[test]
fn who_takes_the_money_back_pays_first() {
    let Some(network) = Network::start() else { return };
    let engine = engine();
    let sidecar = provider(&network, &engine, (1, ZG / 10));
    network.fund(&[2], 10 * ZG, 3 * ZG);
    let fee = 13 + ZG / 2;
    chat(&network, &sidecar, false);
    // Pending, and still there for what is owed.
    network.retrieve(2);
    assert_eq!(network.account(2).unwrap().pending_refund, 3 * ZG);
    sidecar.settle();
    wait_until("the money", SETTLED, || paid(&network) == fee);
    let account = network.account(2).unwrap();
    assert_eq!((account.balance, account.pending_refund), (3 * ZG - fee, 3 * ZG - fee));
    network.increase_time(3601);
    network.retrieve(2);
    assert_eq!(network.account(2).unwrap().balance, 0);
    let ledger = network.ask("ledger", json!({"user": 2}));
    assert_eq!(neuron(&ledger["totalBalance"]), 10 * ZG - fee);
}
