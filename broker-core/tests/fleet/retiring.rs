//! Receipts that leave while others write: nobody waits who has none to let go, and each step lets
//! at least one go.

use std::time::{Duration, Instant};

use broker_core::{
    Address, Binding, Command, Cover, Digest32, Domain, Ledger, LedgerReader, PostgresLedger,
    PostgresReader, Retire,
};

use crate::books::{NOW, capture, hold, log_all, neuron, receipt_id, user};
use crate::pg;

/// The second user's entries, 4 to 6, have places before the first one's. The third has an escrow,
/// and so no receipt that may go.
fn crossed(database: &pg::Database<'_>) -> PostgresLedger {
    let mut ledger = PostgresLedger::open(&database.url()).unwrap();
    let domain = Domain { chain_id: 31_337, contract: Address([0xc0; 20]) };
    let binding = Binding { domain, provider: Address([0xfe; 20]) };
    let mirror = |n| Command::Mirror { user: user(n), cover: Cover::UpTo(neuron(100)) };
    let escrow = Command::Escrow { user: user(3), cover: neuron(100), nonce: 0 };
    let firsts = [vec![mirror(1)], vec![mirror(2)], vec![Command::Bind(binding), escrow]];
    for (n, mut batch) in (1..).zip(firsts) {
        let held = hold(n, user(n), 10);
        batch.extend([Command::Reserve(held.clone()), capture(&held, 4)]);
        assert!(ledger.apply(&batch, NOW).unwrap().iter().all(Result::is_ok));
    }
    database.sql(
        "INSERT INTO broker_ledger.link (seq, entry, digest) \
         SELECT CASE WHEN number > 6 THEN number ELSE 1 + (number + 2) % 6 END, number, memo \
         FROM broker_ledger.entry; DELETE FROM broker_ledger.unlinked",
    );
    assert_eq!(database.sql("SELECT entry FROM broker_ledger.link WHERE seq IN (3, 6)"), "3\n6");
    log_all(&mut ledger);
    ledger
}

fn left(reader: &PostgresReader) -> Vec<u8> {
    (1..4).filter(|n| reader.receipt(&receipt_id(*n)).unwrap().is_some()).collect()
}

#[test]
fn receipts_go_by_their_places_and_each_place_that_is_named_lets_one_go() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut ledger = crossed(&database);
    let reader = PostgresReader::open(&database.url()).unwrap();
    let mut retire = |upto| {
        let command = Command::Retire(Retire { upto, archive: Digest32([7; 32]) });
        ledger.apply(&[command], NOW).unwrap().remove(0).unwrap();
    };
    assert_eq!(reader.retirable(2, 9).unwrap(), None);
    retire(2);
    assert_eq!(left(&reader), [1, 2, 3]);
    assert_eq!(reader.retirable(3, 9).unwrap(), Some(3));
    assert_eq!(reader.retirable(6, 1).unwrap(), Some(6));
    retire(6);
    // The other one's number is behind that place's.
    assert_eq!(left(&reader), [2, 3]);
    assert_eq!(reader.retirable(6, 9).unwrap(), None);
    assert_eq!(reader.retirable(10, 9).unwrap(), Some(3));
    retire(3);
    assert_eq!(left(&reader), [3]);
    assert_eq!(reader.retirable(10, 9).unwrap(), None);
}

#[test]
fn who_has_nothing_to_let_go_is_not_waited_for() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut ledger = crossed(&database);
    let reader = PostgresReader::open(&database.url()).unwrap();
    std::thread::scope(|scope| {
        let lock = "BEGIN; SELECT FROM broker_ledger.account a JOIN broker_ledger.books b \
                    ON b.user_id = a.user_id FOR UPDATE; SELECT pg_sleep(8)";
        scope.spawn(|| database.sql(lock));
        let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' \
                      AND datname = current_database()";
        while database.sql(sleeps) == "0" {}
        let began = Instant::now();
        let command = Command::Retire(Retire { upto: 10, archive: Digest32([7; 32]) });
        ledger.apply(&[command], NOW).unwrap().remove(0).unwrap();
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
        assert_eq!(left(&reader), [3]);
        assert_eq!(database.sql(sleeps), "1");
    });
}
