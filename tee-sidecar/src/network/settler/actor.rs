//! What the actor does: passes, looks at what became of vouchers, self-checks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as Cell, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use broker_core::UserId;
use broker_core::chain::{ChainError, Verdict};
use broker_core::settlement::{Obstacle, PassReport, SettleError, Settler, self_check};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, sleep_until};

use super::Status;
use crate::ledger::Lead;
use crate::network::Gate;
use crate::network::accounts::USABLE;

/// How often the chain is asked what became of a voucher that was sent.
const RESOLVE_EVERY: Duration = Duration::from_secs(3);
/// Work is taken while the chain's node is silent, for as long as what it said of escrows serves:
/// a node that restarts is no reason to turn clients away.
const SILENCE_BORNE: Duration = USABLE;
/// A voucher that did not land in this time is sent again.
const SUBMIT_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How often a sidecar that does not lead looks whether it does now.
const LEAD_LOOK: Duration = Duration::from_secs(1);

/// What the actor and its handle share.
pub(super) struct Shared {
    pub(super) settler: Settler,
    pub(super) lead: Lead,
    gate: Arc<Gate>,
    every: Duration,
    asked: Notify,
    status: RwLock<Status>,
    /// When the chain last answered a self-check.
    answered: RwLock<Option<Instant>>,
    /// Held while the chain is checked, so that an old answer never replaces a new one.
    checking: Mutex<()>,
    /// What the log has been told of problems that are still there.
    told: Cell<BTreeSet<String>>,
}

impl Shared {
    pub(super) fn new(settler: Settler, lead: Lead, gate: Arc<Gate>, every: Duration) -> Self {
        Self {
            settler,
            lead,
            gate,
            every,
            asked: Notify::new(),
            status: RwLock::default(),
            answered: RwLock::default(),
            checking: Mutex::default(),
            told: Cell::default(),
        }
    }

