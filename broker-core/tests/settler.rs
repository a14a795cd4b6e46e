//! The settlement pass against the simulated contracts, one situation at a time. Seeded runs of all
//! of them together are in `settlement/`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use std::sync::Arc;

use books::{NOW, capture, hold, user};
use broker_core::chain::{
    AccountView, Chain, ChainFuture, Landing, Service, ServiceParams, Terms, Verdict,
};
use broker_core::settlement::{Obstacle, PassReport, Policy, Reason, Settler, Store, StoreFuture};
use broker_core::testing::scenarios::service_params;
use broker_core::testing::{SimChain, SimOptions};
use broker_core::{
    Address, Clock, Command, Digest32, Domain, Ledger, LedgerReader, LocalSigner, MemoryLedger,
    Neuron, SignedVoucher, Signer, Timestamp, UserId,
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

    fn reader(&self) -> &dyn LedgerReader {
        &self.0
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
        wait(broker_core::settlement::mirror(&store, who, &view)).unwrap();
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

#[test]
fn fees_are_collected_when_they_are_due_and_once() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 400);
    assert_eq!(rig.pass(false), PassReport::default());
    assert_eq!(rig.standing(user(1)), [400, 0, 0]);
    let report = rig.pass(true);
    assert_eq!(report.sealed, [(user(1), Reason::Asked, neuron(400))]);
    assert_eq!((report.settled, report.open), (vec![(user(1), neuron(400))], 0));
    assert_eq!(rig.standing(user(1)), [0, 0, 400]);
    assert_eq!(rig.pass(true), PassReport::default());
    assert_eq!(rig.standing(user(1)), [0, 0, 400]);
}

#[test]
fn the_rest_of_a_partial_payment_waits_for_the_next_deposit_and_is_paid_exactly() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 90_000);
    // The user takes the money back; the contract lets vouchers take what is not paid out yet, so
    // only what was paid out in time is missing.
    rig.chain.request_refund(user(1)).unwrap();
    rig.chain.advance(rig.chain.options().lock_time_secs + 1);
    rig.chain.process_refund(user(1)).unwrap();
    assert_eq!(rig.pass(true), PassReport::default(), "nothing can be taken from nothing");
    rig.chain.deposit(user(1), neuron(50_000)).unwrap();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [40_000, 0, 50_000]);
    assert_eq!(rig.pass(true), PassReport::default());
    rig.chain.deposit(user(1), neuron(70_000)).unwrap();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [0, 0, 90_000]);
}

#[test]
fn without_the_owner_s_word_nothing_is_lost_and_it_goes_on_by_itself() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    rig.chain.owner_acknowledges(false).unwrap();
    let report = rig.pass(false);
    assert_eq!(report.obstacles, [Obstacle::NotAcknowledged(rig.signer().address())]);
    assert_eq!((report.sealed.len(), report.submitted), (0, 0));
    assert_eq!(rig.standing(user(1)), [5_000, 0, 0]);
    rig.chain.owner_acknowledges(true).unwrap();
    assert_eq!(rig.pass(false).sealed, [(user(1), Reason::Amount, neuron(5_000))]);
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
}

#[test]
fn a_refund_that_is_asked_for_brings_the_fees_in_first() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 400);
    rig.chain.request_refund(user(1)).unwrap();
    let report = rig.pass(false);
    assert_eq!(report.sealed, [(user(1), Reason::Refund, neuron(400))]);
    assert_eq!(rig.standing(user(1)), [0, 0, 400]);
}

#[test]
fn a_new_signer_takes_over_a_voucher_that_never_landed() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let full = rig.chain.wallet();
    // Sealed, and the wallet cannot pay for the transaction.
    rig.chain.set_wallet(Neuron::ZERO);
    let report = rig.pass(false);
    assert!(matches!(report.obstacles[..], [Obstacle::NoGas { .. }]), "{report:?}");
    assert_eq!(rig.standing(user(1)), [0, 5_000, 0]);
    rig.chain.set_wallet(full);
    // The machine restarts with another key. The old key's voucher can still land, so it does.
    rig.key = 0x22;
    let waiting = wait(rig.settler().waits_for_old_signer()).unwrap();
    assert_eq!(waiting, [(user(1), neuron(5_000))]);
    rig.charge(2, user(1), 3_000);
    let report = rig.pass(true);
    assert!(matches!(report.obstacles[..], [Obstacle::OtherSigner { .. }]), "{report:?}");
    assert_eq!(rig.standing(user(1)), [3_000, 0, 5_000]);
    // What is under no voucher waits for the new key's registration.
    assert_eq!(rig.pass(true).sealed, []);
    rig.register();
    rig.pass(true);
    assert_eq!(rig.standing(user(1)), [0, 0, 8_000]);
}

