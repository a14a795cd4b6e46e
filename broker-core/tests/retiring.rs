//! Receipts that were archived leave the ledger, and nothing that anybody depends on goes too.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[path = "shared/tamper.rs"]
mod tamper;
#[path = "shared/vouchers.rs"]
mod vouchers;

use std::path::PathBuf;

use books::{NOW, hold, log_all, neuron, receipt, receipt_id, user};
use broker_core::{
    Applied, Command, Cover, Digest32, HoldState, Ledger, LedgerReader, MemoryLedger, ProofReader,
    Receipt, RequestQuery, Retire, SqliteLedger, SqliteReader, UserId,
};
use tamper::{audit, change};
use vouchers::BINDING;

/// The model and SQLite, side by side.
struct Rig {
    model: MemoryLedger,
    sqlite: SqliteLedger,
    reader: SqliteReader,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let sqlite = SqliteLedger::open(&path).unwrap();
        let reader = SqliteReader::open(&path).unwrap();
        let mut rig = Self { model: MemoryLedger::new(), sqlite, reader, path, _folder: folder };
        rig.one(Command::Bind(BINDING));
        rig
    }

    fn one(&mut self, command: Command) -> Applied {
        let batch = [command];
        let expected = Ledger::apply(&mut self.model, &batch, NOW).unwrap();
        assert_eq!(self.sqlite.apply(&batch, NOW).unwrap(), expected);
        let [decision] = expected.try_into().unwrap();
        decision.unwrap()
    }

    fn charge(&mut self, n: u8, user: UserId, fee: u128, alias: &str) {
        let held = hold(n, user, fee + 1);
        self.one(Command::Reserve(held.clone()));
        let plain = receipt(&held, fee);
        let receipt = Box::new(Receipt { upstream_id: Some(alias.to_owned()), ..plain });
        self.one(Command::Capture { key: held.key, receipt });
    }

    fn seal(&mut self, user: UserId) {
        let seal = vouchers::seal(&self.reader, user);
        self.one(Command::Seal(Box::new(seal)));
    }

    fn settle(&mut self, user: UserId, nonce: u64, paid: u128) {
        self.one(vouchers::settle(user, nonce, paid, 500));
    }

    fn retire(&mut self, upto: u64) {
        log_all(&mut self.model);
        log_all(&mut self.sqlite);
        self.retire_logged(upto);
    }

    fn retire_logged(&mut self, upto: u64) {
        let archive = Digest32([0xa7; 32]);
        assert_eq!(self.one(Command::Retire(Retire { upto, archive })), Applied::Retired);
        self.assert_alike();
    }

    fn assert_alike(&self) {
        let report = self.sqlite.audit().unwrap();
        assert_eq!(report.fault, None);
        assert_eq!(report, Ledger::audit(&self.model).unwrap());
        assert_eq!(self.reader.statements().unwrap(), self.model.statements().unwrap());
        let query = RequestQuery { limit: 100, ..RequestQuery::default() };
        assert_eq!(self.reader.requests(&query).unwrap(), self.model.requests(&query).unwrap());
        for n in 0..20 {
            let id = receipt_id(n);
            assert_eq!(self.reader.receipt(&id).unwrap(), self.model.receipt(&id).unwrap());
            assert_eq!(self.reader.hold_state(&id).unwrap(), self.model.hold_state(&id).unwrap());
        }
        for alias in ["a", "b", "c"] {
            let owner = Some(user(1));
            let found = self.reader.receipt_by_upstream_id(alias, owner.as_ref()).unwrap();
            let expected = self.model.receipt_by_upstream_id(alias, owner.as_ref()).unwrap();
            assert_eq!(found, expected, "{alias}");
        }
    }

    fn left(&self) -> Vec<u8> {
        (0..20).filter(|n| self.reader.receipt(&receipt_id(*n)).unwrap().is_some()).collect()
    }
}

#[test]
fn only_what_is_settled_goes_and_the_voucher_after_it_still_recomputes() {
    let mut rig = Rig::new();
    rig.one(Command::Escrow { user: user(1), cover: neuron(900), nonce: 5 });
    rig.charge(1, user(1), 10, "a");
    rig.charge(2, user(1), 20, "b");
    rig.retire(100);
    assert_eq!(rig.left(), [1, 2], "no voucher covers them");
    rig.seal(user(1));
    rig.retire(100);
    assert_eq!(rig.left(), [1, 2], "their voucher is open");
    rig.charge(3, user(1), 30, "a");
    rig.settle(user(1), 6, 30);
    rig.retire(4);
    assert_eq!(rig.left(), [2, 3], "as far as was asked");
    assert_eq!(
        rig.reader.receipt_by_upstream_id("a", Some(&user(1))).unwrap().unwrap().fee.get(),
        30
    );
    rig.seal(user(1));
    rig.retire(100);
    assert_eq!(rig.left(), [3], "what the open voucher collects stays");
    rig.settle(user(1), 7, 25);
    rig.charge(4, user(1), 1, "c");
    rig.retire(100);
    assert_eq!(rig.left(), [4]);
    assert_eq!(rig.reader.hold_state(&receipt_id(1)).unwrap(), Some(HoldState::Finished));
    rig.seal(user(1));
    rig.assert_alike();
}

