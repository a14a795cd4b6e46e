//! Sixty users, whose vouchers do not fit into one block.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::provider::{SETTLED, paid, provider, provider_at};
use crate::sdk::engine;
use crate::support::{Customer, FaultyNode, Moment, Network, Options, ZG, neuron, wait_until};

const FEE: u128 = 13 * 100_000 + 5 * 200_000;
const FUNDS: u128 = 2 * ZG;
/// Fifty vouchers in one transaction take about four million.
const GAS_OF_BLOCK: u64 = 2_500_000;

#[test]
fn sixty_users_are_collected_from_where_a_block_takes_few() {
    let options = Options { accounts: 70, block_gas_limit: Some(GAS_OF_BLOCK) };
    let Some(network) = Network::with(&options) else { return };
    let engine = engine();
    let mut sidecar = provider(&network, &engine, (100_000, 200_000));
    let users: Vec<u32> = (2..62).collect();
    network.fund(&users, 5 * ZG, FUNDS);
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
        assert_eq!(FUNDS - customer.balance(&network), known.settled.get());
    }
    // Nothing is left to be asked for.
    sidecar.settle();
    sidecar.wait_until_ready();
    sidecar.kill();
    assert_eq!(network.settlements().len(), 60);
    sidecar.run(&["ledger", "audit"]);
}

#[test]
fn a_process_that_ends_between_the_transactions_of_a_crowd_is_paid_once() {
    let options = Options { accounts: 20, ..Options::default() };
    let Some(network) = Network::with(&options) else { return };
    let engine = engine();
    let node = FaultyNode::before(&network);
    let mut sidecar = provider_at(&node.url(), &network, &engine, (100_000, 200_000));
    let users: Vec<u32> = (2..14).collect();
    network.fund(&users, 5 * ZG, FUNDS);
    let customers = users.iter().map(|user| {
        network.ask("acknowledge", json!({"user": user}));
        Customer::of(&network, *user)
    });
    let customers: Vec<Customer> = customers.collect();
    // What the users did before takes more.
    network.rpc("evm_setBlockGasLimit", json!(["0x493e0"]));
    let mut charged = 0;
    for moment in [Moment::Before, Moment::After] {
        let mut transactions = 0;
        loop {
            customers.iter().for_each(|customer| customer.chat(&sidecar));
            charged += FEE;
            let process = sidecar.process();
            node.trap().wait_until_quiet();
            node.trap().set_for("eth_sendRawTransaction", process, transactions, moment);
            sidecar.settle_unheard();
            let owed = || customers.iter().map(|one| one.owed(&sidecar)).sum::<u128>();
            wait_until("an end", SETTLED, || node.trap().is_sprung() || owed() == 0);
            let is_over = node.trap().take().is_none();
            if !is_over {
                sidecar.kill();
                sidecar.start_again();
                sidecar.settle();
                wait_until("the ledger", SETTLED, || {
                    customers.iter().all(|one| one.owed(&sidecar) == 0)
                });
                sidecar.wait_until_ready();
            }
            for one in &customers {
                let paid = FUNDS - one.balance(&network);
                assert_eq!(paid, charged, "transaction {transactions}, {moment:?}");
            }
            if is_over {
                break;
            }
            transactions += 1;
        }
        assert!(transactions >= 3, "{transactions} {moment:?}");
    }
    assert_eq!(paid(&network), charged * customers.len() as u128);
    sidecar.kill();
    sidecar.run(&["ledger", "audit"]);
}