#[test]
fn a_voucher_of_a_key_that_the_chain_forgot_is_signed_again() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let full = rig.chain.wallet();
    rig.chain.set_wallet(Neuron::ZERO);
    rig.pass(false);
    rig.chain.set_wallet(full);
    rig.key = 0x22;
    rig.register();
    let report = rig.pass(false);
    assert_eq!((report.submitted, report.settled.len()), (1, 1), "{report:?}");
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
    // The host still has what the old key signed: the contract takes it no more.
    for voucher in rig.chain.seen() {
        rig.chain.host_sends(voucher);
    }
    rig.chain.mine(3);
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
}

#[test]
fn a_disk_that_was_rolled_back_behind_the_chain_freezes_the_user_and_nobody_pays_twice() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let snapshot = rig.ledger.fork();
    rig.pass(false);
    assert_eq!(rig.standing(user(1)), [0, 0, 5_000]);
    rig.ledger = snapshot;
    let report = rig.pass(true);
    assert_eq!((report.frozen, report.sealed), (vec![user(1)], vec![]));
    assert_eq!(rig.standing(user(1)), [5_000, 0, 5_000]);
    assert!(Ledger::account(&rig.ledger, &user(1)).unwrap().frozen);
    assert_eq!(rig.pass(true), PassReport::default());
}

#[test]
fn a_voucher_from_before_a_roll_back_that_lands_instead_of_ours_freezes_the_user() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    let snapshot = rig.ledger.fork();
    let full = rig.chain.wallet();
    rig.chain.set_wallet(Neuron::ZERO);
    rig.pass(false);
    let held_back = wait(async { LedgerReader::open_vouchers(&rig.ledger).unwrap() }).remove(0);
    let held_back = held_back.signed_by(&rig.signer().address()).unwrap();
    // The host rolls back; more is charged; another voucher has the same nonce.
    rig.ledger = snapshot;
    rig.charge(2, user(1), 2_000);
    rig.pass(false);
    assert_eq!(rig.standing(user(1)), [0, 7_000, 0]);
    rig.chain.set_wallet(full);
    rig.chain.host_sends(held_back);
    rig.chain.mine(1);
    let report = rig.pass(true);
    assert_eq!((report.frozen, report.settled), (vec![user(1)], vec![]));
    assert_eq!(rig.standing(user(1)), [0, 7_000, 5_000]);
}

#[test]
fn a_voucher_that_the_contract_would_refuse_costs_no_gas_and_is_told() {
    let mut rig = Rig::new();
    rig.charge(1, user(1), 5_000);
    // Signed under another contract's name, as with a wrong address in the settings.
    let wrong = Domain { contract: Address([9; 20]), ..rig.chain.options().domain };
    let settler = Settler { chain: Arc::new(Misnamed(rig.chain.clone(), wrong)), ..rig.settler() };
    let before = rig.chain.wallet();
    for _ in 0..3 {
        let report = wait(settler.pass(true)).unwrap();
        assert_eq!(report.refused, [(user(1), Verdict::InvalidSignature)]);
        assert_eq!((report.submitted, report.open), (0, 1));
    }
    assert_eq!(rig.chain.wallet(), before);
    assert_eq!(rig.standing(user(1)), [0, 5_000, 0]);
}

/// A chain that is taken for another one.
struct Misnamed(SimChain, Domain);

impl Chain for Misnamed {
    fn domain(&self) -> Domain {
        self.1
    }
    fn provider(&self) -> Address {
        self.0.provider()
    }
    fn account(&self, user: UserId) -> ChainFuture<'_, AccountView> {
        self.0.account(user)
    }
    fn service(&self) -> ChainFuture<'_, Option<Service>> {
        self.0.service()
    }
    fn terms(&self) -> ChainFuture<'_, Terms> {
        self.0.terms()
    }
    fn gas(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, u64> {
        self.0.gas(batch)
    }
    fn rehearse(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Verdict>> {
        self.0.rehearse(batch)
    }
    fn submit(&self, batch: Vec<SignedVoucher>) -> ChainFuture<'_, Vec<Digest32>> {
        self.0.submit(batch)
    }
    fn landing(&self, voucher: SignedVoucher, since: u64) -> ChainFuture<'_, Landing> {
        self.0.landing(voucher, since)
    }
    fn register(&self, service: ServiceParams) -> ChainFuture<'_, Digest32> {
        self.0.register(service)
    }
    fn remove_service(&self) -> ChainFuture<'_, Digest32> {
        self.0.remove_service()
    }
}
