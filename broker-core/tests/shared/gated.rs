//! A writer whose ledger waits for the test at each commit.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use broker_core::{
    Account, AuditReport, Clock, Command, Decision, Hold, Ledger, LedgerError, LedgerHandle,
    LedgerReader, MemoryLedger, Timestamp, UserId, WriterLimits, spawn_writer_with,
};

use crate::books::NOW;

/// A ledger whose every commit waits for the test to say how it ends.
struct Gated {
    inner: MemoryLedger,
    entered: Sender<usize>,
    verdicts: Receiver<Verdict>,
}

pub(crate) enum Verdict {
    Commit,
    Fail,
    Panic,
    ForgetOne,
    Busy,
}

impl Ledger for Gated {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        self.entered.send(batch.len()).unwrap();
        // Once the test has gone, everything commits.
        match self.verdicts.recv().unwrap_or(Verdict::Commit) {
            Verdict::Commit => self.inner.apply(batch, now),
            Verdict::Fail => Err(LedgerError::Storage("the disk is on fire".to_owned())),
            Verdict::Panic => panic!("on purpose"),
            Verdict::Busy => Err(LedgerError::Busy),
            Verdict::ForgetOne => self.inner.apply(&batch[1..], now),
        }
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        Ledger::account(&self.inner, user)
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        self.inner.open_holds()
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        Ledger::audit(&self.inner)
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        self.inner.reader()
    }
}

pub(crate) struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A writer over a gated ledger, and the test's ends of the gate.
pub(crate) struct Bench {
    pub(crate) handle: LedgerHandle,
    pub(crate) books: MemoryLedger,
    pub(crate) entered: Receiver<usize>,
    pub(crate) verdicts: Sender<Verdict>,
}

impl Bench {
    pub(crate) fn new(limits: WriterLimits) -> Self {
        let books = MemoryLedger::new();
        let (enter, entered) = channel();
        let (verdicts, judge) = channel();
        let gated = Gated { inner: books.clone(), entered: enter, verdicts: judge };
        let handle = spawn_writer_with(Box::new(gated), Arc::new(Stopped), limits);
        Self { handle, books, entered, verdicts }
    }

    /// The size of the batch that the ledger is working on.
    pub(crate) fn batch(&self) -> usize {
        self.entered.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    pub(crate) fn rule(&self, verdict: Verdict) {
        self.verdicts.send(verdict).unwrap();
    }
}
