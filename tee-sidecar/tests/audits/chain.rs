//! A settlement that a node shows.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use broker_core::verify::Settled;
use broker_core::{Digest32, Neuron, UserId};
use serde_json::{Value, json};

use crate::host::*;
use crate::invoices::{settlement, voucher, voucher_with};

const CONTRACT: &str = "0xcccccccccccccccccccccccccccccccccccccccc";

/// The words of a call of settleFeesWithTEE with these vouchers, by the contract's ABI.
fn call(vouchers: &[Settled]) -> String {
    let word = |n: u128| format!("{n:064x}");
    let address = |hex: &str| format!("{:0>64}", hex.trim_start_matches("0x").to_lowercase());
    let item = |settled: &Settled| {
        [
            address(&settled.user.to_string()),
            address(&settled.provider.to_string()),
            word(settled.total.get()),
            settled.requests_hash.to_string(),
            word(settled.nonce.into()),
            word(6 * 32),
            word(65),
            "5a".repeat(65) + &"0".repeat(62),
        ]
        .concat()
    };
    let items: Vec<_> = vouchers.iter().map(item).collect();
    let mut words = vec![word(32), word(items.len() as u128)];
    let mut offset = items.len() * 32;
    for item in &items {
        words.push(word(offset as u128));
        offset += item.len() / 2;
    }
    format!("0x8be74119{}{}", words.concat(), items.concat())
}

fn event(settled: &Settled, status: u8, unsettled: u128) -> Value {
    let user = settled.user.to_string();
    json!({
        "address": CONTRACT,
        "topics": [
            "0x1f69e5b87fd0ce34b3760ba6e5d8aa95a36e316c3ba44e1e65a9d0eb9e96d0bf",
            format!("0x{:0>64}", user.trim_start_matches("0x")),
        ],
        "data": format!("0x{status:064x}{unsettled:064x}"),
        "transactionHash": hash(),
    })
}

fn hash() -> String {
    format!("0x{}", Digest32([0x77; 32]))
}

/// A node that knows one transaction with these vouchers, as long as the test runs.
fn node(vouchers: Vec<Settled>, events: Vec<Value>) -> String {
    nodes(vec![(hash(), vouchers, events)])
}

type Sent = (String, Vec<Settled>, Vec<Value>);

/// A node that knows these transactions.
fn nodes(sent: Vec<Sent>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &sent);
        }
    });
    url
}

fn serve(mut stream: TcpStream, sent: &[Sent]) {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    let call_of = loop {
        let count = stream.read(&mut piece).unwrap();
        if count == 0 {
            return;
        }
        request.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        let whole = body.and_then(|body| serde_json::from_str::<Value>(&body).ok());
        if let Some(call) = whole {
            break call;
        }
    };
    let known = sent.iter().find(|(hash, ..)| call_of["params"][0] == **hash);
    let result = match (call_of["method"].as_str().unwrap(), known) {
        ("eth_chainId", _) => json!("0x40d9"),
        (_, None) => Value::Null,
        ("eth_getTransactionByHash", Some((_, vouchers, _))) => {
            let from = format!("0x{}", "ee".repeat(20));
            json!({"from": from, "to": CONTRACT, "input": call(vouchers)})
        }
        ("eth_getTransactionReceipt", Some((.., events))) => json!({
            "blockNumber": "0x2a", "blockHash": hash(), "status": "0x1", "logs": events,
        }),
        (other, _) => panic!("{other} was not expected"),
    };
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).unwrap();
}

