//! Rows that somebody with the database's password changes, and what an audit makes of it.

use std::time::Duration;

use broker_core::{Command, Cover, Ledger, PostgresLedger, Receipt, ReleaseReason};

use crate::books::{NOW, hold, neuron, receipt, release, user};
use crate::deal::{audited, cover};
use crate::pg;

/// Two accounts, a receipt with an engine's id (entry 14), a release and an open hold; all linked.
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
        // What is so already moves nothing.
        Command::Mirror { user: user(1), cover: Cover::UpTo(neuron(1_000)) },
    ];
    assert!(ledger.apply(&batch, NOW).unwrap().iter().all(Result::is_ok));
    let caretaker = ledger.caretaker(Duration::from_millis(10)).unwrap();
    audited(&database.url());
    drop(caretaker);
    ledger
}

const ZEROS: &str = "decode(repeat('00', 32), 'hex')";

/// What makes a copy of a row one of an entry that is not there.
const STRANGE: &str = r#"'{"entry": 999, "hold": 999,
    "receipt": "\\x00112233445566778899aabbccddeeff",
    "key": "\\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}'"#;

/// The table that is found to be wrong, and what was done to it.
const CHANGES: &[(&str, &str)] = &[
    ("entry", "UPDATE entry SET at = at + 1 WHERE number = 3"),
    ("entry", "UPDATE link SET digest = ZEROS WHERE seq = 4"),
    ("entry", "DELETE FROM link WHERE seq = 2"),
    ("entry", "DELETE FROM link WHERE seq = (SELECT max(seq) FROM link)"),
    ("entry", "UPDATE entry SET amount1 = amount1 + 1 WHERE number = 14"),
    ("entry", "UPDATE entry SET credit2 = 0 WHERE number = 14"),
    (
        "entry",
        "UPDATE entry SET debit2 = debit1, credit2 = credit1, amount2 = amount1, \
         debit1 = debit2, credit1 = credit2, amount1 = amount2 WHERE number = 14",
    ),
    ("entry", "UPDATE entry SET debit2 = NULL, credit2 = NULL, amount2 = NULL WHERE number = 14"),
    // A movement of a kind of entry that has others, or none.
    ("entry", "UPDATE entry SET debit3 = 0, credit3 = 1, amount3 = 5 WHERE number = 14"),
    ("entry", "UPDATE entry SET debit1 = 0, credit1 = 1, amount1 = 5 WHERE number = 16"),
    ("entry", "DELETE FROM receipt"),
    ("hold", "UPDATE hold SET expires = expires + 1 WHERE entry = 11"),
    ("receipt", "UPDATE receipt SET fee = fee + 1"),
    ("receipt", "UPDATE receipt SET outcome = 99"),
    ("receipt", "UPDATE receipt SET upstream_id = NULL"),
    ("receipt", "DELETE FROM upstream_alias"),
    ("released", "UPDATE released SET why = 1"),
    (
        "open_hold",
        "INSERT INTO open_hold SELECT entry, instance FROM hold, \
      (SELECT instance FROM open_hold) o WHERE entry = 11",
    ),
    ("hold", "DELETE FROM open_hold"),
    ("account", "UPDATE account SET held = held + 1 WHERE held > 0"),
    ("account", "UPDATE account SET known = false WHERE held > 0"),
    ("account", "INSERT INTO account (user_id, cover) SELECT decode(repeat('ee', 20), 'hex'), 5"),
    ("unlinked", "INSERT INTO unlinked VALUES (998, '{998}')"),
    ("entry", "INSERT INTO unlinked VALUES (3, '{3}')"),
    (
        "entry",
        "DELETE FROM link; INSERT INTO unlinked SELECT 1, \
         array_agg(number ORDER BY number) || 1::bigint FROM entry",
    ),
    // One that moved nothing is carried out twice as well as once.
    (
        "unlinked",
        "DELETE FROM link; INSERT INTO unlinked SELECT 1, \
         array_agg(number ORDER BY number) || 16::bigint FROM entry",
    ),
    // What no foreign key refuses.
    ("link", "INSERT INTO link SELECT max(seq) + 1, 999, ZEROS FROM link"),
    ("hold", "INSERT INTO hold SELECT (jsonb_populate_record(h, STRANGE)).* FROM hold h LIMIT 1"),
    ("receipt", "INSERT INTO receipt SELECT (jsonb_populate_record(r, STRANGE)).* FROM receipt r"),
    ("receipt", "UPDATE receipt SET hold = 999"),
    ("receipt", "UPDATE receipt SET hold = 12"),
    ("receipt", "UPDATE receipt SET hold = 13"),
    ("released", "UPDATE released SET hold = 13"),
    ("released", "UPDATE released SET hold = 999"),
    ("open_hold", "UPDATE open_hold SET hold = 11"),
    ("open_hold", "UPDATE open_hold SET hold = 999"),
    ("hold", "UPDATE hold SET receipt = substr(ZEROS, 17) WHERE entry = 13"),
    ("hold", "UPDATE hold SET key = ZEROS WHERE entry = 13"),
    ("entry", "UPDATE hold SET entry = 999 WHERE entry = 11"),
];

#[test]
fn every_change_behind_the_ledger_s_back_is_found() {
    let zeros = |sql: &str| sql.replace("ZEROS", ZEROS).replace("STRANGE", STRANGE);
    for (table, sql) in CHANGES {
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
        assert_eq!(fault.table, *table, "{sql}: {fault}");
    }
}

#[test]
fn what_no_check_lets_in_is_found_where_somebody_took_the_checks_away() {
    let Some(server) = pg::server() else { return };
    for sql in [
        "UPDATE entry SET amount1 = 0 WHERE number = 11",
        "UPDATE entry SET amount1 = -amount1 WHERE number = 11",
        "UPDATE entry SET debit1 = credit1 WHERE number = 11",
        "UPDATE entry SET credit2 = NULL WHERE number = 14",
        "UPDATE entry SET debit2 = NULL WHERE number = 14",
        "UPDATE entry SET amount2 = NULL WHERE number = 14",
        "UPDATE entry SET debit1 = NULL, credit1 = NULL, amount1 = NULL WHERE number = 14",
        "UPDATE entry SET debit3 = debit2, credit3 = credit2, amount3 = amount2, \
         debit2 = NULL, credit2 = NULL, amount2 = NULL WHERE number = 14",
    ] {
        let database = server.database();
        let ledger = books(&database);
        let change = format!(
            "SET session_replication_role = replica; SET search_path = broker_ledger; {sql}"
        );
        let refused = database.sql(&format!(
            "DO $$ BEGIN EXECUTE '{change}'; RAISE EXCEPTION 'it did'; \
             EXCEPTION WHEN check_violation THEN NULL; END $$; SELECT 'refused'"
        ));
        assert_eq!(refused, "refused", "{sql}");
        database.sql(&format!("{UNCHECKED}; {change}"));
        let fault = ledger.audit().unwrap().fault;
        let fault = fault.unwrap_or_else(|| panic!("{sql} is not found"));
        assert_eq!(fault.table, "entry", "{sql}: {fault}");
    }
}

/// Takes the checks of `entry` away.
const UNCHECKED: &str = "DO $$
DECLARE name text;
BEGIN
  FOR name IN SELECT conname FROM pg_constraint
    WHERE conrelid = 'broker_ledger.entry'::regclass AND contype = 'c'
  LOOP EXECUTE format('ALTER TABLE broker_ledger.entry DROP CONSTRAINT %I', name); END LOOP;
END $$";
