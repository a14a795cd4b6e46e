//! Eight sidecars, hot prepaid accounts, SIGKILL and cut connections: nothing is lost or doubled,
//! nobody overspends, and what one sidecar signed all of them serve.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use broker_core::ledger::statement::RequestQuery;
use broker_core::{LedgerReader, Neuron, Outcome, PostgresReader, ReceiptId, UserId};

use crate::pg;
use crate::support::{
    Conn, Dice, Engine, Replica, Response, engine, request, said, sha256_hex, wait_until,
};

const REPLICAS: usize = 8;
const CLIENTS: u64 = 12;
/// Names and credit in neuron. The largest fee of a request is 2,700, its hold about 114,000: the
/// first three run dry, with several holds wanting the last of it at once.
const ACCOUNTS: [(&str, u128); 5] = [
    ("hot-a", 400_000),
    ("hot-b", 700_000),
    ("hot-c", 2_000_000),
    ("rich-a", 10_u128.pow(15)),
    ("rich-b", 10_u128.pow(15)),
];

/// What a client was given whole.
struct Acknowledged {
    id: String,
    account: usize,
    text: String,
    fee: u128,
}

/// Where the replicas are at the moment.
type Addresses = Arc<RwLock<Vec<Option<SocketAddr>>>>;

fn settings(url: &str, folder: &std::path::Path, engine: &Engine) -> String {
    let keys = ACCOUNTS.iter().map(|(account, credit)| {
        format!("  - {{account: {account}, key: {}, creditNeuron: '{credit}'}}\n", key(account))
    });
    format!(
        "upstream: {{url: 'http://{}'}}\ntee: {{provider: simulated}}\ngpu: {{provider: none}}\n\
         ledger: {{url: '{url}', stateDir: '{}'}}\n\
         service: {{inputPrice: 100, outputPrice: 200}}\n\
         auth:\n  mode: apiKeys\n  apiKeys:\n{}",
        engine.addr,
        folder.join("state").display(),
        keys.map(|line| format!("  {line}")).collect::<String>()
    )
}

fn key(account: &str) -> String {
    format!("sk-fleet-0123456789-{account}")
}

/// Asks whoever is there until told to stop.
fn client(number: u64, addresses: &Addresses, stop: &AtomicBool) -> (Vec<Acknowledged>, u64) {
    let mut dice = Dice::new(0x9e37_79b9 + number);
    let (mut given, mut short_of_money) = (Vec::new(), 0);
    let keys = ACCOUNTS.map(|(account, _)| format!("Bearer {}", key(account)));
    while !stop.load(Ordering::Relaxed) {
        let replica = dice.below(REPLICAS as u64) as usize;
        let Some(addr) = addresses.read().unwrap()[replica] else { continue };
        let account = dice.below(ACCOUNTS.len() as u64) as usize;
        let turn = dice.below(1 << 20);
        let (body, fee) = request(turn);
        let Some(mut conn) = Conn::try_open(addr) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let headers = [("authorization", keys[account].as_str())];
        let path = "/v1/chat/completions";
        let Some(answer) = conn.try_send("POST", path, &headers, body.as_bytes()) else { continue };
        short_of_money += u64::from(answer.status == 402);
        let stream = body.contains("\"stream\":true");
        if answer.status == 200 && is_whole(&answer, stream) {
            let text = format!("{}:{}", sha256_hex(body.as_bytes()), sha256_hex(&answer.body));
            given.push(Acknowledged { id: answer.receipt(), account, text, fee });
        }
    }
    (given, short_of_money)
}

fn is_whole(answer: &Response, stream: bool) -> bool {
    answer.complete && (!stream || answer.body.ends_with(b"data: [DONE]\n\n"))
}

/// The replicas, and whoever keeps them running.
struct Fleet<'a> {
    database: &'a pg::Database<'a>,
    replicas: Vec<Mutex<Replica>>,
    addresses: Addresses,
    dice: Dice,
    killed: u64,
    gave_up: u64,
}

impl Fleet<'_> {
    fn publish(&self, number: usize, addr: Option<SocketAddr>) {
        self.addresses.write().unwrap()[number] = addr;
    }

    /// One blow, and everybody who fell gets up again.
    fn round(&mut self) {
        match self.dice.below(3) {
            0 => {
                let count = 1 + self.dice.below(12);
                self.database.sql(&format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM \
                     pg_stat_activity WHERE datname = current_database() AND \
                     pid <> pg_backend_pid() ORDER BY random() LIMIT {count}) AS victims"
                ));
            }
            _ => {
                let number = self.dice.below(REPLICAS as u64) as usize;
                self.publish(number, None);
                self.replicas[number].lock().unwrap().kill();
                self.killed += 1;
            }
        }
        let pause = 50 + self.dice.below(400);
        std::thread::sleep(Duration::from_millis(pause));
        self.raise();
    }

    /// Starts whoever does not run. A sidecar that lost its database ends in order, never with a
    /// panic, and leaves the rest to whoever starts it again.
    fn raise(&mut self) {
        for number in 0..self.replicas.len() {
            let mut replica = self.replicas[number].lock().unwrap();
            match replica.ended() {
                Some(status) => {
                    assert_eq!(status.code(), Some(1), "{}", replica.log());
                    self.gave_up += 1;
                    replica.kill();
                }
                None if replica.is_running() => {
                    let addr = replica.public();
                    drop(replica);
                    self.publish(number, addr);
                    continue;
                }
                None => {}
            }
            replica.start();
            drop(replica);
            self.publish(number, None);
        }
    }
}

