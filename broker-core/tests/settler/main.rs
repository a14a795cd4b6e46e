//! The settlement pass against the simulated contracts, one situation at a time. Seeded runs of all
//! of them together are in `settlement/`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../shared/books.rs"]
mod books;
mod edges;
mod misnamed;
mod situations;

use std::sync::Arc;

use books::{NOW, capture, hold, user};
use broker_core::chain::{
    AccountView, Chain, ChainFuture, Landing, Service, ServiceParams, Terms, Verdict,
};
use broker_core::settlement::{
    Mirrored, Obstacle, PassReport, Policy, Question, Reason, Settler, Store, StoreFuture, mirror,
};
use broker_core::testing::scenarios::service_params;
use broker_core::testing::{Action, Fault, Pace, SimChain, SimOptions};
use broker_core::{
    Address, Clock, Command, Cover, Digest32, Domain, Ledger, LedgerReader, LocalSigner,
    MemoryLedger, Neuron, RequestKey, SignedVoucher, Signer, Timestamp, UserId, Voucher,
};

/// What the tests count in: an escrow begins with one 0G, which are 100,000 of these.
const UNIT: u128 = 10_000_000_000_000;

fn neuron(units: u128) -> Neuron {
    Neuron::new(units * UNIT)
}

/// A ledger without a thread of its own.
#[derive(Clone)]
struct Books(MemoryLedger);

impl Store for Books {
    fn apply(&self, command: Command) -> StoreFuture<'_> {
        let decided = Ledger::apply(&mut self.0.clone(), &[command], NOW);
        Box::pin(async { decided.map(|mut decisions| decisions.remove(0)) })
    }

    fn ask(&self, question: Question) {
        question(&self.0);
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

struct Rig {
    chain: SimChain,
    ledger: MemoryLedger,
    key: u8,
}

impl Rig {
    /// A registered and acknowledged service, and user 1 with 100,000 units.
    fn new() -> Self {
        let rig = Self {
            chain: SimChain::new(SimOptions::default()),
            ledger: MemoryLedger::new(),
            key: 0x11,
        };
        rig.register();
        rig.chain.deposit(user(1), neuron(100_000)).unwrap();
        rig
    }

    fn signer(&self) -> LocalSigner {
        LocalSigner::from_secret(&[self.key; 32]).unwrap()
    }

    fn register(&self) {
        let mut params = service_params();
        params.tee_signer = self.signer().address();
        wait(self.chain.register(params)).unwrap();
        self.chain.owner_acknowledges(true).unwrap();
    }

    fn settler(&self) -> Settler {
        Settler {
            store: Arc::new(Books(self.ledger.clone())),
            chain: Arc::new(self.chain.clone()),
            signer: Arc::new(self.signer()),
            clock: Arc::new(Fixed),
            policy: Policy { min_fee: neuron(1_000), ..Policy::default() },
        }
    }

    fn pass(&self, asked: bool) -> PassReport {
        wait(self.settler().pass(asked)).unwrap()
    }

    /// Charges a user whose escrow the sidecar looks at first, as it does in service.
    fn charge(&mut self, n: u8, who: UserId, fee: u128) {
        let view = wait(self.chain.account(who)).unwrap();
        let store = Books(self.ledger.clone());
        wait(mirror(&store, who, &view)).unwrap();
        let held = hold(n, who, fee * UNIT);
        for command in [Command::Reserve(held.clone()), capture(&held, fee * UNIT)] {
            Ledger::apply(&mut self.ledger, &[command], NOW).unwrap().remove(0).unwrap();
        }
    }

    /// Earned, vouchered, and paid by the chain.
    fn standing(&self, who: UserId) -> [u128; 3] {
        let account = Ledger::account(&self.ledger, &who).unwrap();
        let paid = self.chain.paid().get(&who).copied().unwrap_or_default();
        assert_eq!(Ledger::audit(&self.ledger).unwrap().fault, None);
        [account.earned, account.vouchered, paid].map(|amount| amount.get() / UNIT)
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}
