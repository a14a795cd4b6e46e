//! What became of a voucher, from what a node shows.

use broker_core::chain::{Chain, Landing};
use broker_core::{Digest32, LocalSigner, Neuron, SignedVoucher, Signer, UserId, Voucher};
use serde_json::json;

use crate::node::{FakeNode, Reply};
use crate::world::account;

/// A voucher of the user 0x11… for the wallet of these tests.
pub(crate) fn voucher(nonce: u64, total: u128) -> SignedVoucher {
    let signer = LocalSigner::from_secret(&[0x46; 32]).unwrap();
    let voucher = Voucher {
        user: UserId::new([0x11; 20]),
        provider: signer.address(),
        total: Neuron::new(total),
        requests_hash: Digest32([0x33; 32]),
        nonce,
    };
    let contract = broker_core::Address([0xcc; 20]);
    let domain = broker_core::Domain { chain_id: 31337, contract };
    voucher.sign(&domain, &signer).unwrap()
}

/// A node whose contract took `voucher` with this result, deep enough to be final.
async fn landed(voucher: SignedVoucher, result: (u8, u128)) -> FakeNode {
    let node = FakeNode::start().await;
    node.state().world.results = vec![result];
    node.chain().submit(vec![voucher]).await.unwrap();
    let world = &mut node.state().world;
    world.height += 10;
    world.views.insert("fd590847", account(u128::from(voucher.voucher.nonce), 900));
    node.clone()
}

async fn landing(node: &FakeNode, voucher: SignedVoucher) -> Landing {
    node.chain().landing(voucher, 0).await.unwrap()
}

#[tokio::test]
async fn what_the_contract_took_is_paid_whole_or_in_part() {
    for (result, paid) in [((0, 0), 100), ((1, 30), 70), ((1, 100), 0)] {
        let node = landed(voucher(5, 100), result).await;
        let Landing::Paid(payment) = landing(&node, voucher(5, 100)).await else { panic!() };
        assert_eq!((payment.paid, payment.cover), (Neuron::new(paid), Neuron::new(900)));
        assert_eq!(payment.block.number, 1001);
        assert_eq!(payment.block.hash, Digest32::keccak256(&1001_u64.to_be_bytes()));
        assert_eq!(payment.transaction, node.state().world.arrived[0].hash);
    }
}

#[tokio::test]
async fn a_nonce_that_no_final_block_has_taken_is_not_yet() {
    let node = landed(voucher(5, 100), (0, 0)).await;
    assert_eq!(landing(&node, voucher(6, 100)).await, Landing::NotYet);
    let missing = json!(format!("0x08ca03ac{}", "00".repeat(64)));
    let reply = Reply::Error(3, "execution reverted".into(), missing);
    node.state().world.views.insert("fd590847", reply);
    assert_eq!(landing(&node, voucher(5, 100)).await, Landing::NotYet);
}

#[tokio::test]
async fn another_voucher_with_the_nonce_is_told_from_ours() {
    let node = landed(voucher(5, 100), (0, 0)).await;
    assert_eq!(landing(&node, voucher(5, 101)).await, Landing::Other { nonce: 5 });
    let mut other = voucher(5, 100);
    other.voucher.requests_hash = Digest32([0x34; 32]);
    assert_eq!(landing(&node, other).await, Landing::Other { nonce: 5 });
    let mut same = voucher(5, 100);
    same.signature.0[64] ^= 1;
    assert!(matches!(landing(&node, same).await, Landing::Paid(_)));
}

#[tokio::test]
async fn ours_is_paid_although_later_ones_were_taken_since() {
    let node = landed(voucher(5, 100), (0, 0)).await;
    node.chain().submit(vec![voucher(6, 1)]).await.unwrap();
    node.state().world.height += 10;
    node.state().world.views.insert("fd590847", account(6, 900));
    assert!(matches!(landing(&node, voucher(5, 100)).await, Landing::Paid(_)));
}

