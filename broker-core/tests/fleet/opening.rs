//! What a database has to be before anything is written to it.

use broker_core::{Ledger, LedgerError, LedgerReader, PostgresLedger, PostgresReader};

use crate::pg;

fn refusal(url: &str) -> LedgerError {
    PostgresLedger::open(url).err().unwrap()
}

#[test]
fn eight_that_open_an_empty_database_at_once_make_one_ledger() {
    let Some(server) = pg::server() else { return };
    for _ in 0..3 {
        let database = server.database();
        let ledgers: Vec<_> = std::thread::scope(|scope| {
            let open = || PostgresLedger::open(&database.url());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert_eq!(database.sql("SELECT version FROM broker_ledger.migration"), "3");
        assert_eq!(database.sql("SELECT count(*) FROM broker_ledger.instance"), "8");
        assert_eq!(ledgers[0].audit().unwrap().fault, None);
        drop(ledgers);
        assert_eq!(database.sql("SELECT count(*) FROM broker_ledger.instance"), "0");
    }
}

#[test]
fn a_server_that_does_not_flush_is_refused() {
    for (option, setting) in [("fsync=off", "fsync"), ("full_page_writes=off", "full_page_writes")]
    {
        let Some(server) = pg::another_server(&["-c", option]) else { return };
        let database = server.database();
        match refusal(&database.url()) {
            LedgerError::UnsafeSetting { setting: named, found, required } => {
                assert_eq!((named, found.as_str(), required), (setting, "off", "on"));
            }
            other => panic!("{other}"),
        }
        assert_eq!(database.sql("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'broker'"), "0");
    }
}

#[test]
fn a_role_whose_commits_are_not_durable_or_that_only_reads_is_refused() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let role = format!("{}_role", database.name());
    database.sql(&format!("CREATE ROLE {role} LOGIN SUPERUSER"));
    let url = database.url().replace("broker@", &format!("{role}@"));
    for (setting, value, required) in [
        ("synchronous_commit", "off", "on or remote_apply"),
        ("synchronous_commit", "local", "on or remote_apply"),
        ("synchronous_commit", "remote_write", "on or remote_apply"),
        ("default_transaction_read_only", "on", "off: the ledger writes"),
    ] {
        database.sql(&format!("ALTER ROLE {role} SET {setting} = {value}"));
        match refusal(&url) {
            LedgerError::UnsafeSetting { found, required: needed, .. } => {
                assert_eq!((found.as_str(), needed), (value, required), "{setting}");
            }
            other => panic!("{setting} = {value}: {other}"),
        }
        database.sql(&format!("ALTER ROLE {role} RESET {setting}"));
    }
    database.sql(&format!("ALTER ROLE {role} SET synchronous_commit = remote_apply"));
    drop(PostgresLedger::open(&url).unwrap());
}

#[test]
fn what_is_no_ledger_of_this_version_is_left_alone() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let missing = PostgresReader::open(&database.url()).err().unwrap();
    assert!(matches!(missing, LedgerError::Missing { .. }), "{missing}");
    database.sql("CREATE SCHEMA broker_ledger; CREATE TABLE broker_ledger.theirs (n int)");
    for error in [refusal(&database.url()), PostgresReader::open(&database.url()).err().unwrap()] {
        assert!(matches!(error, LedgerError::Foreign { .. }), "{error}");
    }
    database.sql("DROP SCHEMA broker_ledger CASCADE");
    drop(PostgresLedger::open(&database.url()).unwrap());
    // A later one, and those that no release wrote.
    let not_released = "no release wrote it. Take an empty database";
    for (version, words) in [(4, "its version is 4"), (2, not_released), (1, not_released)] {
        database.sql(&format!("UPDATE broker_ledger.migration SET version = {version}"));
        let read = PostgresReader::open(&database.url()).err().unwrap();
        for error in [refusal(&database.url()), read] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}

#[test]
fn no_error_says_a_user_or_a_password() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let (port, full) = (server.port(), format!("{}_full", database.name()));
    database.sql(&format!("CREATE ROLE {full} LOGIN CONNECTION LIMIT 0"));
    for (user, place, state) in [
        ("broker", format!("127.0.0.1:{port}/no_such_database"), "3D000"),
        ("no_such_role", format!("127.0.0.1:{port}/postgres"), "28000"),
        (full.as_str(), format!("127.0.0.1:{port}/postgres"), "53300"),
        ("nobody", "127.0.0.1:1/ledger".to_owned(), ""),
    ] {
        let url = format!("postgres://{user}:secret@{place}");
        for error in [refusal(&url), PostgresReader::open(&url).err().unwrap()] {
            assert!(matches!(error, LedgerError::Unreachable(_)), "{error:?}");
            let error = error.to_string();
            assert!(!error.contains("secret") && !error.contains(user), "{error}");
            assert!(error.contains(&place) && error.contains(state), "{error}");
        }
    }
    database.sql(&format!("DROP ROLE {full}"));
}