    /// Asks for a pass that collects from everyone who owes.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    pub(super) async fn watch(&self) {
        loop {
            self.check().await;
            sleep(self.gate.look_again_after()).await;
        }
    }

    pub(super) async fn collect(&self) {
        let mut asked = false;
        loop {
            self.await_lead().await;
            let next_pass = Instant::now() + self.pass(asked).await;
            asked = false;
            while self.lead.is_ours() && Instant::now() < next_pass {
                let open = self.read().open > 0;
                let resolve = Instant::now() + RESOLVE_EVERY;
                let wake = if open { resolve.min(next_pass) } else { next_pass };
                tokio::select! {
                    () = self.asked.notified() => {
                        asked = true;
                        break;
                    }
                    () = sleep_until(wake) => {}
                }
                if open {
                    let resolved = self.settler.resolve().await;
                    self.note(resolved, false);
                }
            }
        }
    }

    /// Passes when this sidecar leads. What it knew of vouchers before is not what is there now;
    /// but refusals hold until the contract says something else.
    async fn await_lead(&self) {
        if self.lead.is_ours() {
            return;
        }
        tracing::info!("this sidecar does not have the lead: it collects no fees");
        {
            let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
            (status.open, status.problems, status.overdue) = (0, Vec::new(), None);
        }
        tokio::select! {
            () = self.follow() => {}
            () = self.lead_comes() => {}
        }
        tracing::info!("this sidecar has the lead: it collects the fees");
    }

    async fn lead_comes(&self) {
        while !self.lead.is_ours() {
            sleep(LEAD_LOOK).await;
        }
    }

    /// Fees that the leader cannot collect are not collected for anyone: the contract is asked here
    /// too, and nothing is sent or written.
    async fn follow(&self) {
        loop {
            match self.settler.rehearse().await {
                Ok(refused) => {
                    self.keep_told(&told_of(&refused));
                    self.note_refused(&refused);
                    self.check().await;
                }
                Err(error) => {
                    let problem = error.to_string();
                    if self.is_news(&problem) {
                        tracing::warn!(%error, "what the contract refuses is not known now");
                    }
                    let there = [self.read().refused.as_slice(), &[problem]].concat();
                    self.keep_told(&there);
                }
            }
            sleep(SUBMIT_AGAIN_AFTER.min(self.every)).await;
        }
    }

    fn note_refused(&self, refused: &[(UserId, Verdict)]) {
        for problem in told_of(refused).iter().filter(|problem| self.is_news(problem)) {
            tracing::error!(problem, "the contract refuses a voucher: it is not sent");
        }
        // Without its user's word a voucher waits, and stands in nobody else's way.
        let closing = refused.iter().filter(|(_, verdict)| *verdict != Verdict::NoTeeSigner);
        let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
        status.refused = told_of(closing);
    }

    /// How long to wait for the next pass.
    async fn pass(&self, asked: bool) -> Duration {
        let outcome = self.settler.pass(asked).await;
        let failed = outcome.is_err();
        self.note(outcome, true);
        self.check().await;
        let status = self.read();
        let every = between_passes(self.every, status.lock_time_secs);
        if failed || status.open > 0 { SUBMIT_AGAIN_AFTER.min(every) } else { every }
    }

    fn note(&self, outcome: Result<PassReport, SettleError>, is_pass: bool) {
        let now = self.settler.clock.now();
        let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
        let report = match outcome {
            Ok(report) => report,
            Err(error) => {
                let problem = error.to_string();
                if self.is_news(&problem) {
                    tracing::warn!(%error, "a settlement pass ended early; the next one goes on");
                }
                if is_pass {
                    status.failures = status.failures.saturating_add(1);
                    self.keep_told(std::slice::from_ref(&problem));
                    status.problems = vec![problem];
                }
                return;
            }
        };
        for (user, paid) in &report.settled {
            tracing::info!(%user, neuron = %paid, "settled");
            status.paid = status.paid.checked_add(*paid).unwrap_or(status.paid);
        }
        for (user, reason, total) in &report.sealed {
            tracing::info!(%user, neuron = %total, reason = reason.as_str(), "voucher sealed");
        }
        let mut problems = report.problems;
        problems.sort();
        problems.dedup();
        for problem in problems.iter().filter(|problem| self.is_news(problem)) {
            tracing::warn!(problem, "settlement");
        }
        status.open = report.open;
        if is_pass {
            status.passes = status.passes.saturating_add(1);
            self.keep_told(&[told_of(&report.refused), problems.clone()].concat());
            status.problems = problems;
            status.overdue = report.overdue;
            status.last_pass = Some(now);
            drop(status);
            self.note_refused(&report.refused);
        }
    }

    /// Whether the log has not been told of this problem since it is there.
    fn is_news(&self, problem: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(problem.to_owned())
    }

    /// Forgets all but those that are still `there`: the others are news when they come back.
    fn keep_told(&self, there: &[String]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|problem| there.contains(problem));
    }

    pub(super) async fn check(&self) {
        let _turn = self.checking.lock().await;
        let settler = &self.settler;
        let check = self_check(&*settler.chain, settler.signer.address()).await;
        let is_silent = match check.obstacles.first() {
            Some(Obstacle::Chain(error)) => !matches!(error, ChainError::WrongNetwork(_)),
            _ => false,
        };
        if is_silent && self.may_be_silent() {
            tracing::debug!("the chain gives no answer");
            return;
        }
        if !is_silent {
            *self.answered.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        let mut reasons: Vec<String> = check.obstacles.iter().map(told_to_all).collect();
        reasons.extend(self.read().refused.iter().cloned());
        if reasons != self.gate.reasons() {
            for reason in &check.obstacles {
                tracing::warn!(%reason, "fees cannot be collected: paid requests are refused");
            }
            if reasons.is_empty() {
                tracing::info!("fees can be collected: paid requests are taken");
            }
            self.gate.set(reasons);
        }
        let mut status = self.status.write().unwrap_or_else(PoisonError::into_inner);
        if !is_silent {
            status.wallet = check.terms.wallet;
            status.lock_time_secs = Some(check.terms.lock_time_secs);
        }
        status.obstacles = check.obstacles;
    }

    fn may_be_silent(&self) -> bool {
        let answered = *self.answered.read().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|at| at.elapsed() < SILENCE_BORNE)
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Status> {
        self.status.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What everyone may read of refusals.
fn told_of<'a>(refused: impl IntoIterator<Item = &'a (UserId, Verdict)>) -> Vec<String> {
    let refused = refused.into_iter();
    refused.map(|(user, verdict)| format!("voucher of {user}: {verdict}")).collect()
}

/// What everyone may read of an obstacle. What the node said, and where it is, is for the log.
fn told_to_all(obstacle: &Obstacle) -> String {
    match obstacle {
        Obstacle::Chain(ChainError::WrongNetwork(_)) => {
            "the chain's node is of another network than the configured one".to_owned()
        }
        Obstacle::Chain(_) => "the chain's node gives no answer".to_owned(),
        obstacle => obstacle.to_string(),
    }
}

/// A user whose refund is paid between two passes takes unpaid fees along.
fn between_passes(every: Duration, lock_time_secs: Option<u64>) -> Duration {
    let Some(lock_time_secs) = lock_time_secs else { return every };
    every.min(Duration::from_secs((lock_time_secs / 4).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_refund_is_paid_between_two_passes() {
        let every = |secs, lock_time| between_passes(Duration::from_secs(secs), lock_time);
        for (secs, lock_time, expected) in [
            (300, None, 300),
            (300, Some(86_400), 300),
            (300, Some(1_199), 299),
            (300, Some(3), 1),
            (300, Some(0), 1),
        ] {
            assert_eq!(every(secs, lock_time), Duration::from_secs(expected), "{lock_time:?}");
        }
    }
}
