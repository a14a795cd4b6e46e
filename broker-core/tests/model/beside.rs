//! A ledger beside the model: the same answers, the same books, the same chain of entries.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_core::{
    Charged, Command, Hold, Ledger, LedgerError, LedgerReader, MemoryLedger, ProofReader,
    RequestQuery, UserId,
};

use crate::asker::Asker;
use crate::books::{NOW, log_all};
use crate::watch::Watch;

/// Commands of a sequence, at most, and of a batch.
const STEPS: u64 = 120;
const BATCH: u64 = 24;

/// The ledger, the model, and the commands that were asked of both.
pub(crate) struct Beside {
    ledger: Box<dyn Ledger>,
    reader: Arc<dyn LedgerReader>,
    model: MemoryLedger,
    watch: Watch,
    rounds: u64,
}

impl Beside {
    pub(crate) fn new(ledger: Box<dyn Ledger>) -> Self {
        let (model, reader) = (MemoryLedger::new(), ledger.reader().unwrap());
        Self { ledger, reader, model, watch: Watch::default(), rounds: 0 }
    }

    /// Plays so many sequences of a seed, one after the other, each with users of its own.
    ///
    /// # Errors
    /// The first difference, and where.
    pub(crate) fn play(&mut self, seed: u64, laps: u64) -> Result<(), String> {
        for lap in 0..laps {
            let mut asker = Asker::new(seed * laps + lap, lap as u8, STEPS);
            let users: Vec<_> = asker.users().collect();
            loop {
                let batch = asker.batch(&self.watch, BATCH);
                if batch.is_empty() {
                    break;
                }
                let told = |why| format!("lap {lap}: {why}\nafter {batch:?}");
                self.ask(&batch, &users).map_err(told)?;
            }
            self.stands(&users).map_err(|why| format!("lap {lap}: {why}"))?;
        }
        self.audit()
    }

    fn ask(&mut self, batch: &[Command], users: &[UserId]) -> Result<(), String> {
        let retires = |command: &Command| matches!(command, Command::Retire(_));
        for part in batch.chunk_by(|one, next| !retires(one) && !retires(next)) {
            if part.iter().any(retires) {
                // An entry that has no place yet is not let go.
                self.chained()?;
                if self.rounds.is_multiple_of(2) {
                    log_all(&mut self.model);
                    log_all(self.ledger.as_mut());
                }
            }
            self.rounds += 1;
            let now = NOW.plus_millis(self.rounds);
            let expected = self.model.apply(part, now).map_err(|error| error.to_string())?;
            let found = self.ledger.apply(part, now).map_err(|error| error.to_string())?;
            same("decisions", &found, &expected)?;
            for (command, decision) in part.iter().zip(&expected) {
                self.watch.saw(command, decision)?;
            }
        }
        users.iter().try_for_each(|user| {
            let expected = Ledger::account(&self.model, user);
            same_of("an account", self.ledger.account(user), expected)
        })
    }

    /// Waits until every entry has its place, which is the model's.
    fn chained(&self) -> Result<(), String> {
        let began = Instant::now();
        let expected = self.model.head().ok();
        while self.reader.head().ok() != expected {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("the chain is another one".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Everything that both tell of a sequence.
    fn stands(&self, users: &[UserId]) -> Result<(), String> {
        self.chained()?;
        let (reader, model) = (self.reader.as_ref(), &self.model);
        same_of("open holds", self.ledger.open_holds(), model.open_holds())?;
        same_of("open vouchers", reader.open_vouchers(), model.open_vouchers())?;
        same_of("the binding", reader.binding(), model.binding())?;
        let late = NOW.plus_millis(100_000);
        let expected = model.expired_holds(late, 3);
        same_of("expired holds", reader.expired_holds(late, 3), expected)?;
        for user in users {
            same_of("a statement", reader.statement(user), model.statement(user))?;
            let unsealed = [reader.unsealed(user), model.unsealed(user)].map(|told| {
                let told = told.map_err(|error| error.to_string())?;
                Ok(told.map(|due| (due.collected.total(), due.collected.root(), due.sealed_to)))
            });
            let [found, expected] = unsealed;
            same::<Result<_, String>>("what is due", &found, &expected)?;
            self.found("engine", user)?;
        }
        let ours = self.watch.holds.values().filter(|held| users.contains(&held.hold.user));
        for Hold { receipt: id, user, .. } in ours.map(|held| &held.hold) {
            self.found(&format!("of-{id}"), user)?;
            same_of("a hold", reader.hold_state(id), model.hold_state(id))?;
            same_of("a receipt", reader.receipt(id), model.receipt(id))?;
        }
        let size = [reader.log(), model.log()].map(|log| log.map(|log| log.size));
        let [found, expected] = size;
        same_of("the log", found, expected)?;
        same_of("leaves", reader.log_hashes(0, 0, 999), model.log_hashes(0, 0, 999))?;
        // Where writers are several, entries have other numbers than places.
        let ids = |told: Vec<Charged>| told.into_iter().map(|one| one.receipt).collect::<Vec<_>>();
        let [found, expected] = [reader.unlogged(9).map(ids), model.unlogged(9).map(ids)];
        same_of("what is not in the log", found, expected)?;
        for user in users {
            let told = [reader.charged_to(user, 0, 9), model.charged_to(user, 0, 9)];
            let [found, expected] = told.map(|told| told.map(ids));
            same_of("a user's receipts", found, expected)?;
        }
        for processed in [None, Some(true), Some(false)] {
            for user in [None, users.first().copied()] {
                let query = RequestQuery { processed, user, limit: 5, offset: 1 };
                same_of("requests", reader.requests(&query), model.requests(&query))?;
            }
        }
        Ok(())
    }

    fn found(&self, id: &str, owner: &UserId) -> Result<(), String> {
        let found = self.reader.receipt_by_upstream_id(id, Some(owner));
        let expected = self.model.receipt_by_upstream_id(id, Some(owner));
        same_of("a receipt by the engine's id", found, expected)
    }

    fn audit(&self) -> Result<(), String> {
        let report = self.ledger.audit().map_err(|error| error.to_string())?;
        same("faults", &report.fault, &None)?;
        same_of("an audit", Ok(report), Ledger::audit(&self.model))?;
        let head = self.model.head();
        same_of("the head", self.reader.head(), head)?;
        same_of("statements", self.reader.statements(), self.model.statements())?;
        same_of("totals", self.reader.totals(), self.model.totals())
    }
}

fn same<T: Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what} differ: {found:?}\nand in the model {expected:?}")),
    }
}

/// Sums that leave the range of money are an error of both.
fn same_of<T: Debug + PartialEq>(
    what: &str,
    found: Result<T, LedgerError>,
    expected: Result<T, LedgerError>,
) -> Result<(), String> {
    let is_corrupt = |told: &Result<T, LedgerError>| matches!(told, Err(LedgerError::Corrupt(_)));
    match (is_corrupt(&found), is_corrupt(&expected)) {
        (true, true) => Ok(()),
        _ => same(what, &found.map_err(|e| e.to_string()), &expected.map_err(|e| e.to_string())),
    }
}
