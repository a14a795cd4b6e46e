//! Other writers that are in the way each time: nothing is written, and nothing ends.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{
    Applied, Command, Ledger, LedgerError, PostgresLedger, ReleaseReason, SystemClock, spawn_writer,
};

use crate::books::{NOW, hold, release, user};
use crate::deal::{PLENTY, cover};
use crate::pg;

/// Every entry finds another writer in its way.
const BLOCK: &str = "CREATE FUNCTION broker_ledger.block() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN RAISE 'in the way' USING ERRCODE = '40001'; END $$; \
    CREATE TRIGGER block BEFORE INSERT ON broker_ledger.entry \
    EXECUTE FUNCTION broker_ledger.block()";
const CLEAR: &str = "DROP TRIGGER block ON broker_ledger.entry";

#[test]
fn conflicts_without_end_are_busy_and_not_the_end_of_the_ledger() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut ledger, PLENTY);
    database.sql(BLOCK);
    let reserve = [Command::Reserve(hold(1, user(1), 5))];
    for _ in 0..2 {
        let error = ledger.apply(&reserve, NOW).unwrap_err();
        assert!(matches!(error, LedgerError::Busy), "{error}");
    }
    assert!(ledger.open_holds().unwrap().is_empty());
    database.sql(CLEAR);
    assert_eq!(ledger.apply(&reserve, NOW).unwrap(), [Ok(Applied::Held { account_seq: 1 })]);
    assert_eq!(ledger.audit().unwrap().fault, None);
}

#[test]
fn a_writer_refuses_beginnings_and_brings_ends_through() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut ledger, PLENTY);
    ledger.apply(&[Command::Reserve(hold(1, user(1), 5))], NOW).unwrap()[0].unwrap();
    let handle = spawn_writer(Box::new(ledger), Arc::new(SystemClock));
    database.sql(BLOCK);
    let refused = handle.apply_blocking(Command::Reserve(hold(2, user(1), 5)));
    assert!(matches!(refused, Err(LedgerError::Busy)), "{refused:?}");
    let end = std::thread::scope(|scope| {
        let end =
            scope.spawn(|| handle.apply_blocking(release(1, ReleaseReason::NotForwarded)).unwrap());
        std::thread::sleep(Duration::from_secs(1));
        assert!(!end.is_finished() && handle.is_healthy());
        database.sql(CLEAR);
        end.join().unwrap()
    });
    assert_eq!(end, Ok(Applied::Released));
    let begun = handle.apply_blocking(Command::Reserve(hold(2, user(1), 5)));
    assert_eq!(begun.unwrap(), Ok(Applied::Held { account_seq: 2 }));
    handle.stop();
}
