//! Retention, by a sidecar as a process of its own. Its clock cannot be moved; what is old was
//! written through the library, years ago by its dates.

use std::process::Command;

use broker_core::{Command as Cmd, Ledger, LedgerReader, ReceiptId, SqliteLedger, SqliteReader};

use crate::books::{NOW, capture, hold, neuron, receipt_id, user};
use crate::full::fill;
use crate::support::{
    Conn, Replica, SOON, engine, get, program, request, said, settings_with, value, wait_until,
};

/// Receipts 1 and 2 are of users who pay in another way, 4 and 5 are settled; no voucher collects
/// 7, and 6 is a hold that a crash left.
fn old_books(ledger: &mut dyn Ledger) {
    fill(ledger);
    let held = hold(7, user(5), 9);
    let escrow = Cmd::Escrow { user: user(5), cover: neuron(50), nonce: 0 };
    let batch = [escrow, Cmd::Reserve(held.clone()), capture(&held, 9)];
    let decided = ledger.apply(&batch, NOW.plus_millis(100)).unwrap();
    assert!(decided.iter().all(Result::is_ok), "{decided:?}");
}

#[test]
fn what_is_old_and_final_leaves_for_an_archive_that_proves_it() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), engine());
    let [path, archives, tail] =
        ["ledger.db", "archives", "tail"].map(|name| folder.path().join(name));
    old_books(&mut SqliteLedger::open(&path).unwrap());
    let url = format!("sqlite://{}", path.display());
    let more = format!("retentionDays: 1, archiveDir: '{}',", archives.display());
    let shared = settings_with(&url, folder.path(), &engine, &more);
    let mut replica = Replica::new(folder.path(), 0, &shared);
    replica.start();
    let addr = replica.wait_until_ready();
    let young = Conn::try_ask(addr, request(1).0.as_bytes()).unwrap().receipt();

    let reader = SqliteReader::open(&path).unwrap();
    let is_there = |id: &ReceiptId| reader.receipt(id).unwrap().is_some();
    let left = || (0..10).filter(|n| is_there(&receipt_id(*n))).collect::<Vec<_>>();
    wait_until("what is final has left", SOON, || left() == [7]);
    assert!(is_there(&ReceiptId::parse(&young).unwrap()));
    let signature = |id: &str| get(addr, &format!("/v1/signature/{id}"), &[]).status;
    assert_eq!((signature(&young), signature(&receipt_id(4).to_string())), (200, 404));

    // An auditor has no ledger and no configuration.
    let audit = |paths: &[&std::path::Path]| {
        let mut command = Command::new(program());
        command.env_clear().args(["ledger", "audit", "--archive"]).args(paths);
        command.output().unwrap()
    };
    let archived = audit(&[&archives]);
    assert_eq!(archived.status.code(), Some(0), "{}", said(&archived));
    assert_eq!(value(&archived, "entries"), "23");
    assert_eq!(value(&archived, "receipts"), "5");
    assert!(replica.terminate().success(), "{}", replica.log());
    assert!(replica.log().contains("archived receipts have left the ledger"), "{}", replica.log());

    // With the rest of the journal they are the whole ledger.
    let to = tail.to_str().unwrap();
    let written = replica.run(&["ledger", "archive", "--to", to, "--behind", "23"]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    let (whole, ledger) = (audit(&[&archives, &tail]), replica.run(&["ledger", "audit"]));
    for output in [&whole, &ledger] {
        assert_eq!(output.status.code(), Some(0), "{}", said(output));
    }
    assert_eq!(value(&whole, "head"), value(&ledger, "head"));
    assert_eq!((value(&whole, "receipts"), value(&ledger, "receipts")), ("6".into(), "2".into()));
}
