//! The rung of killed processes: one writes, and is killed at a random moment, again and again.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use broker_core::testing::Rng;
use broker_core::{
    Command, Ledger, LedgerError, LedgerReader, SqliteLedger, SqliteReader, SystemClock, recover,
    spawn_writer,
};

use crate::books::{NOW, capture};
use crate::work::{FEE, Promise, check, covers, named_hold};

/// Kills in the life of one ledger.
pub(crate) const KILLS_PER_LEDGER: u64 = 50;

/// What came of the kills.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    /// Captures that were acknowledged before their process was killed.
    pub(crate) acknowledged: u64,
    /// Kills with an exchange under way.
    pub(crate) mid_request: u64,
    /// Kills before the process had acknowledged anything: while it started or recovered.
    pub(crate) at_start: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.mid_request += other.mid_request;
        self.at_start += other.at_start;
    }
}

/// Kills the processes that write to one ledger, up to `kills` of them. `bug` is what each of them
/// is told, to open the ledger with.
///
/// # Errors
/// After which kill something that was acknowledged is missing, or the books are wrong.
pub(crate) fn kills(bug: &str, kills: u64) -> Result<Tally, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("ledger.db");
    let mut rng = Rng::new(RandomState::new().build_hasher().finish());
    let mut tally = Tally::default();
    let (mut all, mut unseen) = (Vec::new(), Vec::new());
    for round in 1..=kills {
        let acknowledged = one(bug, &path, round, &mut rng)?;
        tally.kills += 1;
        tally.acknowledged += acknowledged.len() as u64;
        tally.at_start += u64::from(acknowledged.is_empty());
        unseen.extend(acknowledged);
        if let Ok(reader) = SqliteReader::open(&path) {
            let open = reader.totals().map_err(|error| error.to_string())?.open_holds;
            tally.mid_request += u64::from(open > 0);
        }
        // One in three is left to the next process, which may be killed while it recovers.
        if rng.below(3) > 0 {
            check(&path, &unseen).map_err(|why| format!("kill {round}: {why}"))?;
            all.append(&mut unseen);
        }
    }
    all.append(&mut unseen);
    check(&path, &all).map_err(|why| format!("after {kills} kills: {why}"))?;
    Ok(tally)
}

/// One process, and what it had acknowledged when it was killed.
fn one(bug: &str, path: &Path, round: u64, rng: &mut Rng) -> Result<Vec<Promise>, String> {
    let mut child = start(bug, path, round).map_err(|error| error.to_string())?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut told = String::new();
    let at_start = rng.below(4) == 0;
    while !at_start && !told.contains("captured") {
        if lines.read_line(&mut told).map_err(|error| error.to_string())? == 0 {
            return Err(format!("kill {round}: the process ended by itself: {told}"));
        }
    }
    if !at_start && rng.below(8) == 0 {
        match SqliteLedger::open(path).map(drop) {
            Err(LedgerError::InUse { .. }) => {}
            other => return Err(format!("a second writer is told {other:?}")),
        }
    }
    std::thread::sleep(Duration::from_micros(rng.below(if at_start { 20_000 } else { 8_000 })));
    child.kill().map_err(|error| error.to_string())?;
    lines.read_to_string(&mut told).map_err(|error| error.to_string())?;
    child.wait().map_err(|error| error.to_string())?;
    Ok(whole_lines(&told).map(Promise::Captured).collect())
}

fn start(bug: &str, path: &Path, round: u64) -> std::io::Result<Child> {
    let mut process = Process::new(std::env::current_exe()?);
    process.args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"]);
    process.env(CHILD, format!("{bug} {round} {}", path.display()));
    process.stdout(Stdio::piped()).spawn()
}

/// The names in all lines but one that was cut off.
fn whole_lines(output: &str) -> impl Iterator<Item = String> {
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.split_once("captured ")).map(|(_, name)| name.to_owned())
}

/// Which bug a process has, which of the kills it is for, and where it writes.
const CHILD: &str = "BROKER_CORE_SIGKILL_CHILD";

/// The process that is killed. Does nothing in any other.
pub(crate) fn child(open: impl Fn(&str, &Path) -> Result<Box<dyn Ledger>, LedgerError>) {
    let Some(order) = std::env::var_os(CHILD) else { return };
    let order = order.into_string().unwrap();
    let (bug, order) = order.split_once(' ').unwrap();
    let (round, path) = order.split_once(' ').unwrap();
    let mut ledger = open(bug, Path::new(path)).unwrap();
    recover(ledger.as_mut(), NOW).unwrap();
    let handle = spawn_writer(ledger, Arc::new(SystemClock));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for cover in covers() {
            handle.apply(cover).await.unwrap().unwrap();
        }
        let tasks = (0..8).map(|task| {
            let (handle, name) = (handle.clone(), format!("{round}-{task}"));
            runtime.spawn(async move {
                for n in 0.. {
                    let name = format!("{name}-{n}");
                    let held = named_hold(&name);
                    handle.apply(Command::Reserve(held.clone())).await.unwrap().unwrap();
                    handle.apply(capture(&held, FEE)).await.unwrap().unwrap();
                    println!("captured {name}");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}
