//! A node that takes its time.

use std::sync::Arc;
use std::time::Duration;

use broker_core::Neuron;
use broker_core::chain::{Chain, ServiceParams};
use broker_core::testing::{ONE, SimChain, SimOptions};

use crate::moody::Moody;
use crate::support::{
    CHAT, Engine, SOON, Step, World, ask, block_on, get, post, wait_until, whole,
};

fn world(min_reserve: u128) -> (World, Arc<Moody>) {
    let answer = "{\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10}}";
    let engine = Engine::start(|_| vec![Step::Raw(whole(200, answer.as_bytes()))]);
    let chain = SimChain::new(SimOptions::default());
    let slow = Arc::new(Moody::of(&chain));
    let world = World::behind(engine, chain, slow.clone(), |settings| {
        settings.settlement.min_reserve = Neuron::new(min_reserve);
        settings.settlement.every_secs = 3600;
    });
    (world, slow)
}

#[test]
fn a_transaction_that_is_waited_for_keeps_no_gate_open() {
    let (world, slow) = world(0);
    let user = world.user(1, ONE);
    assert_eq!(world.chat(CHAT, &user.bearer()).status, 200);
    slow.submits.hold(true);
    assert_eq!(post(world.sidecar.admin, "/v1/settle", &[], "").status, 202);
    wait_until("a voucher is being sent", SOON, || slow.submits.is_met());
    world.chain.owner_acknowledges(false).unwrap();
    let ready = || get(world.sidecar.admin, "/readyz", &[]);
    wait_until("the gate is closed", SOON, || ready().text().contains("has not acknowledged"));
    assert!(slow.submits.is_met());
    slow.submits.hold(false);
}

#[test]
fn what_is_charged_are_the_prices_after_the_gate() {
    let (world, slow) = world(2 * ONE);
    let user = world.user(1, ONE);
    assert_ne!(world.chat(CHAT, &user.bearer()).status, 200, "the reserve is missing");
    world.chain.deposit(user.id, Neuron::new(2 * ONE)).unwrap();
    std::thread::sleep(Duration::from_millis(1100));
    slow.accounts.hold(true);
    let (addr, bearer) = (world.sidecar.addr, user.bearer());
    let answer = std::thread::scope(|scope| {
        let chat = scope.spawn(|| post(addr, CHAT, &[("authorization", &bearer)], ask()));
        wait_until("the escrow is read again", SOON, || slow.accounts.is_met());
        let params = ServiceParams { input_price: Neuron::new(100), ..world.service.clone() };
        block_on(world.chain.register(params)).unwrap();
        assert_eq!(post(world.sidecar.admin, "/v1/sync-service", &[], "").status, 202);
        slow.accounts.hold(false);
        chat.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    let receipt = world.sidecar.receipt(&answer.receipt());
    assert_eq!(receipt.fee, Neuron::new(20 * 100 + 10 * 2));
}
