//! The ledger's writer: how long commits take, and how much shares one.

use std::sync::Arc;
use std::time::Instant;

use broker_core::{
    Account, AuditReport, Command, Decision, Hold, Kept, Ledger, LedgerError, LedgerReader,
    LogLeaf, Timestamp, UserId,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Times commits.
#[derive(Clone, Debug)]
pub struct Commits {
    seconds: Histogram,
    commands: Histogram,
    busy: Counter,
    failures: Counter,
}

impl Commits {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let commits = Self {
            seconds: Histogram::new(COMMIT_SECONDS),
            commands: Histogram::new(COMMANDS),
            busy: Counter::default(),
            failures: Counter::default(),
        };
        let help = "One commit of the ledger, durable";
        registry.register("ledger_commit_seconds", help, commits.seconds.clone());
        let help = "Commands that shared a commit";
        registry.register("ledger_commit_commands", help, commits.commands.clone());
        let help = "Commits that others on the same database kept from being written";
        registry.register("ledger_busy", help, commits.busy.clone());
        let help = "Commits that failed; the process ends after one";
        registry.register("ledger_failures", help, commits.failures.clone());
        commits
    }

    /// The same ledger, whose commits are timed.
    pub fn timed(&self, ledger: Box<dyn Ledger>) -> Box<dyn Ledger> {
        Box::new(Timed { ledger, commits: self.clone() })
    }
}

struct Timed {
    ledger: Box<dyn Ledger>,
    commits: Commits,
}

impl Ledger for Timed {
    fn apply(&mut self, batch: &[Command], now: Timestamp) -> Result<Vec<Decision>, LedgerError> {
        let began = Instant::now();
        let applied = self.ledger.apply(batch, now);
        match &applied {
            Ok(_) => {
                self.commits.seconds.observe(began.elapsed().as_secs_f64());
                self.commits.commands.observe(batch.len() as f64);
            }
            Err(LedgerError::Busy) => {
                self.commits.busy.inc();
            }
            Err(_) => {
                self.commits.failures.inc();
            }
        }
        applied
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

    fn extend_log(&mut self, size: u64, leaves: &[LogLeaf]) -> Result<bool, LedgerError> {
        self.ledger.extend_log(size, leaves)
    }

    fn keep(&mut self, kept: &Kept) -> Result<(), LedgerError> {
        self.ledger.keep(kept)
    }

    fn has_one_writer(&self) -> bool {
        self.ledger.has_one_writer()
    }

    fn reader(&self) -> Result<Arc<dyn LedgerReader>, LedgerError> {
        self.ledger.reader()
    }
}

const COMMIT_SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];
/// The most that share a commit are 128.
const COMMANDS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

#[cfg(test)]
mod tests {
    use broker_core::{Cover, MemoryLedger, Neuron};
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_timed_ledger_is_the_ledger_and_its_commits_are_counted() {
        let mut registry = Registry::default();
        let commits = Commits::new(&mut registry);
        let mut plain = MemoryLedger::new();
        let one_writer = plain.has_one_writer();
        let user = UserId::new([7; 20]);
        let command = Command::Mirror { user, cover: Cover::UpTo(Neuron::new(5)) };
        plain.apply(std::slice::from_ref(&command), Timestamp(0)).unwrap();
        let mut timed = commits.timed(Box::new(plain));
        timed.apply(&[command.clone(), command], Timestamp(1)).unwrap();
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in ["ledger_commit_seconds_count 1\n", "ledger_commit_commands_sum 2.0\n"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(timed.has_one_writer(), one_writer);
        let direct = timed.reader().unwrap().account(&user).unwrap();
        assert_eq!(timed.account(&user).unwrap(), direct);
    }
}
