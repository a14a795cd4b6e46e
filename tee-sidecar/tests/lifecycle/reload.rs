//! SIGHUP: what is taken over, what is not, and what a wrong configuration changes: nothing.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::{
    ASK, CHAT, Engine, PRICES, Replica, Response, SOON, get, notes, post, quick, reload, settings,
    started, wait_until,
};

fn keys(entries: &str) -> String {
    format!("{PRICES}auth: {{mode: apiKeys, apiKeys: [{entries}]}}\n")
}

/// Linux's.
const O_NONBLOCK: i32 = 0o4000;

const ALICE: &str = "{account: alice, key: key-of-alice-0001}";
const BOB: &str = "{account: bob, key: key-of-bob-000001, creditNeuron: 100000000}";

fn ask(replica: &Replica, key: &str) -> Response {
    let bearer = format!("Bearer {key}");
    post(replica.public().unwrap(), CHAT, &[("authorization", &bearer)], ASK)
}

fn apply(replica: &Replica, folder: &Path, engine: &Engine, more: &str) {
    replica.configure(&settings(folder, engine, "", more));
    reload(replica);
}

#[test]
fn prices_change_for_requests_to_come_and_the_tariff_with_them() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let addr = replica.public().unwrap();
    let fee = || {
        let id = post(addr, CHAT, &[], ASK).receipt();
        get(addr, &format!("/v1/signature/{id}"), &[]).json()["fee"].clone()
    };
    let tariff = || get(addr, "/v1/tariff", &[]).json()["digest"].clone();
    assert_eq!(fee(), (13 * 100 + 30 * 200).to_string());
    let before = tariff();
    apply(&replica, folder.path(), &engine, "service: {inputPrice: 1, outputPrice: 2}\n");
    assert_eq!(fee(), (13 + 30 * 2).to_string());
    let after = tariff();
    assert_ne!(after, before);
    // Receipts cite both, for ever.
    for digest in [before, after] {
        let path = format!("/v1/tariff/{}", digest.as_str().unwrap());
        assert_eq!(get(addr, &path, &[]).status, 200);
    }
    assert!(replica.log().contains("service.inputPrice, service.outputPrice"));
}

#[test]
fn keys_are_added_replaced_and_taken_away() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let first = settings(folder.path(), &engine, "", &keys(ALICE));
    let replica = started(folder.path(), &first);
    assert_eq!(ask(&replica, "key-of-alice-0001").status, 200);
    assert_eq!(ask(&replica, "key-of-bob-000001").status, 401);
    apply(&replica, folder.path(), &engine, &keys(&format!("{ALICE}, {BOB}")));
    assert_eq!(ask(&replica, "key-of-bob-000001").status, 200);
    let replaced = ALICE.replace("0001", "0002");
    apply(&replica, folder.path(), &engine, &keys(&replaced));
    assert_eq!(ask(&replica, "key-of-alice-0002").status, 200);
    for gone in ["key-of-alice-0001", "key-of-bob-000001"] {
        assert_eq!(ask(&replica, gone).status, 401, "{gone}");
    }
    assert!(!replica.log().contains("key-of-"), "{}", replica.log());
}

#[test]
fn credit_follows_the_configuration_and_forgets_nothing_that_was_spent() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let both = |alice: &str, bob: &str| {
        keys(&format!(
            "{{account: alice, key: key-of-alice-0001, creditNeuron: {alice}}}, \
             {{account: bob, key: key-of-bob-000001, creditNeuron: {bob}}}"
        ))
    };
    let (rich, poor) = ("100000000", "0");
    let first = settings(folder.path(), &engine, "", &both(rich, poor));
    let replica = started(folder.path(), &first);
    assert_eq!(ask(&replica, "key-of-alice-0001").status, 200);
    assert_eq!(ask(&replica, "key-of-bob-000001").status, 402);
    // Alice has spent more than she has then.
    apply(&replica, folder.path(), &engine, &both(poor, rich));
    assert_eq!(ask(&replica, "key-of-alice-0001").status, 402);
    assert_eq!(ask(&replica, "key-of-bob-000001").status, 200);
    apply(&replica, folder.path(), &engine, &both(rich, rich));
    assert_eq!(ask(&replica, "key-of-alice-0001").status, 200);
    assert_eq!(replica.run(&["ledger", "audit"]).status.code(), Some(0));
}