#[test]
fn an_address_is_checked_without_a_server() {
    let check = PostgresLedger::check_address;
    for url in ["postgres://u:p@h1:5432,h2:5432/l", "postgresql://u@h:1/l?sslmode=verify-full"] {
        check(url).unwrap();
    }
    for url in [
        "postgres://u:secret@h/l?sslmode=verify-ca",
        "postgres://u:sec@secret@h/l",
        "postgres://u:secret@h:secret/l",
        "postgres://",
        "ledger.db",
    ] {
        let error = check(url).unwrap_err();
        assert!(matches!(error, LedgerError::Foreign { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn a_reader_whose_connections_are_all_waiting_says_so_after_a_while() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let reader = PostgresLedger::open(&database.url()).unwrap().reader().unwrap();
    let lock = "BEGIN; LOCK TABLE broker_ledger.account; SELECT pg_sleep(16)";
    let is_locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                     AND granted AND relation = 'broker_ledger.account'::regclass";
    std::thread::scope(|scope| {
        scope.spawn(|| database.sql(lock));
        while database.sql(is_locked) == "0" {}
        let ask = || scope.spawn(|| reader.totals());
        let waiting: Vec<_> = (0..5).map(|_| ask()).collect();
        let told = waiting.into_iter().map(|thread| thread.join().unwrap());
        let (read, refused): (Vec<_>, Vec<_>) = told.partition(Result::is_ok);
        assert_eq!(read.len(), 4);
        assert!(matches!(refused[..], [Err(LedgerError::Busy)]), "{refused:?}");
    });
    assert_eq!(reader.totals().unwrap().accounts, 0);
}

#[test]
fn a_role_that_may_only_change_rows_uses_a_ledger_that_is_there() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    drop(PostgresLedger::open(&database.url()).unwrap());
    let role = format!("{}_small", database.name());
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA broker_ledger TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA broker_ledger TO {role}; \
         GRANT USAGE ON SEQUENCE broker_ledger.entry_number TO {role}"
    ));
    let url = database.url().replace("broker@", &format!("{role}@"));
    let mut ledger = PostgresLedger::open(&url).unwrap();
    crate::deal::cover(&mut ledger, 9);
    assert_eq!(ledger.audit().unwrap().entries, u64::from(crate::deal::USERS));
}

#[test]
fn what_was_recorded_is_never_changed() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    crate::deal::cover(&mut ledger, 9);
    for sql in [
        "UPDATE broker_ledger.entry SET at = 0",
        "UPDATE broker_ledger.entry SET amount1 = 1",
        "DELETE FROM broker_ledger.entry",
        "UPDATE broker_ledger.hold SET receipt = receipt",
        "DELETE FROM broker_ledger.hold",
        "TRUNCATE broker_ledger.hold CASCADE",
        "UPDATE broker_ledger.receipt SET hold = 1",
        "TRUNCATE broker_ledger.receipt",
        "DELETE FROM broker_ledger.released",
        "TRUNCATE broker_ledger.entry CASCADE",
    ] {
        let quoted = sql.replace('\'', "''");
        let told = database.sql(&format!(
            "DO $$ BEGIN EXECUTE '{quoted}'; RAISE EXCEPTION 'it did'; \
             EXCEPTION WHEN raise_exception THEN \
             IF SQLERRM <> 'append-only' THEN RAISE; END IF; END $$; SELECT 'refused'"
        ));
        assert_eq!(told, "refused", "{sql}");
    }
    let reader = PostgresReader::open(&database.url()).unwrap();
    assert_eq!(reader.totals().unwrap().accounts, u64::from(crate::deal::USERS));
}
