//! Signs of life, one leader, and what is done for the dead.

use std::time::{Duration, Instant};

use broker_core::{
    Caretaker, Command, HoldState, Ledger, LedgerReader, PostgresLedger, PostgresReader,
    ReleaseReason,
};

use crate::books::{NOW, hold, receipt_id, user};
use crate::deal::{PLENTY, audited, cover};
use crate::pg;

pub(crate) const EVERY: Duration = Duration::from_millis(20);

pub(crate) fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        // The dead are watched for half a minute.
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Its connection.
pub(crate) const END_THE_LEADER: &str = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l \
    JOIN pg_database d ON d.oid = l.database \
    WHERE l.locktype = 'advisory' AND d.datname = current_database()";

/// The backend that has the leader's lock.
const THE_LEADER: &str = "SELECT l.pid FROM pg_locks l \
    JOIN pg_database d ON d.oid = l.database \
    WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.granted \
    AND l.classid = x'3047'::int::oid AND l.objid = x'464c0002'::int::oid";

fn leaders(caretakers: &[Caretaker]) -> usize {
    caretakers.iter().filter(|caretaker| caretaker.is_leader()).count()
}

#[test]
fn one_caretaker_leads_and_another_one_takes_over() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let ledgers: Vec<_> = (0..3).map(|_| PostgresLedger::open(&database.url()).unwrap()).collect();
    let mut caretakers: Vec<_> =
        ledgers.iter().map(|ledger| ledger.caretaker(EVERY).unwrap()).collect();
    while !caretakers.is_empty() {
        wait("nobody leads", || leaders(&caretakers) == 1);
        let place = caretakers.iter().position(Caretaker::is_leader).unwrap();
        caretakers.remove(place).stop();
    }
}

#[test]
fn a_leader_whose_connection_is_ended_leads_no_more_until_it_has_the_lock_again() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let ledgers: Vec<_> = (0..2).map(|_| PostgresLedger::open(&database.url()).unwrap()).collect();
    let caretakers: Vec<_> =
        ledgers.iter().map(|ledger| ledger.caretaker(EVERY).unwrap()).collect();
    for _ in 0..5 {
        wait("nobody leads", || leaders(&caretakers) == 1);
        let ended = database.sql(THE_LEADER);
        database.sql(END_THE_LEADER);
        // Whichever of them: the other one may itself be connecting again at that moment.
        wait("nobody takes the lock", || {
            let now = database.sql(THE_LEADER);
            !now.is_empty() && now != ended
        });
        // The one that led finds out when it looks next.
        wait("both lead", || leaders(&caretakers) == 1);
    }
}

#[test]
fn the_holds_of_the_dead_are_freed_and_those_of_the_living_are_not() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut alive = PostgresLedger::open(&database.url()).unwrap();
    let mut dead = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut alive, PLENTY);
    let held: Vec<_> = (1..=200).map(|n| Command::Reserve(hold(n, user(n % 10), 5))).collect();
    assert!(dead.apply(&held, NOW).unwrap().iter().all(Result::is_ok));
    let living = Command::Reserve(hold(201, user(1), 5));
    alive.apply(&[living], NOW).unwrap()[0].unwrap();
    // It does not leave in order: holds of its own are open.
    drop(dead);
    assert_eq!(database.sql("SELECT count(*) FROM broker_ledger.instance"), "2");
    let caretaker = alive.caretaker(EVERY).unwrap();
    wait("nobody leads", || caretaker.is_leader());
    // Who leads on another connection has not seen what was before.
    std::thread::sleep(Duration::from_secs(12));
    database.sql(END_THE_LEADER);
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(alive.open_holds().unwrap().len(), 201, "it was not watched for half a minute");
    wait("the dead keep their holds", || alive.open_holds().unwrap().len() == 1);
    wait("the dead stay", || database.sql("SELECT count(*) FROM broker_ledger.instance") == "1");
    let reader = PostgresReader::open(&database.url()).unwrap();
    let state = |n| reader.hold_state(&receipt_id(n)).unwrap().unwrap();
    assert_eq!(state(7), HoldState::Released(ReleaseReason::Crashed));
    assert_eq!(state(201), HoldState::Open);
    let free = LedgerReader::account(&reader, &user(2)).unwrap().available();
    assert_eq!(free.get(), PLENTY);
    assert_eq!(audited(&database.url()).open_holds, 1);
}

#[test]
fn who_was_taken_for_dead_comes_back() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let mut asleep = PostgresLedger::open(&database.url()).unwrap();
    let other = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut asleep, PLENTY);
    asleep.apply(&[Command::Reserve(hold(1, user(1), 5))], NOW).unwrap()[0].unwrap();
    let caretaker = other.caretaker(EVERY).unwrap();
    wait("its hold is not freed", || other.open_holds().unwrap().is_empty());
    wait("it stays", || database.sql("SELECT count(*) FROM broker_ledger.instance") == "1");
    // It knows of nothing, and reserves: it is registered again, or nobody would free the hold.
    asleep.apply(&[Command::Reserve(hold(2, user(1), 5))], NOW).unwrap()[0].unwrap();
    assert_eq!(database.sql("SELECT count(*) FROM broker_ledger.instance"), "2");
    assert_eq!(audited(&database.url()).open_holds, 1);
    drop(caretaker);
}
