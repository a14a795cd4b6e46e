//! A database that is away: at the start, and while a sidecar works.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use broker_core::{LedgerReader, PostgresReader, ReceiptId};

use crate::pg;
use crate::support::{
    Conn, Replica, SOON, engine, get, program, request, said, settings, wait_until,
};

/// A road to the database that can be closed: what is on it is cut off, and nobody gets through.
struct Road {
    port: u16,
    closed: Arc<AtomicBool>,
    travellers: Arc<Mutex<Vec<TcpStream>>>,
}

impl Road {
    fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (closed, travellers) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (is_closed, on_it) = (closed.clone(), travellers.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if is_closed.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(("127.0.0.1", server)).unwrap();
                let ends = [&near, &far].map(|end| end.try_clone().unwrap());
                on_it.lock().unwrap().extend(ends);
                carry(near.try_clone().unwrap(), far.try_clone().unwrap());
                carry(far, near);
            }
        });
        Self { port, closed, travellers }
    }

    fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::SeqCst);
        for end in self.travellers.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[test]
fn a_database_that_is_not_there_is_told_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://me:HUSH-{}@{nobody}/fees", "x".repeat(4));
    let shared = settings(&url, folder.path(), &engine());
    let config = folder.path().join("config.yaml");
    let ports = "server: {listen: '127.0.0.1:0', adminListen: '127.0.0.1:0'}\n";
    std::fs::write(&config, format!("{ports}{shared}")).unwrap();
    for command in [&["serve"][..], &["ledger", "status"], &["ledger", "audit"]] {
        let mut program = Command::new(program());
        let output = program.args(command).arg("--config").arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(20), "{command:?}: {}", said(&output));
        let said = said(&output);
        assert!(said.contains(&nobody.port().to_string()), "it does not say where: {said}");
        assert!(said.contains("To mend it: check ledger.url"), "{said}");
        assert!(!said.contains("HUSH"), "{said}");
    }
}

#[test]
fn a_database_without_a_ledger_is_missing_to_who_only_reads() {
    let Some(server) = pg::server() else { return };
    let (database, folder) = (server.database(), tempfile::tempdir().unwrap());
    let shared = settings(&database.url(), folder.path(), &engine());
    let replica = Replica::new(folder.path(), 0, &shared);
    for command in ["status", "audit"] {
        let output = replica.run(&["ledger", command]);
        assert_eq!(output.status.code(), Some(20), "{}", said(&output));
    }
}

#[test]
fn a_database_that_goes_away_ends_the_sidecar_in_order_and_loses_nothing() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let road = Road::to(server.port());
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let shared = settings(&database.url_at(road.port), folder.path(), &engine);
    let mut replica = Replica::new(folder.path(), 0, &shared);
    replica.start();
    let addr = replica.wait_until_ready();
    let ask = |turn| Conn::try_ask(addr, request(turn).0.as_bytes());
    let given: Vec<_> = (0..10).map(|turn| ask(turn).unwrap()).collect();
    assert!(given.iter().all(|answer| answer.status == 200 && answer.complete));
    let ids: Vec<_> = given.iter().map(|answer| answer.receipt()).collect();
    road.close(true);
    wait_until("paid work is refused", SOON, || ask(11).is_none_or(|answer| answer.status != 200));
    let ended = replica.wait_for_end(SOON);
    assert_eq!(ended.code(), Some(1), "{}", replica.log());
    assert!(replica.log().contains("has failed, and the log says why"), "{}", replica.log());
    assert!(!replica.log().contains("panicked"), "{}", replica.log());
    let reader = PostgresReader::open(&database.url()).unwrap();
    for id in &ids {
        assert!(reader.receipt(&ReceiptId::parse(id).unwrap()).unwrap().is_some(), "{id} is lost");
    }
    road.close(false);
    replica.start();
    let addr = replica.wait_until_ready();
    assert_eq!(Conn::try_ask(addr, request(12).0.as_bytes()).unwrap().status, 200);
    let audit = replica.run(&["ledger", "audit"]);
    assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
}

#[test]
fn a_sidecar_that_the_database_does_not_reach_is_not_ready_until_it_does_again() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let road = Road::to(server.port());
    let folder = tempfile::tempdir().unwrap();
    let engine = engine();
    let shared = settings(&database.url_at(road.port), folder.path(), &engine);
    let mut replica = Replica::new(folder.path(), 0, &shared);
    replica.start();
    let addr = replica.wait_until_ready();
    let metrics = get(replica.admin().unwrap(), "/metrics", &[]).text();
    assert!(metrics.contains("tee_sidecar_ledger_silence_seconds 0."), "{metrics}");
    assert!(metrics.contains("tee_sidecar_ledger_unlinked "), "{metrics}");
    road.close(true);
    wait_until("it is not ready", SOON, || get(addr, "/readyz", &[]).status == 503);
    let told = get(addr, "/readyz", &[]).text();
    assert!(told.contains("the ledger's database gives no answer to this sidecar"), "{told}");
    road.close(false);
    wait_until("it is ready again", SOON, || get(addr, "/readyz", &[]).status == 200);
    assert_eq!(Conn::try_ask(addr, request(1).0.as_bytes()).unwrap().status, 200);
}
