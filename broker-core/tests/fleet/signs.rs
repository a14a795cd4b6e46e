//! A database that was away, and is heard of again.

use std::time::Duration;

use broker_core::{Applied, Command, Ledger, PostgresLedger};

use crate::books::{NOW, capture, hold, neuron, user};
use crate::caretaking::{END_THE_LEADER, EVERY, wait};
use crate::deal::{PLENTY, cover};
use crate::pg;

#[test]
fn after_an_outage_whoever_comes_first_leaves_the_holds_of_the_others_alone() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let first = PostgresLedger::open(&database.url()).unwrap();
    let mut second = PostgresLedger::open(&database.url()).unwrap();
    cover(&mut second, PLENTY);
    let held = hold(1, user(1), 5);
    second.apply(&[Command::Reserve(held.clone())], NOW).unwrap()[0].unwrap();
    // Nobody could give a sign of life for a minute.
    database.sql("UPDATE broker_ledger.instance SET seen_at = now() - interval '1 min'");
    let leader = first.caretaker(EVERY).unwrap();
    for _ in 0..2 {
        wait("nobody leads", || leader.is_leader());
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(first.open_holds().unwrap().len(), 1, "the hold of a living one is freed");
        database.sql(END_THE_LEADER);
    }
    let _caretaker = second.caretaker(EVERY).unwrap();
    let captured = second.apply(&[capture(&held, 4)], NOW).unwrap();
    assert_eq!(captured, [Ok(Applied::Captured { fee: neuron(4) })]);
}

#[test]
fn a_caretaker_says_how_long_the_database_has_been_silent() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let ledgers: Vec<_> = (0..2).map(|_| PostgresLedger::open(&database.url()).unwrap()).collect();
    let caretakers: Vec<_> =
        ledgers.iter().map(|ledger| ledger.caretaker(EVERY).unwrap()).collect();
    let short = Duration::from_millis(500);
    wait("nobody leads", || caretakers.iter().any(|one| one.is_leader()));
    std::thread::sleep(short);
    // Of the leader and of the other one.
    for one in &caretakers {
        wait("it hears nothing", || one.silence() < short);
    }
    let table = "BEGIN; LOCK TABLE broker_ledger.instance; SELECT pg_sleep(4); COMMIT";
    std::thread::scope(|scope| {
        let locked = scope.spawn(|| database.sql(table));
        wait("it hears of what is locked", || {
            caretakers.iter().all(|one| one.silence() > Duration::from_secs(2))
        });
        locked.join().unwrap();
    });
    for one in &caretakers {
        wait("it hears nothing any more", || one.silence() < short);
    }
}

#[test]
fn a_server_misses_a_client_that_vanished_within_half_a_minute() {
    let Some(server) = pg::server() else { return };
    let database = server.database();
    let ledger = PostgresLedger::open(&database.url()).unwrap();
    // A witness within the session itself.
    let settings = ["keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout"]
        .map(|name| format!("current_setting('tcp_{name}')"))
        .join(" || ' ' || ");
    database.sql(&format!(
        "CREATE TABLE witness (told text); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO public.witness VALUES ({settings}); RETURN NEW; END $$; \
         CREATE TRIGGER note BEFORE UPDATE ON broker_ledger.instance \
         FOR EACH ROW EXECUTE FUNCTION note()"
    ));
    let _caretaker = ledger.caretaker(EVERY).unwrap();
    wait("no sign of life", || database.sql("SELECT count(*) FROM witness") != "0");
    assert_eq!(database.sql("SELECT DISTINCT told FROM witness"), "10 5 3 25000");
}
