//! Exchanges to write into a ledger, and whether a ledger that was opened again has them.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::path::Path;
use std::time::Duration;

use broker_core::testing::Rng;
use broker_core::{
    Command, Cover, Digest32, Fingerprint, Hold, HoldState, Ledger, LedgerError, LedgerReader,
    ReleaseReason, RequestKey, SqliteLedger, SqliteReader, recover,
};

use crate::books::{NOW, capture, hold, id_of, neuron, user};

/// What every exchange costs.
pub(crate) const FEE: u128 = 3;
const USERS: u64 = 3;

/// Opens the ledger that a rung is about.
pub(crate) type Open<'a> = &'a (dyn Fn(&Path) -> Result<Box<dyn Ledger>, LedgerError> + Sync);

/// The ledger as it is shipped.
pub(crate) fn shipped(path: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    Ok(Box::new(open_patiently(path)?))
}

/// Opens a ledger that nobody else writes to. A process that another test starts has every lock of
/// this one too, for the moment until it becomes another program.
pub(crate) fn open_patiently(path: &Path) -> Result<SqliteLedger, LedgerError> {
    for _ in 0..500 {
        match SqliteLedger::open(path) {
            Err(LedgerError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    SqliteLedger::open(path)
}

/// Something that a ledger has acknowledged, by the name of its exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The exchange has begun.
    Held(String),
    /// It has been paid for.
    Captured(String),
    /// It was freed.
    Freed(String),
}

/// The hold of a named exchange; its user follows from the name.
pub(crate) fn named_hold(name: &str) -> Hold {
    let digest = Digest32::sha256(name.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(digest.0.split_at(16).0);
    let owner = digest.0.last().map_or(0, |byte| u64::from(*byte) % USERS);
    Hold {
        key: RequestKey(digest),
        fingerprint: Fingerprint(digest),
        receipt: id_of(id),
        ..hold(1, user(1 + owner as u8), 10)
    }
}

/// Gives every user enough.
pub(crate) fn covers() -> Vec<Command> {
    let cover = Cover::UpTo(neuron(u128::MAX >> 1));
    (1..=USERS as u8).map(|n| Command::Mirror { user: user(n), cover }).collect()
}

/// Writes exchanges, in batches of any size, and keeps what was promised.
pub(crate) struct Work {
    rng: Rng,
    name: String,
    begun: u64,
    open: Vec<String>,
}

impl Work {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self { rng: Rng::new(seed), name: name.to_owned(), begun: 0, open: Vec::new() }
    }

    /// One batch, and what it promises when it is acknowledged.
    pub(crate) fn batch(&mut self) -> (Vec<Command>, Vec<Promise>) {
        let size = 1 + self.rng.below(5);
        (0..size).map(|_| self.one()).unzip()
    }

    fn one(&mut self) -> (Command, Promise) {
        if self.open.is_empty() || self.open.len() < 6 && self.rng.below(2) == 0 {
            self.begun += 1;
            let name = format!("{}-{}", self.name, self.begun);
            self.open.push(name.clone());
            return (Command::Reserve(named_hold(&name)), Promise::Held(name));
        }
        let index = self.rng.below(self.open.len() as u64) as usize;
        let name = self.open.remove(index);
        let held = named_hold(&name);
        match self.rng.below(8) {
            0 => {
                let why = ReleaseReason::NotForwarded;
                (Command::Release { key: held.key, why }, Promise::Freed(name))
            }
            _ => (capture(&held, FEE), Promise::Captured(name)),
        }
    }

    /// Whatever was open is no more: the ledger was opened again and freed it.
    pub(crate) fn forget_open(&mut self) {
        self.open.clear();
    }
}

/// Carries out a batch of which nothing may be refused.
pub(crate) fn carry_out(ledger: &mut dyn Ledger, batch: &[Command]) -> Result<(), String> {
    let decisions = ledger.apply(batch, NOW).map_err(|error| error.to_string())?;
    if decisions.len() != batch.len() {
        return Err(format!("{} answers to {} commands", decisions.len(), batch.len()));
    }
    let refused = decisions.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |refusal| Err(format!("refused: {refusal}")))
}

/// Opens what is left of a ledger, recovers it, and looks for everything that was promised.
///
/// # Errors
/// What is missing, doubled or contradicts itself.
pub(crate) fn check(path: &Path, promises: &[Promise]) -> Result<Found, String> {
    if promises.is_empty() && !path.exists() {
        return Ok(Found::default());
    }
    // First as an auditor finds it, with the log of the dead process beside it.
    let before = match SqliteReader::open(path) {
        Ok(reader) => Some(sound(reader.audit())?),
        // The process died while it made the ledger: nothing can have been promised, and a reader
        // cannot finish what it began.
        Err(LedgerError::Foreign { .. }) if promises.is_empty() => None,
        Err(_) if promises.is_empty() && path.with_extension("db-journal").exists() => None,
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let ledger = open_patiently(path);
    let mut ledger = ledger.map_err(|error| format!("it does not open: {error}"))?;
    let freed = recover(&mut ledger, NOW).map_err(|error| format!("no recovery: {error}"))?;
    if before.is_some_and(|before| before.open_holds != freed) {
        return Err(format!("{freed} holds were freed, and the audit saw others"));
    }
    let after = sound(ledger.audit())?;
    if after.open_holds != 0 {
        return Err(format!("{} holds stay open", after.open_holds));
    }
    let reader = SqliteReader::open(path).map_err(|error| error.to_string())?;
    promises.iter().try_for_each(|promise| kept(&reader, promise))?;
    // Each receipt was paid for once; those beyond the promised ones were cut off in between.
    let totals = reader.totals().map_err(|error| error.to_string())?;
    let due = FEE * u128::from(after.receipts);
    if (totals.earned.get(), totals.held.get()) != (due, 0) {
        return Err(format!("{} are earned and {due} are due", totals.earned));
    }
    Ok(Found { freed, receipts: after.receipts })
}

/// What a recovery found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Exchanges that were running.
    pub(crate) freed: u64,
    pub(crate) receipts: u64,
}

fn sound(
    report: Result<broker_core::AuditReport, LedgerError>,
) -> Result<broker_core::AuditReport, String> {
    let report = report.map_err(|error| format!("it cannot be audited: {error}"))?;
    match &report.fault {
        None => Ok(report),
        Some(fault) => Err(format!("the audit finds {fault}")),
    }
}

fn kept(reader: &SqliteReader, promise: &Promise) -> Result<(), String> {
    let (Promise::Held(name) | Promise::Captured(name) | Promise::Freed(name)) = promise;
    let id = named_hold(name).receipt;
    let state = reader.hold_state(&id).map_err(|error| error.to_string())?;
    let is_kept = match (promise, state) {
        (Promise::Held(_), Some(_)) => true,
        (Promise::Captured(_), Some(HoldState::Finished)) => {
            let receipt = reader.receipt(&id).map_err(|error| error.to_string())?;
            receipt.is_some_and(|receipt| receipt.fee == neuron(FEE))
        }
        (Promise::Freed(_), Some(HoldState::Released(why))) => why == ReleaseReason::NotForwarded,
        _ => false,
    };
    if is_kept { Ok(()) } else { Err(format!("{promise:?} is lost: {state:?}")) }
}
