//! A hundred requests at once with money for ten: nothing is ever paid in part.

use std::sync::Barrier;
use std::time::Duration;

use crate::provider::{SETTLED, enter, paid};
use crate::support::{Customer, Engine, Network, Sidecar, Step, ZG, wait_until, whole};

/// Five generated tokens, and nothing for the prompt: the worst case is what they cost.
const PRICE: u128 = ZG / 10;
const FEE: u128 = 5 * PRICE;

#[test]
fn a_hundred_at_once_with_money_for_ten_are_paid_in_whole() {
    let Some(network) = Network::start() else { return };
    let answer = "{\"id\":\"engine\",\"choices\":[],\"usage\":{\"prompt_tokens\":13,\
                  \"total_tokens\":18,\"completion_tokens\":5}}";
    // Long enough for all of them to be there.
    let pause = Duration::from_millis(500);
    let engine =
        Engine::start(move |_| vec![Step::Pause(pause), Step::Raw(whole(200, answer.as_bytes()))]);
    let no_reserve = "settlement: {minReserveNeuron: 0}\n";
    let sidecar = Sidecar::on_with(&network.url(), &engine, 0, no_reserve);
    enter(&sidecar, &network, &engine, (0, PRICE));
    let customer = Customer::with(&network, 2, 10 * FEE);

    let barrier = Barrier::new(100);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            customer.ask(&sidecar).status
        };
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let counted = |status| statuses.iter().filter(|seen| **seen == status).count();
    assert_eq!((counted(200), counted(400)), (10, 90), "{statuses:?}\n{}", sidecar.log());

    sidecar.settle();
    wait_until("the ledger", SETTLED, || customer.owed(&sidecar) == 0);
    assert_eq!((paid(&network), customer.balance(&network)), (10 * FEE, 0));
    // 0 is the contract's SUCCESS, 1 would be PARTIAL.
    let landed = network.settlements();
    assert!(landed.iter().all(|voucher| voucher["status"] == 0), "{landed:?}");
}
