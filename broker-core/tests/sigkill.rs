//! A process that is killed at random moments loses nothing that it acknowledged.
#![cfg(all(unix, feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use books::{NOW, capture, hold, id_of, neuron, user};
use broker_core::{
    Command, Cover, Digest32, Fingerprint, Hold, HoldState, Ledger, LedgerError, LedgerReader,
    RequestKey, SqliteLedger, SqliteReader, SystemClock, recover, spawn_writer,
};

const KILLS: u32 = 30;
const FEE: u128 = 3;
/// Where the child writes, and which of the kills it is; set only for the child.
const CHILD: &str = "BROKER_CORE_SIGKILL_CHILD";

#[test]
fn what_was_acknowledged_survives_thirty_kills_and_is_there_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut acknowledged = BTreeSet::new();
    for round in 0..KILLS {
        let mut child = start_child(&path, round);
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        while !first.contains("captured") {
            assert!(lines.read_line(&mut first).unwrap() > 0, "the child ended: {first}");
        }
        let second = SqliteLedger::open(&path).err().unwrap();
        assert!(matches!(second, LedgerError::InUse { .. }), "{second}");
        std::thread::sleep(Duration::from_micros(random() % 40_000));
        child.kill().unwrap();
        let mut rest = String::new();
        lines.read_to_string(&mut rest).unwrap();
        child.wait().unwrap();
        first.push_str(&rest);
        acknowledged.extend(whole_lines(&first));
        check(&path, &acknowledged);
    }
    println!("{KILLS} kills, {} acknowledged captures, none lost", acknowledged.len());
}

/// Not a test of its own: the process that [`start_child`] starts and its parent kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(order) = std::env::var_os(CHILD) else { return };
    let order = order.into_string().unwrap();
    let (round, path) = order.split_once(' ').unwrap();
    let mut ledger = SqliteLedger::open(Path::new(path)).unwrap();
    recover(&mut ledger, NOW).unwrap();
    let handle = spawn_writer(Box::new(ledger), Arc::new(SystemClock));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let cover = Cover::UpTo(neuron(u128::MAX));
        handle.apply(Command::Mirror { user: user(1), cover }).await.unwrap().unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (handle, name) = (handle.clone(), format!("{round}-{task}"));
                tokio::spawn(async move {
                    for n in 0.. {
                        let name = format!("{name}-{n}");
                        let held = named_hold(&name);
                        let reserve = Command::Reserve(held.clone());
                        handle.apply(reserve).await.unwrap().unwrap();
                        handle.apply(capture(&held, FEE)).await.unwrap().unwrap();
                        println!("captured {name}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn start_child(path: &Path, round: u32) -> Child {
    let mut process = Process::new(std::env::current_exe().unwrap());
    process.args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"]);
    process.env(CHILD, format!("{round} {}", path.display()));
    process.stdout(Stdio::piped()).spawn().unwrap()
}

/// The names in all lines but one that was cut off.
fn whole_lines(output: &str) -> impl Iterator<Item = String> {
    let whole = output.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().filter_map(|line| line.split_once("captured ")).map(|(_, name)| name.to_owned())
}

fn check(path: &Path, acknowledged: &BTreeSet<String>) {
    // First as an auditor finds it, with the log of the killed process beside it.
    let reader = SqliteReader::open(path).unwrap();
    let found = reader.audit().unwrap();
    assert_eq!(found.fault, None);
    let mut ledger = SqliteLedger::open(path).unwrap();
    assert_eq!(recover(&mut ledger, NOW).unwrap(), found.open_holds);
    let report = ledger.audit().unwrap();
    assert_eq!((report.open_holds, &report.fault), (0, &None));
    for name in acknowledged {
        let id = named_hold(name).receipt;
        assert_eq!(reader.hold_state(&id).unwrap(), Some(HoldState::Finished), "{name}");
        let receipt = reader.receipt(&id).unwrap();
        assert_eq!(receipt.map(|receipt| receipt.fee), Some(neuron(FEE)), "{name}");
    }
    // Each receipt was paid for once; those beyond the acknowledged ones were cut off in between.
    let account = ledger.account(&user(1)).unwrap();
    assert_eq!(account.earned, neuron(FEE).checked_mul(report.receipts).unwrap());
    assert_eq!(account.held, neuron(0));
    assert!(report.receipts >= acknowledged.len() as u64);
}

fn named_hold(name: &str) -> Hold {
    let digest = Digest32::sha256(name.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(digest.0.split_at(16).0);
    Hold {
        key: RequestKey(digest),
        fingerprint: Fingerprint(digest),
        receipt: id_of(id),
        ..hold(1, user(1), 10)
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
