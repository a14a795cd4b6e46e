//! `kill -9` at every step of a settlement.
//!
//! Between two calls to the node a settlement does nothing but compute and commit to the ledger.
//! So a process that ends at each call, before the node sees it and after it was carried out, has
//! ended on both sides of each commit: at the first call after a voucher was sealed it is sealed
//! and not sent, at the last before it is booked it has landed and is not booked. Every call is
//! met, none stands for others; those that are made at once count in the order in which they come.
//! How often it is asked whether a transaction has landed differs from one settlement to the next,
//! and so do the numbers of the calls behind that: what was not met by number is met by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::provider::{SETTLED, paid, provider_at};
use crate::sdk::engine;
use crate::support::{Customer, Engine, FaultyNode, Moment, Network, Sidecar, ZG, wait_until};

/// One chain, one ledger and one user for all rounds.
struct World {
    network: Network,
    node: FaultyNode,
    sidecar: Sidecar,
    customer: Customer,
    charged: u128,
    _engine: Engine,
}

const FEE: u128 = 13 * 100_000 + 5 * 200_000;
const FUNDS: u128 = 5 * ZG;
/// The voucher's way, from what is read of the escrow to the event that tells what was paid.
const WAY: [&str; 4] = ["eth_call", "eth_estimateGas", "eth_sendRawTransaction", "eth_getLogs"];
/// Where every call counts.
const ANY: &str = "";

impl World {
    fn new() -> Option<Self> {
        let network = Network::start()?;
        let engine = engine();
        let node = FaultyNode::before(&network);
        let sidecar = provider_at(&node.url(), &network, &engine, (100_000, 200_000));
        let customer = Customer::with(&network, 2, FUNDS);
        Some(Self { network, node, sidecar, customer, charged: 0, _engine: engine })
    }

    /// Charges, and settles with a process that ends at this call of a method; then the next one
    /// goes on. The call's method, or `None` where the settlement was over before that call.
    fn round(&mut self, method: &'static str, call: u32, moment: Moment) -> Option<String> {
        self.customer.chat(&self.sidecar);
        self.charged += FEE;
        self.node.trap().wait_until_quiet();
        self.node.trap().set_for(method, self.sidecar.process(), call, moment);
        self.sidecar.settle_unheard();
        wait_until("an end of the process or of the settlement", SETTLED, || {
            self.node.trap().is_sprung() || self.customer.owed(&self.sidecar) == 0
        });
        let ended_at = self.node.trap().take();
        if ended_at.is_some() {
            self.sidecar.kill();
            self.sidecar.start_again();
            self.sidecar.settle();
            let what = format!("what was owed, after call {call} of {ended_at:?} ({moment:?})");
            wait_until(&what, SETTLED, || self.customer.owed(&self.sidecar) == 0);
            self.sidecar.wait_until_ready();
        }
        let left = self.customer.balance(&self.network);
        assert_eq!(FUNDS - left, self.charged, "call {call}, {ended_at:?}, {moment:?}");
        ended_at
    }
}

#[test]
fn a_process_that_ends_at_any_call_of_a_settlement_is_paid_once() {
    let Some(mut world) = World::new() else { return };
    for moment in [Moment::Before, Moment::After] {
        let mut met = BTreeSet::new();
        let mut calls = 0;
        while let Some(method) = world.round(ANY, calls, moment) {
            met.insert(method);
            calls += 1;
        }
        for method in WAY.into_iter().filter(|way| !met.contains(*way)) {
            let ended_at = world.round(method, 0, moment);
            assert_eq!(ended_at.as_deref(), Some(method), "after {calls} calls, {moment:?}");
        }
        assert!(calls > 10, "a settlement makes more than {calls} calls");
    }
    let World { network, mut sidecar, charged, .. } = world;
    assert_eq!(paid(&network), charged);
    let mut landed = BTreeMap::<u64, u32>::new();
    for voucher in network.settlements() {
        if voucher["status"].as_u64().unwrap() <= 1 {
            *landed.entry(voucher["nonce"].as_str().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    // One voucher for each charge, in a row.
    let vouchers = u64::try_from(charged / FEE).unwrap();
    assert_eq!(landed, (1..=vouchers).map(|nonce| (nonce, 1)).collect());
    sidecar.kill();
    sidecar.run(&["ledger", "audit"]);
}
