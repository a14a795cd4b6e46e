//! A database that was away, and is heard of again.

use broker_core::PostgresLedger;

use crate::caretaking::{EVERY, wait};
use crate::pg;

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
