//! One run: users, an operator, an owner, a host and the weather, all drawn from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use broker_core::settlement::{PassReport, SettleError};
use broker_core::testing::{Action, Faults, ONE, Pace, Rng, SimChain, SimOptions};
use broker_core::{Clock, Command, MemoryLedger, Neuron, UserId, recover};

use crate::check;
use crate::flawed::Flaw;
use crate::store::{Journal, SimStore};

/// What a run did, so that a test of nothing is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) captures: u64,
    pub(crate) passes: u64,
    pub(crate) crashes: u64,
    pub(crate) landed: u64,
    pub(crate) partial: u64,
    pub(crate) refused: u64,
    pub(crate) reorgs: u64,
    pub(crate) rollbacks: u64,
    pub(crate) frozen: u64,
    pub(crate) rotations: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.captures += other.captures;
        self.passes += other.passes;
        self.crashes += other.crashes;
        self.landed += other.landed;
        self.partial += other.partial;
        self.refused += other.refused;
        self.reorgs += other.reorgs;
        self.rollbacks += other.rollbacks;
        self.frozen += other.frozen;
        self.rotations += other.rotations;
    }
}

/// The state of a run.
pub(crate) struct Run {
    pub(crate) rng: Rng,
    pub(crate) chain: SimChain,
    pub(crate) store: Arc<SimStore>,
    pub(crate) users: Vec<UserId>,
    /// Everything that was ever captured, in ledgers that are no more too.
    pub(crate) charged: BTreeMap<UserId, u128>,
    /// Users whose whole account was lost in a rollback.
    pub(crate) reborn: BTreeSet<UserId>,
    pub(crate) tally: Tally,
    pub(crate) is_rich: bool,
    pub(crate) may_roll_back: bool,
    pub(crate) signer: u8,
    pub(crate) requests: u64,
    snapshots: Vec<MemoryLedger>,
    pub(crate) flaw: Option<Flaw>,
    told: bool,
}

/// Runs one seed to its end. `flaw` is a bug that the run has to find.
///
/// # Errors
/// A promise that did not hold.
pub(crate) fn run(seed: u64, flaw: Option<Flaw>, told: bool) -> Result<Tally, String> {
    let mut run = Run::open(seed, flaw, told)?;
    let steps = 40 + run.rng.below(80);
    for _ in 0..steps {
        run.step()?;
        check::never_overpaid(&run)?;
    }
    run.settle_everything()?;
    check::at_the_end(&run)?;
    Ok(run.counted())
}

impl Run {
    pub(crate) fn counted(&self) -> Tally {
        let (landed, results) = (self.chain.landed(), self.chain.results());
        let statements = self.users.iter().filter_map(|u| check::statement(&self.store.ledger, u));
        let frozen = statements.filter(|known| known.account.frozen);
        let partial = landed.iter().filter(|item| item.unsettled > Neuron::ZERO);
        Tally {
            landed: landed.len() as u64,
            partial: partial.count() as u64,
            refused: (results.len() - landed.len()) as u64,
            frozen: frozen.count() as u64,
            ..self.tally
        }
    }

    pub(crate) fn open(seed: u64, flaw: Option<Flaw>, told: bool) -> Result<Self, String> {
        let mut rng = Rng::new(seed);
        let ticks = u32::try_from(rng.below(4)).unwrap_or(0) + 1;
        let chain = SimOptions {
            confirmations: rng.below(13),
            pace: Pace::Ticking(ticks),
            seed,
            ..SimOptions::default()
        };
        let users = (1..=1 + rng.below(4)).map(|n| UserId::new([n as u8; 20])).collect();
        let mut run = Self::with(users, chain);
        run.is_rich = rng.below(4) > 0;
        run.may_roll_back = rng.below(4) == 0;
        (run.flaw, run.told, run.rng) = (flaw, told, rng);
        run.register()?;
        for user in run.users.clone() {
            run.chain.deposit(user, Neuron::new(3 * ONE)).map_err(|e| e.to_string())?;
            run.chain.mine(1);
            if run.rng.below(4) == 0 {
                run.import_nonce(user)?;
            }
        }
        run.chain.mine(run.chain.options().confirmations + 1);
        if run.rng.below(5) > 0 {
            run.chain.set_faults(Faults::rough());
        }
        Ok(run)
    }

