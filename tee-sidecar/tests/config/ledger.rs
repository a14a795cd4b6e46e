//! `ledger.*`: a file or a database, a password that nobody sees, and what lies beside.

use std::path::Path;

use tee_sidecar::config::{LedgerUrl, effective};

use super::support::{file, load, load_with, program_with, stderr, stdout};

fn shown(url: &str) -> String {
    load(&format!("ledger: {{url: '{url}'}}")).unwrap().ledger.to_string()
}

#[test]
fn a_database_is_taken_as_it_is_written_and_shown_without_its_password() {
    for (url, is_shown) in [
        ("postgres://me:HUSH@db:5432/fees", "postgres://me:<secret>@db:5432/fees"),
        ("postgresql://me@db/fees", "postgresql://me@db/fees"),
        ("postgres://db/fees", "postgres://db/fees"),
        ("postgres://:HUSH@db/fees", "postgres://:<secret>@db/fees"),
        ("postgres:///fees?host=/run/pg&user=me", "postgres:///fees?host=/run/pg&user=me"),
        (
            "postgres://db/fees?sslmode=require&password=HUSH&options=HUSH",
            "postgres://db/fees?sslmode=require&password=<secret>&options=<secret>",
        ),
        (
            "postgres://me:HUSH/HUSH@h1:5432,h2:5433/fees",
            "postgres://me:<secret>@h1:5432,h2:5433/fees",
        ),
    ] {
        assert_eq!(shown(url), is_shown);
        let LedgerUrl::Postgres(kept) = LedgerUrl::parse(url).unwrap() else { panic!("{url}") };
        assert_eq!(kept.expose(), url);
        let settings = load(&format!("ledger: {{url: '{url}'}}")).unwrap();
        assert!(!format!("{settings:?}{}", effective(&settings)).contains("HUSH"));
    }
}

#[test]
fn check_config_prints_no_password_and_what_it_prints_loads_once_it_is_put_back() {
    let yaml = "ledger: {url: 'postgres://me:HUSH@db/fees'}";
    let output = program_with(&["check-config"], yaml);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let printed = stdout(&output);
    assert!(printed.contains("postgres://me:<secret>@db/fees"), "{printed}");
    assert!(!printed.contains("HUSH"), "{printed}");
    let error = load(&printed).unwrap_err();
    assert_eq!(error.problems()[0].key, "ledger.url");
    let restored = load(&printed.replace("me:<secret>", "me:HUSH")).unwrap();
    assert_eq!(effective(&restored), printed);
}

#[test]
fn the_address_may_be_in_a_file_or_in_the_environment() {
    let secret = file("postgres://me:HUSH@db/fees\n");
    let path = secret.path().to_str().unwrap();
    let in_file = load(&format!("ledger: {{urlFile: '{path}'}}")).unwrap();
    let named = load_with("", &[("SIDECAR__LEDGER__URLFILE", path)]).unwrap();
    let told = load_with("", &[("SIDECAR__LEDGER__URL", "postgres://me:HUSH@db/fees")]).unwrap();
    for settings in [in_file, named, told] {
        assert_eq!(settings.ledger.to_string(), "postgres://me:<secret>@db/fees");
    }
    let wrong = file("mysql://me:HUSH@db\n");
    let error = load(&format!("ledger: {{urlFile: '{}'}}", wrong.path().display())).unwrap_err();
    assert_eq!(error.problems()[0].key, "ledger.urlFile");
    assert!(!error.to_string().contains("HUSH"), "{error}");
}

#[test]
fn what_lies_beside_the_ledger_lies_in_its_folder_or_where_it_is_told() {
    let dir = |yaml: &str| load(yaml).unwrap().state_dir();
    for (yaml, expected) in [
        ("ledger: {url: 'sqlite:///var/lib/fees/ledger.db'}", "/var/lib/fees"),
        ("ledger: {url: 'sqlite://ledger.db'}", "."),
        ("ledger: {url: 'sqlite://./a/b.db', stateDir: /state}", "/state"),
        ("ledger: {url: 'postgres://db/fees'}", "./data"),
        ("ledger: {url: 'postgres://db/fees', stateDir: /state}", "/state"),
    ] {
        assert_eq!(dir(yaml), Path::new(expected), "{yaml}");
        let printed = effective(&load(yaml).unwrap());
        assert_eq!(dir(&printed), Path::new(expected), "{printed}");
    }
}

#[test]
fn check_config_takes_no_address_that_serve_would_refuse() {
    for url in [
        "postgres://me:HUSH@db/fees?sslmode=verify-ca",
        "postgres://me:HU@SH@db/fees",
        "postgres://me:HUSH@db:port/fees",
        "postgres://me:HUSH@db/fees?sslmod=require",
        "postgres:///fees",
        "postgres://me:HU SH@db/fees",
    ] {
        let output = program_with(&["check-config"], &format!("ledger: {{url: '{url}'}}"));
        assert_eq!(output.status.code(), Some(64), "{url}: {}", stderr(&output));
        assert!(stderr(&output).contains("ledger.url"), "{url}: {}", stderr(&output));
        assert!(!(stderr(&output) + &stdout(&output)).contains("HU"), "{}", stderr(&output));
    }
}
