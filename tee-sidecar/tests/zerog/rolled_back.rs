//! A host that puts an old copy of the ledger back, with the secret of its simulated TEE.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::provider::{SETTLED, provider_at};
use crate::sdk::engine;
use crate::support::{Customer, Engine, Fault, FaultyNode, Network, Sidecar, ZG, get, wait_until};

const FEE: u128 = 13 * 100_000 + 5 * 200_000;
const FUNDS: u128 = 5 * ZG;

/// The host, its victim, and a user who has never been here before the ledger was put back.
struct Host {
    network: Network,
    node: FaultyNode,
    sidecar: Sidecar,
    victim: Customer,
    other: Customer,
    _engine: Engine,
}

/// A copy of the folder: when it was made, and whether its user has to be frozen on a chain that
/// has taken one voucher, and on one that has taken two.
struct Copy {
    moment: &'static str,
    frozen: [bool; 2],
    folder: TempDir,
}

impl Host {
    fn new() -> Option<Self> {
        let network = Network::start()?;
        let engine = engine();
        let node = FaultyNode::before(&network);
        let sidecar = provider_at(&node.url(), &network, &engine, (100_000, 200_000));
        let [victim, other] = [2, 3].map(|index| Customer::with(&network, index, FUNDS));
        Some(Self { network, node, sidecar, victim, other, _engine: engine })
    }

    fn copy(&mut self, moment: &'static str, frozen: [bool; 2]) -> Copy {
        self.node.trap().wait_until_quiet();
        self.sidecar.kill();
        let folder = tempfile::tempdir().unwrap();
        copy_files(self.sidecar.folder.path(), folder.path());
        self.sidecar.start_again();
        Copy { moment, frozen, folder }
    }

    fn put_back(&mut self, copy: &Copy) {
        self.sidecar.kill();
        let folder = self.sidecar.folder.path();
        for file in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        copy_files(copy.folder.path(), folder);
        self.sidecar.start_again();
    }

    /// Copies of all moments of one settlement, which is through in the end.
    fn copies(&mut self) -> Vec<Copy> {
        // Whom the ledger has never seen it takes for what the chain says. What was charged and
        // paid before is forgotten, and not charged again.
        let mut copies = vec![self.copy("before the user came", [false, false])];
        self.victim.look(&self.sidecar);
        assert_eq!(self.victim.statement(&self.sidecar).unwrap().books.nonce, Some(0));
        copies.push(self.copy("before the first capture", [true, true]));
        self.sidecar.wait_until_ready();
        self.victim.chat(&self.sidecar);
        copies.push(self.copy("captured", [true, true]));
        self.node.spoil("eth_sendRawTransaction", Fault::Refused, 1);
        self.sidecar.settle();
        wait_until("a voucher that is not sent", SETTLED, || self.node.is_through());
        // The voucher that it knows is the one that landed: it is booked, and nobody harmed.
        self.node.spoil("eth_getLogs", Fault::Refused, u32::MAX);
        self.node.spoil("eth_sendRawTransaction", Fault::Refused, u32::MAX);
        copies.push(self.copy("sealed", [false, true]));
        assert_eq!(self.paid(&self.victim), 0);
        self.node.heal();
        self.node.spoil("eth_getLogs", Fault::Refused, u32::MAX);
        self.sidecar.settle();
        wait_until("the money", SETTLED, || self.paid(&self.victim) == FEE);
        copies.push(self.copy("landed", [false, true]));
        assert!(self.victim.statement(&self.sidecar).unwrap().open.is_some());
        self.node.heal();
        self.settle();
        copies.push(self.copy("booked", [false, true]));
        self.sidecar.wait_until_ready();
        copies
    }

    fn settle(&self) {
        self.sidecar.settle();
        wait_until("the ledger", SETTLED, || self.victim.owed(&self.sidecar) == 0);
    }

    fn paid(&self, customer: &Customer) -> u128 {
        FUNDS - customer.balance(&self.network)
    }

    /// On a chain that has taken so many vouchers, each for one fee: whatever is asked, nobody
    /// pays for more than was served.
    fn try_it(&mut self, copy: &Copy, vouchers: usize) {
        let what = format!("{}, {vouchers} vouchers", copy.moment);
        let mut charged = FEE * vouchers as u128;
        self.put_back(copy);
        for _ in 0..3 {
            self.sidecar.settle();
            self.node.trap().wait_until_quiet();
        }
        assert_eq!(self.paid(&self.victim), charged, "{what}");
        self.sidecar.wait_until_ready();
        let answer = self.victim.ask(&self.sidecar);
        let frozen = copy.frozen[vouchers - 1];
        if frozen {
            assert_eq!(answer.status, 400, "{what}: {}", answer.text());
            assert!(answer.text().contains("this account is frozen"), "{what}: {}", answer.text());
        } else {
            assert_eq!(answer.status, 200, "{what}: {}", answer.text());
            charged += FEE;
        }
        self.other.chat(&self.sidecar);
        for _ in 0..2 {
            self.sidecar.settle();
            self.node.trap().wait_until_quiet();
        }
        wait_until(&what, SETTLED, || self.paid(&self.other) == FEE);
        wait_until(&what, SETTLED, || self.other.owed(&self.sidecar) == 0);
        assert_eq!(self.paid(&self.victim), charged, "{what}");
        let owed = self.victim.owed(&self.sidecar);
        assert!(frozen || owed == 0, "{what}: {owed}");
        self.check_what_is_told(frozen, &what);
    }

    fn check_what_is_told(&mut self, frozen: bool, what: &str) {
        let metrics = get(self.sidecar.admin, "/metrics", &[]).text();
        let gauge = format!("\ntee_sidecar_users_frozen {}", u8::from(frozen));
        assert!(metrics.contains(&gauge), "{what}: {metrics}");
        self.sidecar.kill();
        let status = self.sidecar.run(&["ledger", "status"]);
        for (customer, frozen) in [(&self.victim, frozen), (&self.other, false)] {
            let user = format!("user {}: ", customer.user);
            let line = status.lines().find(|line| line.starts_with(&user)).unwrap();
            assert!(line.ends_with(&format!("frozen={frozen}")), "{what}: {line}");
        }
        self.sidecar.run(&["ledger", "audit"]);
    }
}

fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn no_old_copy_of_the_ledger_makes_anyone_pay_twice() {
    let Some(mut host) = Host::new() else { return };
    let copies = host.copies();
    let once: Value = host.network.rpc("evm_snapshot", json!([]));
    host.victim.chat(&host.sidecar);
    host.settle();
    for (vouchers, start) in [(2, None), (1, Some(once))] {
        // The sidecar must not see the chain go backwards.
        host.sidecar.kill();
        if let Some(start) = start {
            host.network.rpc("evm_revert", json!([start]));
        }
        for copy in &copies {
            let start = host.network.rpc("evm_snapshot", json!([]));
            host.try_it(copy, vouchers);
            host.network.rpc("evm_revert", json!([start]));
        }
    }
}
