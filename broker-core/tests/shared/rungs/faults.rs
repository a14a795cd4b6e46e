//! The rung of disks that fail: one call goes wrong, and the ledger must say so, stop, try nothing
//! again, and have everything that it acknowledged when it is opened anew.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use broker_core::{
    Clock, Command, Decision, Ledger, LedgerError, LedgerHandle, Timestamp, recover, spawn_writer,
};

use crate::books::{NOW, capture};
use crate::disk::{Calls, Disk, Fault, Fired};
use crate::work::{FEE, Open, Promise, carry_out, check, covers, named_hold, open_patiently};
use crate::wrapped::Wrapped;

/// How a fault ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The ledger said so: this is what the first waiter was told.
    Told(String),
    /// Nobody was told, since nothing that was acknowledged depended on that call. It was on this
    /// file.
    Harmless(String),
    /// The ledger could not be opened.
    NotOpened(String),
}

/// A ledger that was killed with an exchange under way, to be copied for every fault.
pub(crate) fn template(folder: &Path) -> PathBuf {
    let path = folder.join("ledger.db");
    let mut ledger = open_patiently(&path).unwrap();
    ledger.apply(&covers(), NOW).unwrap();
    for n in 0..3 {
        let held = named_hold(&format!("before-{n}"));
        let batch = [Command::Reserve(held.clone()), capture(&held, FEE)];
        ledger.apply(&batch, NOW).unwrap();
    }
    ledger.apply(&[Command::Reserve(named_hold("under-way"))], NOW).unwrap();
    let killed = folder.join("killed.db");
    copy(&path, &killed).unwrap();
    killed
}

/// A ledger and its log, as they lie there.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    std::fs::copy(from.with_extension("db-wal"), to.with_extension("db-wal")).map(|_| ())
}

/// The calls of a run without any fault.
pub(crate) fn calls(open: Open<'_>, template: &Path) -> Result<Calls, String> {
    let bench = Bench::new(template)?;
    let handle = bench.open(open)?;
    let before = bench.disk.calls();
    let answers = write(&handle);
    handle.stop();
    let calls = bench.disk.calls();
    match answers.iter().find_map(|(_, answer)| answer.as_ref().err()) {
        Some(error) => Err(format!("without any fault: {error}")),
        None => Ok(Calls {
            writes: calls.writes - before.writes,
            syncs: calls.syncs - before.syncs,
            log_syncs: calls.log_syncs - before.log_syncs,
        }),
    }
}

/// One fault while exchanges are written. `None` where the calls end before it.
///
/// # Errors
/// A false acknowledgement, something that was tried again, or something that is lost.
pub(crate) fn fail_once(
    open: Open<'_>,
    template: &Path,
    fault: Fault,
) -> Result<Option<Outcome>, String> {
    let bench = Bench::new(template)?;
    let handle = bench.open(open)?;
    bench.disk.order(Some(fault));
    let answers = write(&handle);
    let Some(fired) = bench.disk.fired() else { return Ok(None) };
    let at_the_answer = bench.disk.cut();
    let outcome = judge(&bench, &handle, &answers, &fired);
    let promises = promises(&answers);
    // There is room again, and the ledger is opened where it lies, and as a power cut would have
    // left it at the moment of the answer and after it was closed.
    bench.disk.order(None);
    handle.stop();
    let when_closed = bench.disk.cut();
    for (when, remains) in [("at the answer", at_the_answer), ("when closed", when_closed)] {
        let place = bench.folder.path().join(when);
        remains.lay_down(&place);
        let _disk = Disk::mount(&place, 0);
        let found = check(&place.join("ledger.db"), &promises);
        found.map_err(|why| format!("{fired:?}, cut {when}: {why}"))?;
    }
    check(&bench.path, &promises).map_err(|why| format!("{fired:?}, opened again: {why}"))?;
    outcome.map(Some)
}

/// One fault while the ledger is opened; with no `template` it is made then.
///
/// # Errors
/// As [`fail_once`].
pub(crate) fn fail_to_open(
    open: Open<'_>,
    template: Option<&Path>,
    fault: Fault,
) -> Result<Option<Outcome>, String> {
    let bench = match template {
        Some(template) => Bench::new(template)?,
        None => Bench::empty()?,
    };
    bench.disk.order(Some(fault));
    let opened = open(&bench.path).and_then(|mut ledger| {
        recover(ledger.as_mut(), NOW)?;
        Ok(ledger)
    });
    let Some(fired) = bench.disk.fired() else { return Ok(None) };
    bench.disk.order(None);
    let mut promises = template.map(|_| before()).unwrap_or_default();
    let outcome = match opened {
        Err(error) => Outcome::NotOpened(error.to_string()),
        // What it promises now has to survive a power cut all the same.
        Ok(mut ledger) => {
            let (commands, promised): (Vec<_>, Vec<_>) = exchange("now").into_iter().unzip();
            let commands: Vec<_> = covers().into_iter().chain(commands).collect();
            carry_out(ledger.as_mut(), &commands)?;
            promises.extend(promised);
            Outcome::Harmless(fired.file)
        }
    };
    let place = bench.folder.path().join("cut");
    bench.disk.cut().lay_down(&place);
    let _disk = Disk::mount(&place, 0);
    check(&place.join("ledger.db"), &promises).map_err(|why| format!("after a cut: {why}"))?;
    drop(open(&bench.path).map_err(|error| format!("it does not open again: {error}"))?);
    check(&bench.path, &promises)?;
    Ok(Some(outcome))
}

