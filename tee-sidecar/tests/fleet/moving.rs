//! From one laptop to a fleet: the ledger moves, and everything that was acknowledged is there.

use std::process::{Command, Output};

use crate::pg;
use crate::support::{Conn, Replica, engine, get, program, request, said, settings, value};

fn migrate(args: &[&str]) -> Output {
    Command::new(program()).env_clear().args(["ledger", "migrate"]).args(args).output().unwrap()
}

#[test]
fn a_ledger_in_a_file_becomes_one_for_a_fleet_and_keeps_all_it_acknowledged() {
    let Some(server) = pg::server() else { return };
    let (database, folder) = (server.database(), tempfile::tempdir().unwrap());
    let engine = engine();
    let file = format!("sqlite://{}", folder.path().join("ledger.db").display());
    let mut alone = Replica::new(folder.path(), 0, &settings(&file, folder.path(), &engine));
    alone.start();
    let addr = alone.wait_until_ready();
    let ask = |addr, turn| Conn::try_ask(addr, request(turn).0.as_bytes()).unwrap();
    let ids: Vec<_> = (0..12).map(|turn| ask(addr, turn).receipt()).collect();
    let texts: Vec<_> = ids
        .iter()
        .map(|id| get(addr, &format!("/v1/signature/{id}"), &[]).json()["text"].clone())
        .collect();

    // Not while it is at work.
    let (from, to) = (["--from", &file], ["--to", &database.url()]);
    let busy = migrate(&[from, to].concat());
    assert_eq!(busy.status.code(), Some(1), "{}", said(&busy));
    assert!(said(&busy).contains("in use by another process"), "{}", said(&busy));
    alone.kill();

    let moved = migrate(&[from, to].concat());
    assert_eq!(moved.status.code(), Some(0), "{}", said(&moved));
    let before = alone.run(&["ledger", "audit"]);
    for name in ["entries", "transfers", "accounts", "receipts", "head"] {
        assert_eq!(value(&moved, name), value(&before, name));
    }
    let fees: u128 = (0..12).map(|turn| request(turn).1).sum();
    assert_eq!(value(&moved, "earned_neuron"), fees.to_string());

    // The address changes. What lies beside the ledger stays where it is only because stateDir says
    // so: without it a database's is ./data.
    let shared = settings(&database.url(), folder.path(), &engine);
    let mut replicas = [1, 2].map(|number| Replica::new(folder.path(), number, &shared));
    replicas.iter_mut().for_each(Replica::start);
    for replica in &mut replicas {
        let addr = replica.wait_until_ready();
        for (id, text) in ids.iter().zip(&texts) {
            let signed = get(addr, &format!("/v1/signature/{id}"), &[]).json();
            assert_eq!(signed["text"], *text, "{id}");
        }
        assert_eq!(ask(addr, 20).status, 200);
    }
    let audit = replicas[0].run(&["ledger", "audit"]);
    assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));

    // Never over another ledger.
    let again = migrate(&[from, to].concat());
    assert_eq!(again.status.code(), Some(30), "{}", said(&again));
}

#[test]
fn a_move_that_is_asked_for_wrongly_is_told_without_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let to = "postgres://me:HUSH@127.0.0.1:1/fees";
    let written = folder.path().join("to");
    std::fs::write(&written, format!("{to}\n")).unwrap();
    let written = written.to_str().unwrap();
    let absent = format!("sqlite://{}", folder.path().join("absent.db").display());
    for (args, code, why) in [
        (&[][..], 64, "--to"),
        (&["--to", to, "--to-file", written], 64, "cannot be used with"),
        (&["--to", "mysql://me:HUSH@db"], 64, "--to must be sqlite://PATH"),
        (&["--to", "sqlite://b"], 64, "into a database"),
        (&["--from", to, "--to", to], 64, "from a file"),
        (&["--to-file", "/nowhere"], 64, "--to-file cannot be read"),
        (&["--from", &absent, "--to", to], 20, "there is no ledger at"),
        (&["--from", &absent, "--to-file", written], 20, "there is no ledger at"),
    ] {
        let output = migrate(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{args:?}: {}", said(&output));
        assert!(!said(&output).contains("HUSH"), "{args:?}: {}", said(&output));
    }
    assert!(!folder.path().join("absent.db").exists(), "an empty ledger was made");
}
