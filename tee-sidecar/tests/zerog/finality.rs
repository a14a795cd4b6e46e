//! A payment counts when its block is final, and not before.

use std::time::{Duration, Instant};

use crate::provider::{SETTLED, enter, paid};
use crate::sdk::engine;
use crate::support::{Customer, Engine, Network, Sidecar, ZG, wait_until};

const FEE: u128 = 13 * 100_000 + 5 * 200_000;
const FUNDS: u128 = 5 * ZG;
const CONFIRMATIONS: u32 = 3;

/// A provider that looks every second, on a chain with a block a second.
fn start() -> Option<(Network, Sidecar, Customer, Engine)> {
    let network = Network::start()?;
    let engine = engine();
    // Anvil cannot look behind the state that it was started from.
    network.mine(u64::from(CONFIRMATIONS));
    network.set_interval(1);
    let often = "interval: {settlementProcessor: 1s}\n";
    let sidecar = Sidecar::on_with(&network.url(), &engine, CONFIRMATIONS, often);
    enter(&sidecar, &network, &engine, (100_000, 200_000));
    let customer = Customer::with(&network, 2, FUNDS);
    let cover = |look: &Customer| look.ask(&sidecar).status == 200;
    wait_until("an account that is final", SETTLED, || cover(&customer));
    network.set_interval(0);
    network.set_automine(false);
    Some((network, sidecar, customer, engine))
}

/// While `blocks` are mined and for a while after each, the ledger still says that all is owed.
fn mine_and_owe(network: &Network, sidecar: &Sidecar, customer: &Customer, blocks: u32) {
    for _ in 0..blocks {
        network.mine(1);
        assert_eq!(FUNDS - customer.balance(network), FEE);
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            assert_eq!(customer.owed(sidecar), FEE, "booked before it was final");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_payment_that_a_reorganisation_undoes_was_never_booked_and_comes_once() {
    let Some((network, mut sidecar, customer, _engine)) = start() else { return };
    assert_eq!(customer.owed(&sidecar), FEE);
    sidecar.settle();
    wait_until("a transaction that waits", SETTLED, || !network.waiting().is_empty());
    mine_and_owe(&network, &sidecar, &customer, 2);
    network.reorganise(2);
    assert_eq!(customer.balance(&network), FUNDS);
    assert_eq!((network.settlements().len(), customer.owed(&sidecar)), (0, FEE));

    // By itself, and from now on with a block a second.
    network.set_automine(true);
    network.set_interval(1);
    wait_until("the money", SETTLED, || paid(&network) == FEE);
    let landed = u128::from(network.settlements()[0]["block"].as_u64().unwrap());
    wait_until("the ledger", SETTLED, || {
        // The ledger first: no block that comes in between makes it look later than it was.
        let owed = customer.owed(&sidecar);
        let is_final = network.block() >= landed + u128::from(CONFIRMATIONS);
        assert!(owed == FEE || is_final, "booked before it was final");
        owed == 0
    });
    assert_eq!(FUNDS - customer.balance(&network), FEE);
    let known = customer.statement(&sidecar).unwrap();
    assert_eq!((known.settled.get(), known.account.cover.get()), (FEE, FUNDS - FEE));
    assert_eq!(network.settlements().len(), 1);
    sidecar.kill();
    sidecar.run(&["ledger", "audit"]);
}
