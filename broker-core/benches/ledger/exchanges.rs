//! Exchanges in flight, against any ledger.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use broker_core::{
    Account, AuditReport, Clock as _, Command, Cover, Decision, Digest32, Fingerprint, Hold,
    Ledger, LedgerError, LedgerReader, Receipt, ReceiptId, RequestKey, SystemClock, Timestamp,
    UserId, WriterLimits, spawn_writer_with,
};

use crate::books::{hold, id_of, neuron, receipt, user};

pub(crate) const IN_FLIGHT: u64 = 64;
const USERS: u64 = 16;

/// What a run came to.
pub(crate) struct Run {
    pub(crate) exchanges: u64,
    /// The entries that were there after each commit.
    pub(crate) ends: Vec<i64>,
    pub(crate) seconds: f64,
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        self.exchanges as f64 / self.seconds
    }

    pub(crate) fn commits(&self) -> u64 {
        self.ends.len() as u64
    }
}

/// Keeps `IN_FLIGHT` exchanges going for a while.
pub(crate) fn drive(mut ledger: Box<dyn Ledger>, batch: usize, time: Duration) -> Run {
    let covers: Vec<_> = (0..USERS)
        .map(|n| Command::Mirror { user: payer(n), cover: Cover::UpTo(neuron(u128::MAX >> 8)) })
        .collect();
    ledger.apply(&covers, Timestamp(1)).unwrap();
    let ends = Arc::new(Mutex::new(Vec::new()));
    let counted = Box::new(Counted { ledger, entries: USERS.cast_signed(), ends: ends.clone() });
    let limits = WriterLimits { batch_commands_max: batch, ..WriterLimits::default() };
    let handle = spawn_writer_with(counted, Arc::new(SystemClock), limits);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let began = Instant::now();
    let exchanges = runtime.block_on(async {
        let tasks: Vec<_> = (0..IN_FLIGHT)
            .map(|task| {
                let (handle, served) = (handle.clone(), served(payer(task % USERS)));
                tokio::spawn(async move {
                    let mut done: u64 = 0;
                    while began.elapsed() < time {
                        let held = new(served.user);
                        let (key, id) = (held.key, held.receipt);
                        handle.apply(Command::Reserve(held)).await.unwrap().unwrap();
                        let receipt = Box::new(Receipt { id, ..served.clone() });
                        handle.apply(Command::Capture { key, receipt }).await.unwrap().unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    let seconds = began.elapsed().as_secs_f64();
    handle.stop();
    let ends = std::mem::take(&mut *ends.lock().unwrap());
    Run { exchanges, ends, seconds }
}

pub(crate) fn payer(n: u64) -> UserId {
    user(u8::try_from(n % 251).unwrap() + 1)
}

/// A hold as the sidecar opens it.
fn new(user: UserId) -> Hold {
    let receipt = ReceiptId::mint(SystemClock.now());
    let fingerprint = Fingerprint(Digest32::sha256(receipt.0.as_bytes()));
    Hold { key: RequestKey::minted(&receipt), fingerprint, receipt, ..hold(1, user, 60) }
}

/// A receipt of a user with a proof, as the sidecar's have one. It is signed once for all, and read
/// by nobody: what signing takes is not the ledger's.
fn served(user: UserId) -> Receipt {
    let hold = Hold { receipt: id_of([0; 16]), ..hold(1, user, 60) };
    let served = receipt(&hold, 25);
    assert!(served.proof.is_some());
    served
}

/// A hold of its own for each number, with an id in their order as minted ones are.
pub(crate) fn nth(n: u64, user: UserId) -> Hold {
    let digest = Digest32::sha256(&n.to_be_bytes());
    let mut id = [0; 16];
    id[..6].copy_from_slice(&n.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&digest.0[..10]);
    let receipt = id_of(id);
    let key = RequestKey::minted(&receipt);
    Hold { key, fingerprint: Fingerprint(digest), receipt, ..hold(1, user, 60) }
}

/// Counts entries and commits. No command of a run is refused.
struct Counted {
    ledger: Box<dyn Ledger>,
    entries: i64,
    ends: Arc<Mutex<Vec<i64>>>,
}

impl Ledger for Counted {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        let decisions = self.ledger.apply(batch, now)?;
        self.entries += i64::try_from(decisions.len()).unwrap();
        self.ends.lock().unwrap().push(self.entries);
        Ok(decisions)
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        self.ledger.account(user)
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        self.ledger.open_holds()
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        self.ledger.audit()
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        self.ledger.reader()
    }
}

/// Exchanges a second of what was done in turn: the ledger, then the bare engine with the same
/// rows, with as many bytes stored and with as many written, then one commit a command where it was
/// tried.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) ledger: f64,
    pub(crate) rows: f64,
    pub(crate) stored: f64,
    pub(crate) written: f64,
    pub(crate) single: Option<f64>,
}

/// The medians over all turns of what the ledger does, as ratios to what was done beside it.
pub(crate) fn report(name: &str, turns: &[Turn]) {
    let median = |of: &dyn Fn(&Turn) -> Option<f64>| {
        let mut values: Vec<f64> = turns.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    println!(
        "{name}: {:.0} exchanges/s; {:.2} of the bare engine with the same rows, {:.2} with as \
         many bytes written, {:.2} with as many stored; {:.1} times one commit a command (medians)",
        median(&|turn| Some(turn.ledger)),
        median(&|turn| Some(turn.ledger / turn.rows)),
        median(&|turn| Some(turn.ledger / turn.written)),
        median(&|turn| Some(turn.ledger / turn.stored)),
        median(&|turn| turn.single.map(|single| turn.ledger / single)),
    );
}
