//! Rows that somebody with the database's password changes, and what an audit makes of it.

use std::time::Duration;

use broker_core::{Command, Ledger, PostgresLedger, Receipt, ReleaseReason};

use crate::books::{NOW, hold, receipt, release, user};
use crate::deal::{audited, cover};
use crate::pg;

/// Two accounts, a receipt with an engine's id, a release and an open hold; all linked.
fn books(database: &pg::Database<'_>) -> PostgresLedger {
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut ledger, 1_000);
    let held = hold(1, user(1), 10);
    let plain = receipt(&held, 4);
    let answer = Box::new(Receipt { upstream_id: Some("engine".to_owned()), ..plain });
    let batch = [
        Command::Reserve(held),
        Command::Reserve(hold(2, user(2), 10)),
        Command::Reserve(hold(3, user(2), 10)),
        Command::Capture { key: hold(1, user(1), 10).key, receipt: answer },
        release(2, ReleaseReason::NotForwarded),
    ];
    assert!(ledger.apply(&batch, NOW).unwrap().iter().all(Result::is_ok));
    let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
    audited(&database.url());
    drop(caretaker);
    ledger
}

const ZEROS: &str = "decode(repeat('00', 32), 'hex')";

/// What makes a copy of a row one of an entry that is not there.
const STRANGE: &str = r#"'{"entry": 999, "id": "\\x00112233445566778899aabbccddeeff",
    "receipt": "\\x00112233445566778899aabbccddeeff",
    "key": "\\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}'"#;

#[test]
fn every_change_behind_the_ledger_s_back_is_found() {
    let zeros = |sql: &str| sql.replace("ZEROS", ZEROS).replace("STRANGE", STRANGE);
    for (table, sql) in [
        ("entry", "UPDATE entry SET at = at + 1 WHERE number = 3"),
        ("entry", "UPDATE link SET digest = ZEROS WHERE seq = 4"),
        ("entry", "DELETE FROM link WHERE seq = 2"),
        ("entry", "DELETE FROM link WHERE seq = (SELECT max(seq) FROM link)"),
        ("entry", "UPDATE transfer SET amount = amount + 1 WHERE n = 1 AND entry = 14"),
        ("entry", "DELETE FROM receipt"),
        ("transfer", "INSERT INTO transfer VALUES (999, 1, 0, 1, 5)"),
        ("transfer", "UPDATE transfer SET n = 3 WHERE n = 2 AND entry = 14"),
        ("hold", "UPDATE hold SET expires = expires + 1 WHERE entry = 11"),
        ("receipt", "UPDATE receipt SET fee = fee + 1"),
        ("receipt", "UPDATE receipt SET outcome = 99"),
        ("receipt", "UPDATE receipt SET upstream_id = NULL"),
        ("receipt", "DELETE FROM upstream_alias"),
        ("released", "UPDATE released SET why = 1"),
        (
            "open_hold",
            "INSERT INTO open_hold SELECT key, instance FROM hold, \
          (SELECT instance FROM open_hold) o WHERE entry = 11",
        ),
        ("hold", "DELETE FROM open_hold"),
        ("account", "UPDATE account SET held = held + 1 WHERE held > 0"),
        ("account", "UPDATE account SET known = false WHERE held > 0"),
        (
            "account",
            "INSERT INTO account (user_id, cover) SELECT decode(repeat('ee', 20), 'hex'), 5",
        ),
        ("unlinked", "INSERT INTO unlinked VALUES (998, '{998}')"),
        ("entry", "INSERT INTO unlinked VALUES (3, '{3}')"),
        (
            "unlinked",
            "DELETE FROM link; DELETE FROM transfer WHERE false; \
             INSERT INTO unlinked SELECT 1, array_agg(number ORDER BY number) || 1::bigint \
             FROM entry",
        ),
        // What no foreign key refuses.
        ("link", "INSERT INTO link SELECT max(seq) + 1, 999, ZEROS FROM link"),
        (
            "hold",
            "INSERT INTO hold SELECT (jsonb_populate_record(h, STRANGE)).* FROM hold h LIMIT 1",
        ),
        (
            "receipt",
            "INSERT INTO receipt SELECT (jsonb_populate_record(r, STRANGE)).* FROM receipt r",
        ),
        ("receipt", "UPDATE receipt SET key = ZEROS"),
        ("entry", "UPDATE hold SET entry = 999 WHERE entry = 11"),
    ] {
        let Some(database) = pg::lent() else { return };
        let ledger = books(&database);
        let before = database.sql("SELECT count(*) FROM broker_ledger.receipt");
        assert_eq!(before, "1");
        database.sql(&format!(
            "SET session_replication_role = replica; SET search_path = broker_ledger; {}",
            zeros(sql)
        ));
        let fault = ledger.audit().unwrap().fault;
        let fault = fault.unwrap_or_else(|| panic!("{sql} is not found"));
        assert_eq!(fault.table, table, "{sql}: {fault}");
    }
}