#[test]
fn limits_hold_at_once() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let addr = replica.public().unwrap();
    for _ in 0..3 {
        assert_eq!(post(addr, CHAT, &[], ASK).status, 200);
    }
    let more = format!("{PRICES}limits: {{requestsPerMinute: 2}}\n");
    apply(&replica, folder.path(), &engine, &more);
    let statuses: Vec<u16> = (0..3).map(|_| post(addr, CHAT, &[], ASK).status).collect();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn the_filter_of_the_log_holds_at_once() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let addr = replica.public().unwrap();
    let ask = || post(addr, CHAT, &[], ASK).receipt();
    let is_logged = |id: &str| replica.log().contains(id);
    let loud = ask();
    wait_until("the record of an exchange", SOON, || is_logged(&loud));
    let quiet = format!("{PRICES}log: {{filter: 'warn,tee_sidecar::startup=info'}}\n");
    apply(&replica, folder.path(), &engine, &quiet);
    let silent = ask();
    apply(&replica, folder.path(), &engine, PRICES);
    let again = ask();
    wait_until("the record of an exchange", SOON, || is_logged(&again));
    assert!(!is_logged(&silent), "{}", replica.log());
}

#[test]
fn what_needs_a_restart_is_named_and_stays() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let more = format!("{PRICES}limits: {{clientIdleSecs: 7}}\nadmin: {{token: canary-token}}\n");
    apply(&replica, folder.path(), &engine, &more);
    let log = replica.log();
    let line = log.lines().find(|line| line.contains("need a restart")).unwrap();
    assert!(line.contains("admin.token, limits.clientIdleSecs"), "{line}");
    assert!(!log.contains("canary"), "{log}");
    assert_eq!(get(replica.admin().unwrap(), "/v1/user", &[]).status, 200, "no token is asked for");
}

// The configuration is a pipe that nobody writes to, as a file on a network that is gone.
#[test]
fn a_reload_that_waits_does_not_keep_the_end_waiting() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let mut replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let addr = replica.public().unwrap();
    let config = replica.config().to_owned();
    std::fs::remove_file(&config).unwrap();
    assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
    replica.signal("HUP");
    // Only where somebody reads can it be opened without waiting.
    let mut pipe = None;
    wait_until("the configuration is being read", SOON, || {
        pipe = File::options().write(true).custom_flags(O_NONBLOCK).open(&config).ok();
        pipe.is_some()
    });
    assert_eq!(post(addr, CHAT, &[], ASK).status, 200, "requests wait for nothing");
    replica.signal("TERM");
    assert!(replica.wait_for_end(SOON).success(), "{}", replica.log());
    drop(pipe);
    assert!(replica.log().contains("stopped"), "{}", replica.log());
}

#[test]
fn a_wrong_configuration_changes_nothing_and_says_what_is_wrong() {
    let (folder, engine) = (tempfile::tempdir().unwrap(), quick());
    let replica = started(folder.path(), &settings(folder.path(), &engine, "", PRICES));
    let addr = replica.public().unwrap();
    let before = get(addr, "/v1/tariff", &[]).json()["digest"].clone();
    let free = "service: {inputPrice: 0, outputPrice: 0}\n";
    for (more, why) in [
        (format!("{free}limits: {{concurrentMax: 0}}\n"), "limits.concurrentMax"),
        (format!("{free}limit: {{}}\n"), "is no key of this program"),
        (format!("{free}log: {{filter: 'a=loud'}}\n"), "log.filter"),
    ] {
        apply(&replica, folder.path(), &engine, &more);
        assert!(replica.log().contains(why), "{why}: {}", replica.log());
        assert_eq!(get(addr, "/v1/tariff", &[]).json()["digest"], before, "{why}");
        assert!(notes(&replica).contains("not taken over"), "{why}");
        assert_eq!(get(addr, "/readyz", &[]).status, 200);
    }
}
