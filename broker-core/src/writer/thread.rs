//! The loop of the thread that owns a ledger.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::command::{Command, Decision};
use crate::ledger::{Ledger, LedgerError};

use super::{Done, Errand, Health, Job, Message, WriterLimits, begins};

/// What is done next: a batch, and behind it an errand.
struct Next {
    batch: Vec<Job>,
    errand: Option<Errand>,
}

pub(super) struct Writer {
    ledger: Box<dyn Ledger>,
    clock: Arc<dyn Clock>,
    jobs: mpsc::UnboundedReceiver<Message>,
    limits: WriterLimits,
    voice: Voice,
    /// How many were answered last.
    answered: usize,
}

/// What a batch that is being gathered waits for.
struct Wait {
    since: Instant,
    enough: usize,
}

impl Writer {
    pub(super) fn new(
        ledger: Box<dyn Ledger>,
        clock: Arc<dyn Clock>,
        jobs: mpsc::UnboundedReceiver<Message>,
        limits: WriterLimits,
        health: watch::Sender<Health>,
    ) -> Self {
        Self { ledger, clock, jobs, limits, voice: Voice(health), answered: 0 }
    }

    /// Ends when everybody is gone, when asked to, or when the ledger fails. A ledger that failed
    /// once is never tried again, unless it was merely busy: after a failed flush the disk's state
    /// is unknown, and a second flush may succeed without having written anything.
    pub(super) fn run(mut self) {
        while let Some(Next { batch, errand }) = self.next() {
            if let Err(error) = self.carry_out(batch) {
                tracing::error!(%error, "the ledger failed: nothing more is written");
                if let Some(errand) = errand {
                    (errand(Err(LedgerError::Stopped)).tell)();
                }
                break;
            }
            if errand.is_some_and(|errand| !self.run_errand(errand)) {
                tracing::error!("the ledger failed: nothing more is written");
                break;
            }
        }
        self.voice.says_stopped();
        self.refuse_the_rest();
    }

    /// Everything that waits, up to the limit; empty after a call to stop.
    fn next(&mut self) -> Option<Next> {
        let mut batch = Vec::new();
        let mut waiting = None;
        let mut next = self.jobs.blocking_recv();
        while let Some(message) = next {
            match message {
                Message::Do(job) => batch.push(*job),
                Message::Errand(errand) => return Some(Next { batch, errand: Some(errand) }),
                // What was queued before this is still received, and nothing after it is taken.
                Message::Stop => self.jobs.close(),
            }
            if batch.len() >= self.limits.batch_commands_max {
                return Some(Next { batch, errand: None });
            }
            next = if batch.is_empty() {
                self.jobs.blocking_recv()
            } else {
                self.more(batch.len(), &mut waiting)
            };
        }
        (!batch.is_empty()).then_some(Next { batch, errand: None })
    }

    /// False where the ledger failed.
    fn run_errand(&mut self, errand: Errand) -> bool {
        let ledger = self.ledger.as_mut();
        match catch_unwind(AssertUnwindSafe(|| errand(Ok(ledger)))) {
            Ok(Done { goes_on: true, tell }) => {
                tell();
                return true;
            }
            Ok(Done { goes_on: false, tell }) => {
                // Waiters look at the health when they hear of the failure.
                self.voice.says_failed();
                tell();
            }
            Err(_) => self.voice.says_failed(),
        }
        false
    }

    /// What else shares the commit. Those who were just answered are about to ask for more, and
    /// what comes too late waits for the whole of a commit: under load they are waited for, for a
    /// part of what a commit takes.
    fn more(&mut self, gathered: usize, waiting: &mut Option<Wait>) -> Option<Message> {
        if let Ok(message) = self.jobs.try_recv() {
            return Some(message);
        }
        let answered = self.answered;
        let enough = gathered.saturating_add(answered);
        let wait = waiting.get_or_insert_with(|| Wait { since: Instant::now(), enough });
        let under_load = answered >= ANSWERED_MIN && gathered < wait.enough;
        while under_load && wait.since.elapsed() < GATHER_MAX {
            std::thread::yield_now();
            if let Ok(message) = self.jobs.try_recv() {
                return Some(message);
            }
        }
        None
    }

