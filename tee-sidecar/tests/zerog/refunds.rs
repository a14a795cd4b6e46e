//! Users who take their money back while they owe fees, with a provider whom nobody tells.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::provider::{SETTLED, enter, paid};
use crate::sdk::engine;
use crate::support::{
    Customer, Engine, Fault, FaultyNode, Network, Sidecar, ZG, neuron, wait_until,
};

const FUNDS: u128 = 3 * ZG;
/// Seconds from a refund's request to its payment.
const LOCK: u64 = 3_600;

struct World {
    network: Network,
    node: FaultyNode,
    sidecar: Sidecar,
    customer: Customer,
    fee: u128,
    _engine: Engine,
}

impl World {
    /// A provider that looks every second, and to whom one chat is owed.
    fn new(output_price: u128, more: &str) -> Option<Self> {
        let network = Network::start()?;
        let engine = engine();
        let node = FaultyNode::before(&network);
        let sidecar = Sidecar::on_with(&node.url(), &engine, 0, more);
        enter(&sidecar, &network, &engine, (1, output_price));
        let customer = Customer::with(&network, 2, FUNDS);
        customer.chat(&sidecar);
        let fee = 13 + 5 * output_price;
        assert_eq!(customer.owed(&sidecar), fee);
        Some(Self { network, node, sidecar, customer, fee, _engine: engine })
    }

    /// For some passes no voucher is made.
    #[track_caller]
    fn nothing_happens(&self) {
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            let known = self.customer.statement(&self.sidecar).unwrap();
            assert!(known.open.is_none() && known.account.earned.get() == self.fee, "{known:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(self.network.settlements().is_empty());
    }

    /// The fee is paid by itself, and the refund afterwards.
    fn pays_first(&self, limit: Duration) {
        wait_until("the ledger", limit, || self.customer.owed(&self.sidecar) == 0);
        assert_eq!(paid(&self.network), self.fee);
        let account = self.network.account(2).unwrap();
        assert_eq!(account.pending_refund, FUNDS - self.fee, "before the refund");
        self.network.increase_time(LOCK + 1);
        self.network.retrieve(2);
        assert_eq!(self.customer.balance(&self.network), 0);
        let ledger = self.network.ask("ledger", json!({"user": 2}));
        assert_eq!(neuron(&ledger["totalBalance"]), 2 * FUNDS - self.fee);
    }
}

#[test]
fn a_fee_worth_its_gas_is_collected_as_soon_as_a_refund_is_asked_for() {
    let more = "interval: {settlementProcessor: 1s, autoSettleBufferTime: 1s}\n\
                settlement: {minSettlementFee: 1000000000000000000000, owedPercentMax: 100}\n";
    let Some(world) = World::new(ZG / 10, more) else { return };
    world.nothing_happens();
    world.network.retrieve(2);
    world.pays_first(SETTLED);
}

#[test]
fn a_fee_below_its_gas_is_collected_before_the_lock_ends() {
    // Eight seconds after the refund was asked for.
    let buffer = LOCK - 8;
    let more = format!("interval: {{settlementProcessor: 1s, autoSettleBufferTime: {buffer}s}}\n");
    let Some(world) = World::new(1, &more) else { return };
    world.network.retrieve(2);
    world.nothing_happens();
    world.pays_first(SETTLED);
}

#[test]
fn who_was_faster_than_the_voucher_pays_exactly_the_rest_with_the_next_deposit() {
    let more = "interval: {settlementProcessor: 1s}\n";
    let Some(world) = World::new(ZG / 10, more) else { return };
    let World { network, node, mut sidecar, customer, fee, _engine } = world;
    // Sealed, and never sent while the refund's lock goes by.
    node.spoil("eth_sendRawTransaction", Fault::Refused, u32::MAX);
    network.retrieve(2);
    let open = || customer.statement(&sidecar).unwrap().open;
    wait_until("a voucher", SETTLED, || open().is_some());
    network.increase_time(LOCK + 1);
    network.retrieve(2);
    assert_eq!((customer.balance(&network), paid(&network)), (0, 0));
    let part = fee / 5;
    network.fund(&[2], 0, part);
    node.heal();
    wait_until("a part of the money", SETTLED, || paid(&network) == part);
    wait_until("the ledger", SETTLED, || open().is_none());
    let rest = fee - part;
    assert_eq!(customer.owed(&sidecar), rest);
    let refused = customer.ask(&sidecar);
    assert!(refused.text().contains("insufficient balance"), "{}", refused.text());
    // An empty escrow is not asked, however often.
    sidecar.settle();
    node.trap().wait_until_quiet();
    assert_eq!(network.settlements().len(), 1);

    network.fund(&[2], 0, 2 * ZG);
    wait_until("the rest", SETTLED, || paid(&network) == fee);
    wait_until("the ledger", SETTLED, || customer.owed(&sidecar) == 0);
    let vouchers = network.settlements();
    let told: Vec<_> = vouchers
        .iter()
        .map(|voucher| (voucher["status"].as_u64().unwrap(), neuron(&voucher["fee"])))
        .collect();
    assert_eq!(told, [(1, fee), (0, rest)]);
    assert_eq!(customer.balance(&network), 2 * ZG - rest);
    customer.chat(&sidecar);
    sidecar.kill();
    sidecar.run(&["ledger", "audit"]);
}
