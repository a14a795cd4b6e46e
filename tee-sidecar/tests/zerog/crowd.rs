//! Sixty users, whose vouchers do not fit into one block.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::provider::{SETTLED, paid, provider};
use crate::sdk::engine;
use crate::support::{Customer, Network, Options, ZG, neuron, wait_until};

const FEE: u128 = 13 * 100_000 + 5 * 200_000;
/// Fifty vouchers in one transaction take about four million.
const GAS_OF_BLOCK: u64 = 2_500_000;

#[test]
fn sixty_users_are_collected_from_where_a_block_takes_few() {
    let options = Options { accounts: 70, block_gas_limit: Some(GAS_OF_BLOCK) };
    let Some(network) = Network::with(&options) else { return };
    let engine = engine();
    let mut sidecar = provider(&network, &engine, (100_000, 200_000));
    let users: Vec<u32> = (2..62).collect();
    network.fund(&users, 5 * ZG, 2 * ZG);
    let mut charged = BTreeMap::new();
    let mut customers = Vec::new();
    for index in users {
        network.ask("acknowledge", json!({"user": index}));
        let customer = Customer::of(&network, index);
        // Not all owe the same.
        let chats = 1 + u128::from(index % 2);
        (0..chats).for_each(|_| customer.chat(&sidecar));
        charged.insert(customer.user.to_string().to_lowercase(), chats * FEE);
        customers.push(customer);
    }
    sidecar.settle();
    let owed = || customers.iter().map(|customer| customer.owed(&sidecar)).sum::<u128>();
    wait_until("the ledger", SETTLED, || owed() == 0);

    let vouchers = network.settlements();
    let paid_by = vouchers.iter().map(|voucher| {
        assert_eq!(voucher["status"], 0, "{voucher}");
        (voucher["user"].as_str().unwrap().to_lowercase(), neuron(&voucher["fee"]))
    });
    assert_eq!(paid_by.collect::<BTreeMap<_, _>>(), charged);
    assert_eq!((vouchers.len(), paid(&network)), (60, charged.values().sum()));
    let transactions: BTreeSet<_> =
        vouchers.iter().map(|voucher| voucher["transaction"].as_str().unwrap()).collect();
    assert!((3..=6).contains(&transactions.len()), "{transactions:?}");
    for customer in &customers {
        let known = customer.statement(&sidecar).unwrap();
        assert_eq!(2 * ZG - customer.balance(&network), known.settled.get());
    }
    // Nothing is left to be asked for.
    sidecar.settle();
    sidecar.wait_until_ready();
    sidecar.kill();
    assert_eq!(network.settlements().len(), 60);
    sidecar.run(&["ledger", "audit"]);
}