#[tokio::test]
async fn what_is_no_evidence_leaves_it_unknown() {
    let unknown = Landing::Unknown { nonce: 5 };
    // The contract refused the item, so something else took the nonce.
    for status in [2, 3, 4, 5] {
        let node = landed(voucher(5, 100), (status, 0)).await;
        assert_eq!(landing(&node, voucher(5, 100)).await, unknown);
    }
    let node = landed(voucher(5, 100), (0, 0)).await;
    node.state().world.results = vec![(0, 0), (0, 0)];
    assert_eq!(landing(&node, voucher(5, 100)).await, unknown, "an event too many");
    node.state().world.results = vec![(0, 0)];
    node.state().world.sender = broker_core::Address([9; 20]);
    assert_eq!(landing(&node, voucher(5, 100)).await, unknown, "another provider's");
    let node = landed(voucher(5, 100), (0, 0)).await;
    node.state().world.mined.values_mut().for_each(|mined| mined.1 = 0);
    assert_eq!(landing(&node, voucher(5, 100)).await, unknown, "a reverted transaction");
    let node = landed(voucher(5, 100), (0, 0)).await;
    let later = node.chain().landing(voucher(5, 100), 1002).await.unwrap();
    assert_eq!(later, unknown, "searched from a later block on");
}

#[tokio::test]
async fn an_event_that_the_node_shows_a_little_later_is_found() {
    let node = landed(voucher(5, 100), (0, 0)).await;
    let mut calls = 0;
    node.rule("eth_getLogs", move |_, _| {
        calls += 1;
        (calls == 1).then(|| Reply::Result(json!([])))
    });
    assert!(matches!(landing(&node, voucher(5, 100)).await, Landing::Paid(_)));
}

#[tokio::test]
async fn a_node_s_limit_of_blocks_is_kept() {
    let node = landed(voucher(5, 100), (0, 0)).await;
    node.state().world.height = 21_000;
    node.rule("eth_getLogs", |_, params| {
        let bound =
            |name: &str| u64::from_str_radix(&params[0][name].as_str().unwrap()[2..], 16).unwrap();
        let wide = bound("toBlock") - bound("fromBlock") >= 1000;
        wide.then(|| Reply::Error(-32005, "query exceeds 1000 blocks".into(), json!(null)))
    });
    assert!(matches!(landing(&node, voucher(5, 100)).await, Landing::Paid(_)));

    node.rule("eth_getLogs", |_, _| Some(Reply::Error(-32005, "rate limit".into(), json!(null))));
    let error = node.chain().landing(voucher(5, 100), 0).await.unwrap_err();
    assert!(error.to_string().contains("rate limit"), "{error}");
}

#[tokio::test]
async fn a_voucher_whose_nonce_was_jumped_over_never_lands() {
    let node = landed(voucher(6, 0), (0, 0)).await;
    assert_eq!(landing(&node, voucher(5, 100)).await, Landing::Other { nonce: 6 });
}

#[tokio::test]
async fn a_search_far_back_widens_again_and_has_an_end() {
    let node = landed(voucher(5, 100), (0, 0)).await;
    node.state().world.height = 1_000_000;
    let mut calls = 0;
    node.rule("eth_getLogs", move |_, _| {
        calls += 1;
        (calls <= 8).then(|| Reply::Error(-32005, "rate limit".into(), json!(null)))
    });
    assert!(matches!(landing(&node, voucher(5, 100)).await, Landing::Paid(_)));
    let calls = || node.state().calls.iter().filter(|call| call.0 == "eth_getLogs").count();
    assert!(calls() < 300, "{}", calls());

    node.state().world.height = 3_000_000;
    let before = calls();
    let error = node.chain().landing(voucher(5, 100), 0).await.unwrap_err();
    assert!(error.to_string().contains("400 requests away"), "{error}");
    assert_eq!(calls() - before, 400);
}

#[tokio::test]
async fn more_unpaid_than_there_was_is_the_node_s_error() {
    let node = landed(voucher(5, 100), (1, 101)).await;
    assert!(node.chain().landing(voucher(5, 100), 0).await.is_err());
}