#[test]
fn a_fleet_under_fire_loses_doubles_and_overspends_nothing() {
    let Some(server) = pg::server() else { return };
    let rounds: u64 =
        std::env::var_os("KILLS").map_or(20, |n| n.to_str().unwrap().parse().unwrap());
    let database = server.database();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let shared = settings(&database.url(), folder.path(), &engine);
    let mut replicas: Vec<_> =
        (0..REPLICAS).map(|number| Replica::new(folder.path(), number, &shared)).collect();
    // All at once, on an empty database.
    replicas.iter_mut().for_each(Replica::start);
    let addresses = replicas.iter_mut().map(|replica| Some(replica.wait_until_ready())).collect();
    let mut fleet = Fleet {
        database: &database,
        replicas: replicas.into_iter().map(Mutex::new).collect(),
        addresses: Arc::new(RwLock::new(addresses)),
        dice: Dice::new(0x5eed),
        killed: 0,
        gave_up: 0,
    };
    let reader = PostgresReader::open(&database.url()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (addresses, stop) = (fleet.addresses.clone(), stop.clone());
            std::thread::spawn(move || client(number, &addresses, &stop))
        })
        .collect();
    for _ in 0..rounds {
        fleet.round();
        nobody_overspends(&reader);
    }
    let last_blow = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let ended: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let short_of_money: u64 = ended.iter().map(|(_, count)| count).sum();
    let given: Vec<Acknowledged> = ended.into_iter().flat_map(|(given, _)| given).collect();
    wait_until("all are up again", Duration::from_secs(60), || {
        fleet.raise();
        fleet.addresses.read().unwrap().iter().all(Option::is_some)
    });
    for replica in &fleet.replicas {
        replica.lock().unwrap().wait_until_ready();
    }
    every_answer_is_signed_everywhere(&fleet, &given);
    // What the dead held is freed when they have been silent for half a minute.
    wait_until("no hold is left open", Duration::from_secs(90), || {
        reader.totals().unwrap().open_holds == 0
    });
    wait_until("every entry has its place", Duration::from_secs(30), || {
        reader.audit().unwrap().unlinked == 0
    });
    println!(
        "{rounds} rounds, {} killed, {} gave up, {} answers, {short_of_money} refused for want of \
         money, {:?} since the last blow",
        fleet.killed,
        fleet.gave_up,
        given.len(),
        last_blow.elapsed()
    );
    the_books_are_right(&reader, &given, engine.requests());
    let audit = fleet.replicas[0].lock().unwrap().run(&["ledger", "audit"]);
    assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
    assert!(fleet.killed > 0 && !given.is_empty() && short_of_money > 0, "the storm hit nothing");
}

fn nobody_overspends(reader: &PostgresReader) {
    for (account, credit) in ACCOUNTS {
        let account = reader.account(&UserId::of_account(account)).unwrap();
        let committed = account.committed().unwrap();
        assert!(committed <= Neuron::new(credit), "{account:?} has {credit}");
    }
}

/// Every answer on every replica.
fn every_answer_is_signed_everywhere(fleet: &Fleet<'_>, given: &[Acknowledged]) {
    let addresses: Vec<_> = fleet.addresses.read().unwrap().iter().map(|a| a.unwrap()).collect();
    std::thread::scope(|scope| {
        for (number, addr) in addresses.into_iter().enumerate() {
            scope.spawn(move || {
                let mut conn = Conn::open(addr);
                for one in given {
                    let path = format!("/v1/signature/{}", one.id);
                    let answer = conn.try_send("GET", &path, &[], b"").expect("an answer");
                    assert_eq!(answer.status, 200, "{} on {number}: {}", one.id, answer.text());
                    let signed = answer.json();
                    assert_eq!(signed["text"], one.text.as_str());
                    assert_eq!(signed["fee"], one.fee.to_string());
                }
            });
        }
    });
}

/// The fees to the neuron: those that clients know of, and no more than one for each request.
fn the_books_are_right(reader: &PostgresReader, given: &[Acknowledged], requests: u64) {
    let report = reader.audit().unwrap();
    assert_eq!((report.fault, report.unlinked, report.open_holds), (None, 0, 0));
    // What was refused has receipts too, and never reached the engine.
    let all = RequestQuery { limit: report.receipts, ..RequestQuery::default() };
    let rows = reader.requests(&all).unwrap().items;
    let forwarded = rows.iter().filter(|row| row.receipt.outcome != Outcome::Refused).count();
    assert!(forwarded as u64 <= requests, "more receipts than requests");
    let mut known: HashMap<&str, &Acknowledged> = HashMap::new();
    for one in given {
        assert!(known.insert(&one.id, one).is_none(), "{} twice", one.id);
        let receipt = reader.receipt(&ReceiptId::parse(&one.id).unwrap()).unwrap();
        let receipt = receipt.unwrap_or_else(|| panic!("{} is lost", one.id));
        assert_eq!((receipt.fee.get(), receipt.text()), (one.fee, one.text.clone()));
    }
    for (number, (name, _)) in ACCOUNTS.iter().enumerate() {
        let user = UserId::of_account(name);
        let account = reader.account(&user).unwrap();
        let acknowledged: u128 =
            given.iter().filter(|one| one.account == number).map(|one| one.fee).sum();
        assert!(account.earned.get() >= acknowledged, "{name}: a fee is lost");
        assert_eq!(account.earned.get(), receipts_of(reader, user), "{name}");
        assert_eq!(account.held, Neuron::ZERO, "{name}");
    }
    nobody_overspends(reader);
}

/// The sum of the fees of all that this user asked.
fn receipts_of(reader: &PostgresReader, user: UserId) -> u128 {
    let query = RequestQuery { user: Some(user), limit: 1, ..RequestQuery::default() };
    reader.requests(&query).unwrap().fee.get()
}
