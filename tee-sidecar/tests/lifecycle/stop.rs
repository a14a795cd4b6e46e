//! The end of a sidecar with many streams in flight.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use broker_core::{LedgerReader, ReceiptId, SqliteReader};

use crate::support::{
    ASK_STREAM, CHAT, Conn, Engine, PRICES, Replica, SOON, get, post, settings, sha256_hex, start,
    started, wait_until, waiting,
};

const STREAMS: usize = 200;

/// What one client got.
struct Got {
    id: String,
    body: Vec<u8>,
    complete: bool,
}

/// Clients whose streams have all begun.
struct Crowd {
    clients: Vec<JoinHandle<Got>>,
    ended: Arc<AtomicUsize>,
}

impl Crowd {
    fn begin(addr: SocketAddr) -> Self {
        let ended = Arc::new(AtomicUsize::new(0));
        let (begun, told) = mpsc::channel();
        let client = |_| {
            let (begun, ended) = (begun.clone(), ended.clone());
            std::thread::spawn(move || {
                let mut conn = Conn::open(addr);
                conn.send("POST", CHAT, &[], ASK_STREAM.as_bytes());
                let id = conn.head().receipt();
                let mut body = conn.chunk().unwrap().unwrap();
                begun.send(()).unwrap();
                let complete = loop {
                    match conn.chunk() {
                        Ok(Some(piece)) => body.extend(piece),
                        Ok(None) => break true,
                        Err(_) => break false,
                    }
                };
                ended.fetch_add(1, Ordering::SeqCst);
                Got { id, body, complete }
            })
        };
        let clients = (0..STREAMS).map(client).collect();
        for _ in 0..STREAMS {
            told.recv_timeout(SOON).expect("a stream did not begin");
        }
        Self { clients, ended }
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    fn join(self) -> Vec<Got> {
        self.clients.into_iter().map(|client| client.join().unwrap()).collect()
    }
}

/// Fails unless the ledger has for each stream what its client got, and nothing else.
fn check(folder: &Path, got: &[Got], complete: usize) {
    assert_eq!(got.iter().filter(|one| one.complete).count(), complete);
    let reader = SqliteReader::open(&folder.join("ledger.db")).unwrap();
    for one in got {
        let receipt = reader.receipt(&ReceiptId::parse(&one.id).unwrap()).unwrap();
        let receipt = receipt.unwrap_or_else(|| panic!("{} is lost", one.id));
        let outcome = if one.complete { "complete" } else { "shutdown" };
        assert_eq!(receipt.outcome.as_str(), outcome);
        assert_eq!(receipt.response_hash.to_string(), sha256_hex(&one.body));
        // 13 tokens of prompt and the one that was handed over.
        assert_eq!(receipt.fee.get(), 13 * 100 + 200);
        assert_eq!(one.body.ends_with(b"data: [DONE]\n\n"), one.complete);
    }
    let totals = reader.totals().unwrap();
    assert_eq!((totals.open_holds, totals.held.get()), (0, 0));
    assert_eq!(totals.earned.get(), STREAMS as u128 * 1_500);
}

/// The ledger is sound, before and after the next start, which serves every receipt.
fn check_after_restart(replica: &mut Replica, got: &[Got]) {
    let audit = |replica: &Replica| {
        let audit = replica.run(&["ledger", "audit"]);
        assert_eq!(audit.status.code(), Some(0), "{audit:?}");
    };
    audit(replica);
    start(replica);
    audit(replica);
    for one in got {
        let signed = get(replica.public().unwrap(), &format!("/v1/signature/{}", one.id), &[]);
        let text = signed.json()["text"].as_str().unwrap().to_owned();
        assert!(text.ends_with(&sha256_hex(&one.body)), "{text}");
    }
}

fn sidecar(folder: &Path, engine: &Engine, drain_secs: u64) -> Replica {
    let server = format!(", drainSecs: {drain_secs}");
    started(folder, &settings(folder, engine, &server, PRICES))
}

// O1, with many: those that end are complete, a second SIGTERM closes the others.
#[test]
fn of_200_streams_those_that_end_are_whole_and_a_second_sigterm_closes_the_others() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let mut replica = sidecar(folder.path(), &engine, 3_600);
    let addr = replica.public().unwrap();
    let crowd = Crowd::begin(addr);
    replica.signal("TERM");
    wait_until("stopping", SOON, || {
        let ready = get(addr, "/readyz", &[]);
        ready.status == 503 && ready.text().contains("stopping")
    });
    assert_eq!(get(addr, "/healthz", &[]).status, 200, "it lives until it ends");
    let late = post(addr, CHAT, &[], ASK_STREAM);
    assert_eq!((late.status, late.header("retry-after")), (503, Some("5")));
    for _ in 0..STREAMS / 2 {
        engine.open_gate();
    }
    wait_until("half of them whole", SOON, || crowd.ended() == STREAMS / 2);
    assert!(replica.ended().is_none(), "it did not wait for the others");
    replica.signal("TERM");
    assert!(replica.wait_for_end(SOON).success(), "{}", replica.log());
    let got = crowd.join();
    check(folder.path(), &got, STREAMS / 2);
    check_after_restart(&mut replica, &got);
}

