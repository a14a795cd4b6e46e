//! A ledger with something between it and whoever writes to it.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::sync::Arc;

use broker_core::{
    Account, AuditReport, Command, Decision, Hold, Kept, Ledger, LedgerError, LedgerReader,
    LogLeaf, Timestamp, UserId,
};

/// What [`Ledger::apply`] answers.
pub(crate) type Answer = Result<Vec<Decision>, LedgerError>;

/// A ledger whose batches go through `apply`.
pub(crate) struct Wrapped<F> {
    pub(crate) inner: Box<dyn Ledger>,
    pub(crate) apply: F,
}

impl<F> Ledger for Wrapped<F>
where
    F: FnMut(&mut dyn Ledger, &[Command], Timestamp) -> Answer + Send,
{
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Answer {
        (self.apply)(self.inner.as_mut(), batch, now)
    }

    fn account(&self, user: &UserId) -> Result<Account, LedgerError> {
        self.inner.account(user)
    }

    fn open_holds(&self) -> Result<Vec<Hold>, LedgerError> {
        self.inner.open_holds()
    }

    fn audit(&self) -> Result<AuditReport, LedgerError> {
        self.inner.audit()
    }

    fn extend_log(&mut self, size: u64, leaves: &[LogLeaf]) -> Result<bool, LedgerError> {
        self.inner.extend_log(size, leaves)
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), LedgerError> {
        self.inner.keep(kept)
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        self.inner.reader()
    }
}
