//! Reloads and restarts while clients keep asking.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use broker_core::{LedgerReader, ReceiptId, SqliteReader};

use crate::support::{
    ASK, Conn, PRICES, Replica, SOON, quick, reload, settings, start, started, wait_until,
};

const CLIENTS: usize = 8;

/// Clients that ask again and again, wherever the sidecar is at the time.
struct Load {
    addr: Arc<Mutex<SocketAddr>>,
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    /// `refused` tells whether a client may go without an answer.
    fn begin(addr: SocketAddr, refused: bool) -> Self {
        let (addr, answered) = (Arc::new(Mutex::new(addr)), Arc::<AtomicUsize>::default());
        let stop = Arc::<AtomicBool>::default();
        let client = |_| {
            let (addr, answered, stop) = (addr.clone(), answered.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut receipts = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let at = *addr.lock().unwrap();
                    let answer = Conn::try_open(at);
                    let answer = answer.and_then(|mut conn| {
                        conn.try_send("POST", crate::support::CHAT, &[], ASK.as_bytes())
                    });
                    match answer {
                        Some(answer) if answer.status == 200 && answer.complete => {
                            receipts.push(answer.receipt());
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        other => {
                            assert!(refused, "lost: {other:?}");
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                }
                receipts
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { addr, answered, stop, clients }
    }

    fn wait_for_more(&self, more: usize) {
        let before = self.answered.load(Ordering::SeqCst);
        wait_until("answers", SOON, || self.answered.load(Ordering::SeqCst) >= before + more);
    }

    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// The fees of these answers, each of which has its receipt; and nothing was charged beyond them.
fn fees(folder: &Path, ids: &[String]) -> BTreeSet<u128> {
    let reader = SqliteReader::open(&folder.join("ledger.db")).unwrap();
    let mut sum = 0;
    let mut fees = BTreeSet::new();
    for id in ids {
        let receipt = reader.receipt(&ReceiptId::parse(id).unwrap()).unwrap();
        let fee = receipt.unwrap_or_else(|| panic!("{id} is lost")).fee.get();
        sum += fee;
        fees.insert(fee);
    }
    let totals = reader.totals().unwrap();
    assert_eq!((totals.open_holds, totals.held.get()), (0, 0));
    assert!(totals.earned.get() >= sum);
    fees
}

fn audit(replica: &Replica) {
    let audit = replica.run(&["ledger", "audit"]);
    assert_eq!(audit.status.code(), Some(0), "{audit:?}");
}

#[test]
fn reloads_under_load_lose_no_request_and_each_is_charged_by_one_tariff() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let priced = |price: u128| {
        let prices = format!("service: {{inputPrice: {price}, outputPrice: 0}}\n");
        settings(folder.path(), &engine, "", &prices)
    };
    let mut replica = started(folder.path(), &priced(1));
    let load = Load::begin(replica.public().unwrap(), false);
    let mut wanted = BTreeSet::from([13]);
    for price in 2..=10 {
        // Those that were in flight at the last reload, and more.
        load.wait_for_more(CLIENTS * 2);
        replica.configure(&priced(price));
        reload(&replica);
        wanted.insert(13 * price);
    }
    load.wait_for_more(CLIENTS * 2);
    let ids = load.end();
    assert!(replica.terminate().success());
    assert_eq!(fees(folder.path(), &ids), wanted);
    let reader = SqliteReader::open(&folder.path().join("ledger.db")).unwrap();
    assert_eq!(reader.totals().unwrap().receipts, ids.len() as u64, "one for each answer");
    audit(&replica);
}

#[test]
fn restarts_under_load_on_the_same_ledger_keep_the_receipt_of_every_answer() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let mut replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let load = Load::begin(replica.public().unwrap(), true);
    for _ in 0..4 {
        load.wait_for_more(20);
        assert!(replica.terminate().success(), "{}", replica.log());
        start(&mut replica);
        *load.addr.lock().unwrap() = replica.public().unwrap();
    }
    load.wait_for_more(20);
    let ids = load.end();
    assert!(replica.terminate().success());
    assert_eq!(fees(folder.path(), &ids), BTreeSet::from([13 * 100 + 30 * 200]));
    audit(&replica);
}
