//! The service, and how its registration becomes final.

use std::time::Instant;

use broker_core::Neuron;
use broker_core::chain::{Chain, ChainError, ServiceParams};
use serde_json::json;

use crate::landing::voucher;
use crate::node::{FakeNode, PATIENCE, Reply};

/// `ServiceNotExist` of the address 0x22.
const NO_SERVICE: &str =
    "0x098eda7e0000000000000000000000000000000000000000000000000000000000000022";

#[tokio::test]
async fn the_first_registration_sends_the_stake_and_is_final_when_enough_blocks_follow() {
    let node = FakeNode::start().await;
    let reply = Reply::Error(3, "execution reverted".into(), json!(NO_SERVICE));
    node.state().world.views.insert("15a52302", reply);
    let chain = node.chain();
    assert_eq!(chain.service().await.unwrap(), None);
    let error = chain.register(ServiceParams::default()).await.unwrap_err();
    let hash = node.state().world.arrived[0].hash;
    assert_eq!(error, ChainError::Pending(hash));
    assert_eq!(node.state().world.arrived[0].value, Neuron::new(100));

    node.rule("eth_getBlockByNumber", |world, _| {
        world.height += 1;
        None
    });
    let registered = chain.register(ServiceParams::default()).await.unwrap();
    assert_eq!(registered, node.state().world.arrived[1].hash);
}

#[tokio::test]
async fn others_send_while_a_registration_waits_to_be_final() {
    let node = FakeNode::start().await;
    let reply = Reply::Error(3, "execution reverted".into(), json!(NO_SERVICE));
    node.state().world.views.insert("15a52302", reply);
    let chain = node.chain();
    let (registered, sent) = tokio::join!(chain.register(ServiceParams::default()), async {
        while node.state().world.mined.is_empty() {
            tokio::time::sleep(PATIENCE / 40).await;
        }
        let begun = Instant::now();
        let sent = chain.submit(vec![voucher(5, 100)]).await;
        assert!(begun.elapsed() < PATIENCE);
        node.state().world.height += 2;
        sent
    });
    assert_eq!(sent.unwrap(), [node.state().world.arrived[1].hash]);
    assert_eq!(registered.unwrap(), node.state().world.arrived[0].hash);
}

#[tokio::test]
async fn a_registration_that_a_reorganisation_moves_or_turns_is_followed() {
    for (status, succeeds) in [(1, true), (0, false)] {
        let node = FakeNode::start().await;
        let reply = Reply::Error(3, "execution reverted".into(), json!(NO_SERVICE));
        node.state().world.views.insert("15a52302", reply);
        let mut looks = 0;
        node.rule("eth_getBlockByNumber", move |world, _| {
            looks += 1;
            if looks == 8 {
                world.height += 20;
                let height = world.height;
                world.mined.values_mut().for_each(|mined| (mined.0, mined.1) = (height, status));
            } else if looks > 8 {
                world.height += 1;
            }
            None
        });
        let registered = node.chain().register(ServiceParams::default()).await;
        match registered {
            Ok(hash) => assert!(succeeds && hash == node.state().world.arrived[0].hash),
            Err(ChainError::Reverted(_)) => assert!(!succeeds),
            Err(error) => panic!("{error}"),
        }
        assert!(node.state().world.height > 1020);
    }
}