type Answers = Vec<(Promise, Result<Decision, LedgerError>)>;

struct Bench {
    folder: tempfile::TempDir,
    path: PathBuf,
    disk: Arc<Disk>,
    /// What the ledger was asked since it failed, and what it had tried by then.
    since_failure: Arc<Mutex<Option<SinceFailure>>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SinceFailure {
    batches: u64,
    calls: u64,
}

impl Bench {
    fn empty() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let disk = Disk::mount(folder.path(), 7);
        let path = folder.path().join("ledger.db");
        Ok(Self { path, folder, disk, since_failure: Arc::default() })
    }

    fn new(template: &Path) -> Result<Self, String> {
        let bench = Self::empty()?;
        copy(template, &bench.path).map_err(|error| error.to_string())?;
        Ok(bench)
    }

    fn open(&self, open: Open<'_>) -> Result<LedgerHandle, String> {
        let mut ledger = open(&self.path).map_err(|error| error.to_string())?;
        recover(ledger.as_mut(), NOW).map_err(|error| error.to_string())?;
        let (disk, since) = (Arc::clone(&self.disk), Arc::clone(&self.since_failure));
        let apply = move |inner: &mut dyn Ledger, batch: &[Command], now: Timestamp| {
            let answer = inner.apply(batch, now);
            let mut since = since.lock().unwrap();
            if let Some(since) = &mut *since {
                since.batches += 1;
            } else if answer.is_err() {
                let calls = disk.fired().map_or(0, |fired| fired.tried_since);
                *since = Some(SinceFailure { batches: 0, calls });
            }
            answer
        };
        Ok(spawn_writer(Box::new(Wrapped { inner: ledger, apply }), Arc::new(Stopped)))
    }

    /// No call of a failed commit is repeated, nor is anything written by commands that come later.
    /// The last failure counts: what fails while the log is carried over is SQLite's to repeat.
    fn tried_nothing_again(&self, handle: &LedgerHandle, fired: &Fired) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let late = handle.apply(Command::Reserve(named_hold("late")));
        let late = runtime.block_on(late);
        if !matches!(late, Err(LedgerError::Stopped)) {
            return Err(format!("a stopped writer answers {late:?}"));
        }
        let since = *self.since_failure.lock().unwrap();
        match since {
            Some(SinceFailure { batches: 0, calls: 0 }) if fired.in_commits <= 1 => Ok(()),
            since => Err(format!("it did not leave it at that: {fired:?}, {since:?}")),
        }
    }
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// Exchanges one after the other, and then several at once, until the first error.
fn write(handle: &LedgerHandle) -> Answers {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut answers = Answers::new();
    runtime.block_on(async {
        for n in 0..4 {
            for (command, promise) in exchange(&format!("alone-{n}")) {
                answers.push((promise, handle.apply(command).await));
                if answers.iter().any(|(_, answer)| answer.is_err()) {
                    break;
                }
            }
        }
        let crowd: Vec<_> = (0..3).flat_map(|n| exchange(&format!("crowd-{n}"))).collect();
        let waiting: Vec<_> =
            crowd.into_iter().map(|(command, promise)| (promise, handle.apply(command))).collect();
        for (promise, answer) in waiting {
            answers.push((promise, answer.await));
        }
    });
    answers
}

fn exchange(name: &str) -> [(Command, Promise); 2] {
    let (held, name) = (named_hold(name), name.to_owned());
    let end = capture(&held, FEE);
    [(Command::Reserve(held), Promise::Held(name.clone())), (end, Promise::Captured(name))]
}

fn promises(answers: &Answers) -> Vec<Promise> {
    let kept = answers.iter().filter(|(_, answer)| matches!(answer, Ok(Ok(_))));
    before().into_iter().chain(kept.map(|(promise, _)| promise.clone())).collect()
}

/// What the template promises.
fn before() -> Vec<Promise> {
    (0..3).map(|n| Promise::Captured(format!("before-{n}"))).collect()
}

/// Whether the ledger behaved when the call went wrong.
fn judge(
    bench: &Bench,
    handle: &LedgerHandle,
    answers: &Answers,
    fired: &Fired,
) -> Result<Outcome, String> {
    let told = answers.iter().position(|(_, answer)| answer.is_err());
    let Some(first) = told else {
        if let Some((promise, Ok(Err(refusal)))) = answers.iter().find(|(_, a)| refused(a)) {
            return Err(format!("{promise:?} was refused after a fault: {refusal}"));
        }
        if fired.in_commits > 0 {
            return Err(format!("nobody was told: {fired:?}"));
        }
        // While the log is carried over SQLite may fail and begin anew: the log still has it all.
        return Ok(Outcome::Harmless(fired.file.clone()));
    };
    if let Some((promise, _)) = answers.iter().skip(first).find(|(_, answer)| answer.is_ok()) {
        return Err(format!("{promise:?} was answered after a failure"));
    }
    if handle.is_healthy() {
        return Err("the writer failed and says that it is well".to_owned());
    }
    let Some((_, Err(error))) = answers.get(first) else { return Err("no error".to_owned()) };
    bench.tried_nothing_again(handle, fired)?;
    Ok(Outcome::Told(error.to_string()))
}

fn refused(answer: &Result<Decision, LedgerError>) -> bool {
    matches!(answer, Ok(Err(_)))
}