#[test]
fn a_bill_is_matched_with_the_voucher_that_the_chain_shows() {
    let host = Host::new();
    let receipts = host.receipts(1..=6);
    let mine = voucher(&receipts[..5]);
    let other = Settled { user: UserId::new([0xcd; 20]), ..mine };
    let account = user().to_string();
    let tx = hash();
    let judge = |vouchers: Vec<Settled>, events: Vec<Value>, more: &[&str]| {
        let url = node(vouchers, events);
        let args = ["--settlement", &tx, "--rpc", &url];
        host.verify_invoice(&receipts, &[&args[..], more].concat())
    };
    let paid = event(&mine, 0, 0);
    let judged = judge(vec![mine], vec![paid.clone()], &[]);
    judged.ends(0, "not checked  settlement.contract");
    judged.ends(0, "was called, on chain 16601, for the provider 0xEeee");
    let judged = judge(vec![mine], vec![paid.clone()], &["--contract", CONTRACT]);
    judged.ends(0, "block 42 paid 8000 of 8000 neuron");
    judged.ends(0, "are those of 5 receipts");
    judged.ends(0, "1 receipt with 2200 neuron in all stand behind it");
    assert!(!judged.errors.contains("secret"), "{}", judged.errors);
    let both = (vec![other, mine], vec![event(&other, 0, 0), event(&mine, 1, 300)]);
    judge(both.0.clone(), both.1.clone(), &["--account", &account]).ends(0, "paid 7700 of 8000");
    judge(both.0, both.1, &[]).ends(64, "--account");
    judge(vec![mine], vec![event(&mine, 2, 0)], &[]).ends(10, "did not take the voucher");
    let elsewhere = ["--contract", "0xcccccccccccccccccccccccccccccccccccccccd"];
    judge(vec![mine], vec![paid.clone()], &elsewhere).ends(10, "settlement.contract");
    let forged = Settled { requests_hash: Digest32([1; 32]), ..mine };
    judge(vec![forged], vec![paid.clone()], &[]).ends(10, "not that of these receipts");
    judge(vec![other], vec![event(&other, 0, 0)], &[]).ends(10, "another account's");
    let unknown = format!("0x{}", "78".repeat(32));
    let url = node(vec![mine], vec![paid]);
    let args = ["--settlement", &unknown, "--rpc", &url];
    host.verify_invoice(&receipts, &args).ends(20, "no block with");
}

#[test]
fn what_a_transaction_left_unpaid_is_the_next_voucher_s_carry() {
    let host = Host::new();
    let receipts = host.receipts(1..=6);
    let hash = |n: u8| format!("0x{}", Digest32([n; 32]));
    let rest = Neuron::new(300);
    let first = voucher_with(&receipts[..3], Neuron::ZERO, 1);
    let partial = (hash(1), vec![first], vec![event(&first, 1, 300)]);
    let judge = |sent: Vec<Sent>, more: &[&str]| {
        let url = nodes(sent);
        let (one, two) = (hash(1), hash(2));
        let args = ["--rpc", &url, "--settlement", &one, "--settlement", &two];
        let args = if more.is_empty() { &args[..] } else { &args[..4] };
        host.verify_invoice(&receipts, &[args, more].concat())
    };
    let second = voucher_with(&receipts[3..], rest, 2);
    let paid = (hash(2), vec![second], vec![event(&second, 0, 0)]);
    let judged = judge(vec![partial.clone(), paid], &[]);
    judged.ends(0, "nonce 1: its 4200 neuron");
    judged.ends(0, "are those of 3 receipts and of 300 neuron that are carried over");
    // Of nothing but the rest, before receipts that nothing paid yet.
    let alone = voucher_with(&[], rest, 2);
    let paid = (hash(2), vec![alone], vec![event(&alone, 0, 0)]);
    let judged = judge(vec![partial.clone(), paid], &[]);
    judged.ends(0, "nonce 2: its 300 neuron");
    judged.ends(0, "3 receipts with 6000 neuron in all stand behind it");
    // Who has the second transaction alone cannot know of the rest, nor who lacks the first one.
    let alone = |sent: Vec<Sent>, more: &[&str]| {
        let url = nodes(sent);
        let args = ["--rpc", &url, "--settlement", &hash(2)];
        host.verify_invoice(&receipts[3..], &[&args[..], more].concat())
    };
    let paid = (hash(2), vec![second], vec![event(&second, 0, 0)]);
    alone(vec![paid.clone()], &[]).ends(20, "left unpaid: give --carry");
    alone(vec![paid.clone()], &["--carry", "0"]).ends(10, "nonce 2");
    alone(vec![paid.clone()], &["--carry", "300"]).ends(0, "300 neuron that are carried over");
    judge(vec![paid], &[]).ends(20, "not every settlement is at hand");
    // Both in one transaction.
    let both = (hash(1), vec![first, second], vec![event(&first, 1, 300), event(&second, 0, 0)]);
    let account = user().to_string();
    let judged = judge(vec![both], &["--carry", "0", "--account", &account]);
    judged.ends(0, "nonce 1: its 4200 neuron");
    judged.ends(0, "are those of 3 receipts and of 300 neuron that are carried over");
    // All of it asked for again, or a file that says another rest than the chain shows.
    let greedy = voucher_with(&receipts[3..], Neuron::new(400), 2);
    let paid = (hash(2), vec![greedy], vec![event(&greedy, 0, 0)]);
    judge(vec![partial.clone(), paid], &[]).ends(10, "nonce 2");
    host.write("greedy.json", &settlement(&greedy));
    let judged = judge(vec![partial], &["--settlement", "greedy.json"]);
    judged.ends(20, "carries 400 neuron over, and the voucher before it left 300 unpaid");
}