    fn carry_out(&mut self, batch: Vec<Job>) -> Result<(), LedgerError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (mut commands, mut answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|job| (job.command, job.answer)).unzip();
        let mut outcome = self.attempt(&commands);
        if matches!(outcome, Err(LedgerError::Busy)) {
            (commands, answers) = without_beginnings(commands, answers);
            outcome = self.insist(&commands);
        }
        let outcome = outcome.and_then(|decisions| match decisions.len() == answers.len() {
            true => Ok(decisions),
            false => Err(LedgerError::Corrupt("a ledger left commands unanswered".to_owned())),
        });
        match outcome {
            Ok(decisions) => {
                self.answered = answers.len();
                for (answer, decision) in answers.into_iter().zip(decisions) {
                    give(answer, Ok(decision));
                }
                Ok(())
            }
            Err(error) => {
                // Waiters look at the health when they hear of the failure.
                self.voice.says_failed();
                for answer in answers {
                    give(answer, Err(unknown(&error)));
                }
                Err(error)
            }
        }
    }

    /// Tries what cannot be refused, until the ledger is no longer busy.
    fn insist(&mut self, commands: &[Command]) -> Result<Vec<Decision>, LedgerError> {
        let began = Instant::now();
        while !commands.is_empty() {
            std::thread::sleep(PAUSE);
            match self.attempt(commands) {
                Err(LedgerError::Busy) if began.elapsed() < self.limits.busy_max => {}
                Err(LedgerError::Busy) => {
                    let seconds = began.elapsed().as_secs();
                    return Err(LedgerError::Storage(format!(
                        "it was busy for {seconds} s; nothing of the batch was written"
                    )));
                }
                done => return done,
            }
        }
        Ok(Vec::new())
    }

    /// A panic is a failure like any other: the batch may have been written, and its waiters must
    /// not be told that it was not. The ledger is left in whatever state that is, and never used
    /// again.
    fn attempt(&mut self, commands: &[Command]) -> Result<Vec<Decision>, LedgerError> {
        let attempt = || self.ledger.apply(commands, self.clock.now());
        catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| {
            let what = "its writer died, and what became of the batch is unknown";
            Err(LedgerError::Storage(what.to_owned()))
        })
    }

    fn refuse_the_rest(&mut self) {
        self.jobs.close();
        while let Some(message) = self.jobs.blocking_recv() {
            match message {
                Message::Do(job) => give(job.answer, Err(LedgerError::Stopped)),
                Message::Errand(errand) => {
                    (errand(Err(LedgerError::Stopped)).tell)();
                }
                Message::Stop => {}
            }
        }
    }
}

type Answer = Option<oneshot::Sender<Result<Decision, LedgerError>>>;

/// Refuses what begins something, and keeps the rest in its order.
fn without_beginnings(commands: Vec<Command>, answers: Vec<Answer>) -> (Vec<Command>, Vec<Answer>) {
    let (refused, kept): (Vec<_>, Vec<_>) =
        commands.into_iter().zip(answers).partition(|(command, _)| begins(command));
    for (_, answer) in refused {
        give(answer, Err(LedgerError::Busy));
    }
    kept.into_iter().unzip()
}

/// A caller that has left does not mind; a failure nobody waits for is logged.
fn give(answer: Answer, outcome: Result<Decision, LedgerError>) {
    match (answer, outcome) {
        (Some(answer), outcome) => {
            let _ = answer.send(outcome);
        }
        (None, Ok(Ok(_))) => {}
        (None, Ok(Err(refusal))) => tracing::warn!(%refusal, "a hold was not freed"),
        (None, Err(error)) => tracing::warn!(%error, "a hold stays open until restart"),
    }
}

/// What each waiter of a failed batch hears.
fn unknown(error: &LedgerError) -> LedgerError {
    match error {
        LedgerError::Storage(what) => LedgerError::Storage(what.clone()),
        LedgerError::Corrupt(what) => LedgerError::Corrupt(what.clone()),
        LedgerError::Full(what) => LedgerError::Full(what.clone()),
        LedgerError::ReadOnly(what) => LedgerError::ReadOnly(what.clone()),
        LedgerError::Locked(what) => LedgerError::Locked(what.clone()),
        other => LedgerError::Storage(other.to_string()),
    }
}

/// A batch waits for so long at most, and only where so many were answered last that more is to
/// come.
const GATHER_MAX: Duration = Duration::from_micros(200);
const ANSWERED_MIN: usize = 8;

/// Between two tries of a ledger that is busy.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the handles how the writer is, and that it is gone even if it panics.
struct Voice(watch::Sender<Health>);

impl Voice {
    fn says_failed(&self) {
        self.0.send_replace(Health::Failed);
    }

    /// A failure stays a failure.
    fn says_stopped(&self) {
        self.0.send_if_modified(|health| match health {
            Health::Running => {
                *health = Health::Stopped;
                true
            }
            Health::Stopped | Health::Failed => false,
        });
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        // A writer that ended in order has said so before.
        if *self.0.borrow() == Health::Running {
            self.says_failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_vanishes_has_failed_and_one_that_was_stopped_has_not() {
        let last_word = |speak: fn(&Voice)| {
            let (tell, health) = watch::channel(Health::Running);
            speak(&Voice(tell));
            *health.borrow()
        };
        assert_eq!(last_word(|_| {}), Health::Failed);
        assert_eq!(last_word(Voice::says_stopped), Health::Stopped);
        let failed_then_stopped = |voice: &Voice| {
            voice.says_failed();
            voice.says_stopped();
        };
        assert_eq!(last_word(failed_then_stopped), Health::Failed);
    }
}
