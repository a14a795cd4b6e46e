//! That the network of the tests does what tests believe of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{
    Fault, FaultyNode, Network, Options, PROVIDER, PROVIDER_KEY, SOON, ZG, neuron, wait_until,
};

const SIGNER: &str = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A";

#[test]
fn a_user_of_the_sdk_gets_an_account_with_a_registered_provider() {
    let Some(network) = Network::start() else { return };
    network.register("http://127.0.0.1:1", (100, 200), SIGNER);
    let service = network.ask("service", json!({}));
    assert_eq!(service["teeSignerAddress"], SIGNER);
    assert_eq!(service["teeSignerAcknowledged"], false);
    network.owner_acknowledges();
    assert_eq!(network.ask("service", json!({}))["teeSignerAcknowledged"], true);

    assert_eq!(network.account(2), None);
    network.ask("sdk_add_ledger", json!({"user": 2, "amount": 10}));
    network.ask("sdk_acknowledge", json!({"user": 2}));
    let account = network.account(2).unwrap();
    assert!(account.acknowledged);
    assert_eq!((account.balance, account.nonce), (ZG, 0));
    let ledger = network.ask("ledger", json!({"user": 2}));
    assert_eq!(neuron(&ledger["availableBalance"]), 9 * ZG);
    let metadata = network.ask("sdk_metadata", json!({"user": 2}));
    assert_eq!(metadata, json!({"endpoint": "http://127.0.0.1:1/v1/proxy", "model": "tiny"}));
}

#[test]
fn another_signer_loses_the_acknowledgement_and_other_prices_do_not() {
    let Some(network) = Network::start() else { return };
    let acknowledged =
        || network.ask("service", json!({}))["teeSignerAcknowledged"].as_bool().unwrap();
    network.register("http://127.0.0.1:1", (100, 200), SIGNER);
    network.owner_acknowledges();
    network.register("http://127.0.0.1:2", (300, 400), SIGNER);
    assert!(acknowledged());
    network.register("http://127.0.0.1:2", (300, 400), PROVIDER);
    assert!(!acknowledged());
    network.owner_acknowledges();
    network.owner_revokes();
    assert!(!acknowledged());
    network.ask("remove_service", json!({}));
    assert!(network.ask("service", json!({})).is_null());
}

#[test]
fn sixty_users_fund_and_take_back() {
    let Some(network) = Network::with(&Options { accounts: 70, ..Options::default() }) else {
        return;
    };
    network.register("http://127.0.0.1:1", (100, 200), SIGNER);
    let users: Vec<u32> = (2..62).collect();
    network.fund(&users, 5 * ZG, 2 * ZG);
    for user in users {
        let account = network.account(user).unwrap();
        assert_eq!((account.balance, account.pending_refund), (2 * ZG, 0));
        assert!(account.acknowledged);
    }
    network.retrieve(61);
    assert_eq!(network.account(61).unwrap().pending_refund, 2 * ZG);
    network.increase_time(3601);
    network.retrieve(61);
    assert_eq!(network.account(61).unwrap().balance, 0);
}

#[test]
fn tokens_are_revoked_one_by_one_and_all_at_once() {
    let Some(network) = Network::start() else { return };
    network.register("http://127.0.0.1:1", (100, 200), SIGNER);
    network.fund(&[2], 5 * ZG, 2 * ZG);
    network.ask("revoke_token", json!({"user": 2, "tokenId": 1}));
    network.ask("revoke_tokens", json!({"user": 2, "tokenIds": [3, 4]}));
    assert_eq!(network.account(2).unwrap().revoked_bitmap, "26");
    network.ask("revoke_all_tokens", json!({"user": 2}));
    let account = network.account(2).unwrap();
    assert_eq!((account.generation, account.revoked_bitmap.as_str()), (1, "0"));
}

#[test]
fn transactions_wait_are_dropped_and_are_forgotten_by_a_reorganisation() {
    let Some(network) = Network::start() else { return };
    let (sender, key) = network.wallet(1);
    assert_eq!((sender.as_str(), key.as_str()), (PROVIDER, PROVIDER_KEY));
    let receiver = "0x00000000000000000000000000000000000000aa";
    let pay = || {
        let sent = json!([{"from": PROVIDER, "to": receiver, "value": "0x7"}]);
        network.rpc("eth_sendTransaction", sent).as_str().unwrap().to_owned()
    };
    network.set_automine(false);
    let hash = pay();
    assert_eq!(network.waiting(), std::slice::from_ref(&hash));
    network.drop_transaction(&hash);
    network.mine(1);
    assert_eq!(network.balance(receiver), 0);
    let hash = pay();
    network.mine(1);
    assert_eq!(network.balance(receiver), 7);
    // Mined by the clock, in the next seconds.
    network.set_interval(1);
    let by_clock = pay();
    let receipt = || network.rpc("eth_getTransactionReceipt", json!([by_clock]));
    wait_until("a block", SOON, || !receipt().is_null());
    network.set_interval(0);
    assert_eq!(network.balance(receiver), 14);
    let block = network.block();
    network.reorganise(2);
    assert_eq!((network.block(), network.balance(receiver)), (block, 0));
    assert!(network.rpc("eth_getTransactionReceipt", json!([hash])).is_null());
    network.set_balance(receiver, 3 * ZG);
    assert_eq!(network.balance(receiver), 3 * ZG);
    assert!(network.settlements().is_empty());
}

#[test]
fn a_faulty_node_refuses_or_carries_out_what_it_does_not_answer() {
    let Some(network) = Network::start() else { return };
    let node = FaultyNode::before(&network);
    let receiver = "0x00000000000000000000000000000000000000aa";
    let sent = json!([{"from": PROVIDER, "to": receiver, "value": "0x1"}]);
    // The node mines a moment after it has answered.
    let has = |neuron| {
        wait_until("the money", SOON, || network.balance(receiver) == neuron);
    };
    node.spoil("eth_sendTransaction", Fault::Refused, 1);
    node.spoil("eth_sendTransaction", Fault::ErrsAfterwards, 1);
    for received in [0, 1] {
        assert!(node.call("eth_sendTransaction", &sent).is_err());
        has(received);
    }
    node.spoil("eth_sendTransaction", Fault::Silent, 1);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": sent});
    let body = body.to_string();
    let mut connection = TcpStream::connect(node.url().trim_start_matches("http://")).unwrap();
    let head = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", body.len());
    connection.write_all(&[head, body].concat().into_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
    has(2);
    assert!(node.is_through());
    node.call("eth_sendTransaction", &sent).unwrap();
    has(3);
}