#[test]
fn at_the_deadline_200_streams_end_as_shutdown_with_receipts() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let mut replica = sidecar(folder.path(), &engine, 1);
    let crowd = Crowd::begin(replica.public().unwrap());
    assert!(replica.terminate().success(), "{}", replica.log());
    let got = crowd.join();
    check(folder.path(), &got, 0);
    check_after_restart(&mut replica, &got);
}

// It has a place, and a place that is taken is waited for: here for an hour.
#[test]
fn an_upload_that_stalls_does_not_keep_the_end_waiting() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let mut replica = sidecar(folder.path(), &engine, 3_600);
    let mut conn = Conn::open(replica.public().unwrap());
    conn.send("POST", CHAT, &[("content-length", "1000")], b"{");
    let admin = replica.admin().unwrap();
    wait_until("it has a place", SOON, || {
        get(admin, "/metrics", &[]).text().contains("\ntee_sidecar_exchanges_in_flight 1.0\n")
    });
    replica.signal("TERM");
    assert_eq!(conn.head().status, 503);
    assert!(replica.wait_for_end(SOON).success(), "{}", replica.log());
}

// A database that says nothing holds the start up, with a thread that waits for it.
#[test]
fn a_signal_during_the_start_ends_it_in_order() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = settings(folder.path(), &engine, "", PRICES);
    let file = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let database = format!("postgres://a@{}/a", silent.local_addr().unwrap());
    let folder_of_state = format!(", stateDir: '{}'", folder.path().display());
    let held_up = text.replace(&format!("'{file}'"), &format!("'{database}'{folder_of_state}"));
    let mut replica = Replica::new(folder.path(), 0, "");
    replica.configure(&held_up);
    replica.start();
    let _asked = silent.accept().unwrap();
    assert!(replica.ended().is_none(), "{}", replica.log());
    replica.signal("TERM");
    let ended = replica.wait_for_end(SOON);
    assert_eq!(ended.code(), Some(0), "{ended:?} {}", replica.log());
    replica.configure(&text);
    start(&mut replica);
}

#[test]
fn a_signal_before_it_listens_to_any_ends_it_as_the_system_does() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), waiting());
    let mut replica = Replica::new(folder.path(), 0, "");
    replica.configure(&settings(folder.path(), &engine, "", PRICES));
    replica.start();
    replica.signal("TERM");
    // On a busy machine it may listen already.
    let ended = replica.wait_for_end(SOON);
    let is_expected = ended.signal() == Some(SIGTERM) || ended.code() == Some(0);
    assert!(is_expected, "{ended:?} {}", replica.log());
    start(&mut replica);
}

const SIGTERM: i32 = 15;
