//! Writers in processes of their own, which are killed at random moments.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use broker_core::testing::Rng;
use broker_core::{Command, Ledger, LedgerReader, PostgresLedger, PostgresReader};

use crate::books::{NOW, capture, user};
use crate::deal::{FEE, PLENTY, USERS, audited, cover, earned, named, times};
use crate::pg;

const PROCESSES: usize = 4;
const KILLS: u64 = 16;
const CHILD: &str = "BROKER_CORE_FLEET_CHILD";

#[test]
fn what_any_process_acknowledged_is_there_once_whoever_is_killed() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let url = database.url();
    cover(&mut PostgresLedger::open(&url).unwrap(), PLENTY);
    let mut rng = Rng::new(7);
    let mut children: Vec<_> = (0..PROCESSES).map(|n| start(&url, n as u64)).collect();
    let mut told = String::new();
    for kill in 0..KILLS * times() {
        let mut victim = children.remove(rng.below(children.len() as u64) as usize);
        told += &heard(&mut victim, rng.below(200));
        children.push(start(&url, kill + PROCESSES as u64));
    }
    for mut child in children {
        told += &heard(&mut child, 0);
    }
    let acknowledged: BTreeSet<&str> = told
        .lines()
        .filter_map(|line| line.split_once("captured "))
        .map(|(_, name)| name)
        .collect();
    println!("{} acknowledged captures", acknowledged.len());
    assert!(acknowledged.len() as u64 > KILLS);
    let reader = PostgresReader::open(&url).unwrap();
    for name in &acknowledged {
        let receipt = reader.receipt(&named(name, user(0)).receipt).unwrap();
        assert_eq!(receipt.unwrap_or_else(|| panic!("{name} is lost")).fee.get(), FEE);
    }
    let (fees, receipts) =
        earned(&url).values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(fees, u128::from(receipts) * FEE);
    // Whoever comes next frees what the dead held.
    let last = PostgresLedger::open(&url).unwrap();
    let _caretaker = last.caretaker(Duration::from_millis(20)).unwrap();
    let began = Instant::now();
    while audited(&url).open_holds > 0 {
        assert!(began.elapsed() < Duration::from_secs(90), "the dead keep their holds");
    }
    for n in 0..USERS {
        assert!(last.account(&user(n)).unwrap().held.is_zero());
    }
}

fn start(url: &str, n: u64) -> Child {
    let mut process = Process::new(std::env::current_exe().unwrap());
    process.args(["--exact", "killed::child_that_writes_until_it_is_killed", "--nocapture"]);
    process.env(CHILD, format!("{n} {url}")).stdout(Stdio::piped());
    process.spawn().unwrap()
}

/// Lets a process do something, kills it, and gives what it said in whole lines.
fn heard(child: &mut Child, millis: u64) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    while !told.contains("captured") {
        assert_ne!(lines.read_line(&mut told).unwrap(), 0, "it ended by itself: {told}");
    }
    std::thread::sleep(Duration::from_millis(millis));
    child.kill().unwrap();
    lines.read_to_string(&mut told).unwrap();
    child.wait().unwrap();
    told.rsplit_once('\n').map_or(String::new(), |(whole, _)| format!("{whole}\n"))
}

/// Not a test of its own: the process that the other one starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(order) = std::env::var_os(CHILD) else { return };
    let order = order.into_string().unwrap();
    let (process, url) = order.split_once(' ').unwrap();
    let mut ledger = PostgresLedger::open(url).unwrap();
    let _caretaker = ledger.caretaker(Duration::from_millis(200)).unwrap();
    let mut rng = Rng::new(process.parse().unwrap());
    for n in 0.. {
        let names: Vec<_> =
            (0..1 + rng.below(6)).map(|part| format!("{process}-{n}-{part}")).collect();
        let holds: Vec<_> = names
            .iter()
            .map(|name| named(name, user(u8::try_from(rng.below(u64::from(USERS))).unwrap())))
            .collect();
        let reserves: Vec<_> = holds.iter().cloned().map(Command::Reserve).collect();
        let held = ledger.apply(&reserves, NOW).unwrap();
        let captures: Vec<_> = holds.iter().map(|hold| capture(hold, FEE)).collect();
        let captured = ledger.apply(&captures, NOW).unwrap();
        for ((name, held), captured) in names.iter().zip(held).zip(captured) {
            if held.is_ok() {
                captured.unwrap();
                println!("captured {name}");
            }
        }
    }
}