    /// Before anything happened.
    pub(crate) fn with(users: Vec<UserId>, chain: SimOptions) -> Self {
        let chain = SimChain::new(chain);
        let (ledger, journal) = (MemoryLedger::new(), Journal::default());
        Self {
            store: Arc::new(SimStore { ledger, chain: chain.clone(), journal, history: None }),
            chain,
            users,
            charged: BTreeMap::new(),
            reborn: BTreeSet::new(),
            tally: Tally::default(),
            is_rich: true,
            may_roll_back: false,
            signer: 1,
            requests: 0,
            snapshots: Vec::new(),
            flaw: None,
            told: false,
            rng: Rng::new(0),
        }
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..70 => self.event(),
            70..73 if self.may_roll_back => {
                self.roll_back();
                Ok(())
            }
            73..76 => {
                self.snapshots.push(self.store.ledger.fork());
                Ok(())
            }
            _ => self.pass(),
        }
    }

    /// Something that may happen while a pass is running, too.
    fn event(&mut self) -> Result<(), String> {
        let user = self.user();
        match self.rng.below(100) {
            0..50 => return self.request(user),
            50..66 => {
                let blocks = 1 + self.rng.below(4);
                self.chain.mine(blocks);
            }
            66..75 => {
                let amount = Neuron::new(u128::from(self.rng.below(3_000)) * (ONE / 1_000));
                self.act(Action::Deposit { user, amount });
            }
            75..81 => self.act(Action::RequestRefund { user }),
            81..86 => self.take_refund(user),
            86..89 => self.act(Action::OwnerAcknowledges(false)),
            89..94 => self.act(Action::OwnerAcknowledges(true)),
            94..96 => {
                let depth = 1 + self.rng.below(12);
                self.tally.reorgs += u64::from(self.chain.reorg(depth) > 0);
            }
            96..98 => self.change_service(),
            _ => {
                // The other of two keys; what the old one signed is still on its way.
                self.signer = 3 - self.signer;
                self.tally.rotations += 1;
                self.change_service();
            }
        }
        Ok(())
    }

    /// A pass, which may be cut off at any of its waits, while other things happen.
    fn pass(&mut self) -> Result<(), String> {
        let asked = self.rng.below(2) == 0;
        let crash = (self.rng.below(2) == 0).then(|| self.rng.below(80));
        self.pass_until(asked, crash, 60)
    }

    pub(crate) fn pass_until(
        &mut self,
        asked: bool,
        crash: Option<u64>,
        events: u32,
    ) -> Result<(), String> {
        let settler = self.settler();
        self.tell(|| format!("pass, asked {asked}, crash {crash:?}"));
        let before = self.store.ledger.fork();
        let mut pass = pin!(settler.pass(asked));
        self.tally.passes += 1;
        let mut polls = 0;
        loop {
            if let Poll::Ready(report) = poll_once(pass.as_mut()) {
                return self.heed(report);
            }
            polls += 1;
            if crash == Some(polls) {
                self.tally.crashes += 1;
                return self.restart(before);
            }
            if self.rng.chance(events) {
                self.event()?;
            }
        }
    }

    pub(crate) fn heed(&mut self, report: Result<PassReport, SettleError>) -> Result<(), String> {
        self.tell(|| format!("{report:?}"));
        match report {
            Ok(_) | Err(SettleError::Chain(_)) => Ok(()),
            Err(error) => Err(format!("a pass failed: {error}")),
        }
    }

    /// What a new process does first. A flawed disk has lost what the last pass wrote.
    fn restart(&mut self, before: MemoryLedger) -> Result<(), String> {
        if self.flaw == Some(Flaw::ForgetsOnCrash) {
            self.replace_ledger(before);
        }
        recover(&mut self.store.ledger.clone(), self.chain.now())
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// A hostile host brings an old disk back.
    fn roll_back(&mut self) {
        let index = self.rng.below(self.snapshots.len() as u64) as usize;
        let Some(snapshot) = self.snapshots.get(index).map(MemoryLedger::fork) else { return };
        self.tell(|| format!("the disk is as it was at snapshot {index}"));
        self.restore(snapshot);
    }

    pub(crate) fn restore(&mut self, snapshot: MemoryLedger) {
        self.tally.rollbacks += 1;
        for user in &self.users {
            let known = check::statement(&snapshot, user);
            if known.is_none_or(|known| known.books.nonce.is_none()) {
                self.reborn.insert(*user);
            }
        }
        self.replace_ledger(snapshot);
        let _ = recover(&mut self.store.ledger.clone(), self.chain.now());
    }

    fn replace_ledger(&mut self, ledger: MemoryLedger) {
        let SimStore { chain, journal, .. } = &*self.store;
        let (chain, journal) = (chain.clone(), journal.clone());
        let store = SimStore { ledger, chain, journal, history: None };
        self.store = Arc::new(store);
    }

    pub(crate) fn command(&self, command: &Command) -> Result<broker_core::Decision, String> {
        self.store.one(command).map_err(|error| error.to_string())
    }

    pub(crate) fn act(&self, action: Action) {
        let done = self.chain.act(action);
        self.tell(|| format!("{action:?}: {done:?}"));
    }

    fn user(&mut self) -> UserId {
        let users = self.users.clone();
        self.rng.pick(&users).copied().unwrap()
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("block {:4}: {}", self.chain.latest().number, what());
        }
    }
}

/// Runs a future to its end. Nothing in a run waits for anything but its next turn.
pub(crate) fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = poll_once(future.as_mut()) {
            return done;
        }
    }
}

fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