#[test]
fn a_receipt_with_a_proof_stays_until_it_stands_in_the_log() {
    let mut rig = Rig::new();
    rig.one(Command::Mirror { user: user(2), cover: Cover::UpTo(neuron(100)) });
    for n in 1..5 {
        rig.charge(n, user(2), 3, "a");
    }
    assert_eq!(rig.model.retirable(100, 9).unwrap(), Some(8));
    assert_eq!(rig.reader.retirable(100, 9).unwrap(), Some(8));
    rig.retire_logged(100);
    assert_eq!(rig.left(), [2, 4], "those without a proof go");
    assert_eq!(rig.model.retirable(100, 9).unwrap(), None);
    assert_eq!(rig.reader.retirable(100, 9).unwrap(), None);
    rig.charge(6, user(2), 3, "b");
    rig.retire(100);
    assert_eq!(rig.left(), [0_u8; 0]);
    // The log goes on behind what is gone.
    rig.charge(8, user(2), 3, "b");
    rig.retire(8);
    assert_eq!((rig.left(), rig.reader.log().unwrap().size), (vec![8], 4));
    rig.assert_alike();
    drop((rig.sqlite, rig.reader));
    let sql = "UPDATE log_leaf SET hash = zeroblob(32) WHERE leaf = 1";
    change(&rig.path, sql);
    let fault = audit(&rig.path).unwrap();
    assert_eq!((fault.table, fault.row.as_str()), ("log_leaf", "1"), "{fault}");
}

#[test]
fn who_has_no_escrow_pays_in_another_way_and_its_receipts_may_go() {
    let mut rig = Rig::new();
    rig.one(Command::Mirror { user: user(2), cover: Cover::UpTo(neuron(100)) });
    rig.charge(1, user(2), 10, "a");
    rig.charge(2, user(2), 5, "a");
    rig.retire(100);
    assert_eq!(rig.left(), [0_u8; 0]);
    rig.charge(3, user(2), 7, "a");
    // An escrow that comes later begins behind them.
    rig.one(Command::Escrow { user: user(2), cover: neuron(90), nonce: 0 });
    rig.charge(4, user(2), 3, "b");
    rig.retire(100);
    assert_eq!(rig.left(), [4]);
    rig.seal(user(2));
    rig.assert_alike();
}

#[test]
fn what_cost_nothing_waits_for_no_voucher() {
    let mut rig = Rig::new();
    rig.one(Command::Escrow { user: user(1), cover: neuron(900), nonce: 5 });
    rig.charge(1, user(1), 0, "a");
    rig.charge(2, user(1), 7, "b");
    rig.charge(3, user(1), 0, "c");
    rig.retire(100);
    assert_eq!(rig.left(), [2]);
    rig.seal(user(1));
    rig.retire(100);
    assert_eq!(rig.left(), [2]);
}

#[test]
fn a_receipt_that_is_gone_without_leave_is_found() {
    let mut rig = Rig::new();
    rig.one(Command::Escrow { user: user(1), cover: neuron(900), nonce: 5 });
    rig.one(Command::Mirror { user: user(2), cover: Cover::UpTo(neuron(100)) });
    rig.charge(1, user(1), 10, "a");
    rig.charge(2, user(2), 10, "b");
    rig.retire_logged(2);
    drop((rig.sqlite, rig.reader));
    let raw = rusqlite::Connection::open(&rig.path).unwrap();
    let deleted = raw.execute("DELETE FROM receipt", []).unwrap_err();
    assert!(deleted.to_string().contains("append-only"), "{deleted}");
    drop(raw);
    let copy = rig.path.with_extension("copy");
    let tampered = |sql: &str| {
        std::fs::copy(&rig.path, &copy).unwrap();
        change(&copy, sql);
        let fault = audit(&copy).unwrap();
        (fault.table, fault.what)
    };
    let go = "INSERT INTO retired SELECT entry, zeroblob(32) FROM receipt WHERE entry = 7; \
              DELETE FROM receipt WHERE entry = 7";
    assert_eq!(tampered(go).1, "its receipt is gone, and no entry let it go");
    let unsettled = "INSERT INTO retired SELECT entry, zeroblob(32) FROM receipt WHERE entry = 5; \
                     DELETE FROM receipt WHERE entry = 5; \
                     UPDATE retire SET upto = 9";
    assert_eq!(tampered(unsettled).0, "retire");
}
