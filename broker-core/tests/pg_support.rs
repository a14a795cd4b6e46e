//! The support that other tests stand on: a server of one's own, gone when its process is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "shared/pg.rs"]
mod pg;

#[test]
fn each_test_has_an_empty_database_on_a_durable_server() {
    let Some(server) = pg::server() else { return };
    let (first, second) = (server.database(), server.database());
    assert_ne!(first.name(), second.name());
    first.sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)");
    assert_eq!(first.sql("SELECT n FROM t"), "7");
    assert_eq!(second.sql("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
    let name = first.name().to_owned();
    drop(first);
    let left = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(server.sql("postgres", &left), "0");
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert_eq!(server.sql("postgres", &format!("SHOW {setting}")), "on");
    }
}

#[test]
fn another_server_has_settings_of_its_own_and_ends_with_its_value() {
    let Some(server) = pg::another_server(&["-c", "fsync=off"]) else { return };
    assert_eq!(server.sql("postgres", "SHOW fsync"), "off");
    let port = server.port();
    drop(server);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
