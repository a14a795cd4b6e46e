//! The dashboard, the alarms and the runbook, against what a sidecar at work really tells.

mod files;
mod prometheus;
mod scrape;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tempfile::TempDir;

use super::support::{DIES, KEY, Sidecar, ask, chain, engine, seed_body, wait_until};
use files::{Alert, alerts, expressions, names_in, runbook_headings, text_of};
use scrape::Scrape;

const CHAT: &str = "/v1/chat/completions";

/// A sidecar on a chain behind which an answer, a stream and refusals of each kind lie.
fn at_work() -> (TempDir, Sidecar) {
    let folder = tempfile::tempdir().unwrap();
    let upstream = engine("old", "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), upstream, |_| {});
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(upstream)).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    assert_eq!(sidecar.chat("tiny").status, 200);
    assert_eq!(stream(sidecar.public, KEY).status, 200);
    assert_eq!(stream(sidecar.public, "wrong").status, 401);
    assert_eq!(sidecar.chat("another").status, 404);
    assert_eq!(ask(sidecar.public, "GET", "/nothing/here", &[], "").status, 404);
    assert_eq!(ask(sidecar.public, "GET", "/attestation/report", &[], "").status, 200);
    (folder, sidecar)
}

fn stream(addr: SocketAddr, key: &str) -> super::support::Response {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = r#"{"model":"tiny","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    ask(addr, "POST", CHAT, &headers, body)
}

fn scrape(sidecar: &Sidecar) -> Scrape {
    let answer = sidecar.admin("GET", "/metrics", "");
    assert_eq!(answer.status, 200);
    Scrape::read(&answer.body)
}

#[test]
fn what_a_sidecar_did_is_in_its_metrics() {
    let (_folder, sidecar) = at_work();
    wait_until("the receipts are in the log", || {
        scrape(&sidecar).value("tee_sidecar_receipt_log_waiting") == 0.0
    });
    let told = scrape(&sidecar);
    let route = format!("route=\"{CHAT}\"");
    for (sample, expected) in [
        (format!("tee_sidecar_exchanges_total{{{route},outcome=\"complete\",class=\"2xx\"}}"), 2.0),
        (format!("tee_sidecar_exchanges_total{{{route},outcome=\"refused\",class=\"4xx\"}}"), 2.0),
        (format!("tee_sidecar_http_requests_total{{{route},class=\"2xx\"}}"), 2.0),
        ("tee_sidecar_http_requests_total{route=\"other\",class=\"4xx\"}".into(), 1.0),
        ("tee_sidecar_refusals_total{reason=\"invalid_api_key\"}".into(), 1.0),
        ("tee_sidecar_refusals_total{reason=\"model_not_found\"}".into(), 1.0),
        ("tee_sidecar_tokens_total{kind=\"input\"}".into(), 20.0),
        ("tee_sidecar_tokens_total{kind=\"output\"}".into(), 10.0),
        // 20 prompt tokens at 100,000 and 10 others at 200,000.
        ("tee_sidecar_fees_neuron_total".into(), 4_000_000.0),
        ("tee_sidecar_owed_neuron".into(), 4_000_000.0),
        ("tee_sidecar_exchange_seconds_count".into(), 2.0),
        ("tee_sidecar_time_to_first_token_seconds_count".into(), 1.0),
        ("tee_sidecar_upstream_requests_total".into(), 2.0),
        ("tee_sidecar_upstream_answers_total{class=\"2xx\"}".into(), 2.0),
        ("tee_sidecar_upstream_failures_total{kind=\"connect\"}".into(), 0.0),
        ("tee_sidecar_exchanges_in_flight".into(), 0.0),
        ("tee_sidecar_exchanges_in_flight_max".into(), 16.0),
        ("tee_sidecar_holds_open".into(), 0.0),
        ("tee_sidecar_ready".into(), 1.0),
        ("tee_sidecar_ledger_up".into(), 1.0),
        ("tee_sidecar_ledger_readable".into(), 1.0),
        ("tee_sidecar_attestation_failing_seconds".into(), 0.0),
        ("tee_sidecar_settlement_obstacle{kind=\"no_gas\"}".into(), 0.0),
        ("tee_sidecar_build_info{version=\"0.1.0\",simulated=\"true\"}".into(), 1.0),
    ] {
        assert_eq!(told.value(&sample), expected, "{sample}\n{}", told.text);
    }
    assert!(told.value("tee_sidecar_added_delay_seconds_count") >= 1.0);
    assert!(told.value("tee_sidecar_ledger_commit_seconds_count") >= 4.0);
    // The two answers, and what was refused of an account that is served here.
    assert!(told.value("tee_sidecar_receipt_log_leaves") >= 2.0);
    assert!(told.value("tee_sidecar_attestation_reports_total{outcome=\"made\"}") >= 1.0);
    let info = told.text.lines().find(|line| line.starts_with("tee_sidecar_ledger_info{log=\""));
    let log = info.unwrap().split('"').nth(1).unwrap();
    assert!(log.len() == 64 && log.bytes().all(|b| b.is_ascii_hexdigit()), "{log}");
    assert!(told.value("process_resident_memory_bytes") > 1e6);
}

#[test]
fn what_went_wrong_is_in_its_metrics_too() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = engine(DIES, "tiny");
    let sidecar = Sidecar::start(folder.path(), &chain(), upstream, |settings| {
        settings.limits.requests_per_minute = Some(1);
    });
    assert_eq!(sidecar.admin("POST", "/v1/service", &seed_body(upstream)).status, 204);
    sidecar.chain.owner_acknowledges(true).unwrap();
    assert_eq!(sidecar.admin("POST", "/v1/sync-service", "").status, 202);
    assert_eq!(sidecar.chat("tiny").status, 502);
    assert_eq!(sidecar.chat("tiny").status, 429);
    let told = scrape(&sidecar);
    let labels =
        |outcome, class| format!("route=\"{CHAT}\",outcome=\"{outcome}\",class=\"{class}\"");
    for (sample, expected) in [
        (format!("exchanges_total{{{}}}", labels("upstream_error", "5xx")), 1.0),
        (format!("exchanges_total{{{}}}", labels("refused", "4xx")), 1.0),
        ("upstream_failures_total{kind=\"broken\"}".into(), 1.0),
        ("admission_refusals_total{limit=\"requests\"}".into(), 1.0),
        ("admission_refusals_total{limit=\"server\"}".into(), 0.0),
        ("refusals_total{reason=\"rate_limited\"}".into(), 1.0),
        ("unbilled_total".into(), 0.0),
        ("fees_neuron_total".into(), 0.0),
        ("time_to_first_token_seconds_count".into(), 0.0),
    ] {
        assert_eq!(told.value(&format!("tee_sidecar_{sample}")), expected, "{sample}");
    }
}

#[test]
fn labels_never_hold_what_a_client_chose() {
    let (_folder, sidecar) = at_work();
    for path in ["/v1/receipts/canary-id", "/v1/proxy/canary/chat", "/canary", "/v1/tariff/canary"]
    {
        ask(sidecar.public, "GET", path, &[("x-request-id", "canary-request")], "");
    }
    assert_eq!(sidecar.chat("canary-model").status, 404);
    let told = scrape(&sidecar);
    assert!(!told.text.contains("canary"), "{}", told.text);
    assert!(!told.text.contains("alice") && !told.text.contains("0x"), "{}", told.text);
    let labels: BTreeSet<_> = told.labels().collect();
    let known = ["class", "engine", "kind", "le", "limit", "log", "outcome", "reason", "route"];
    let known: BTreeSet<_> = known.into_iter().chain(["simulated", "version"]).collect();
    assert_eq!(labels, known);
}

#[test]
fn every_number_that_is_asked_for_is_told_and_every_one_told_is_of_use() {
    let (_folder, sidecar) = at_work();
    let told = scrape(&sidecar);
    let asked: BTreeSet<String> =
        expressions().iter().flat_map(|expression| names_in(expression)).collect();
    assert!(asked.len() > 40, "{asked:?}");
    let unknown: Vec<_> = asked.iter().filter(|name| !told.has(name)).collect();
    assert!(unknown.is_empty(), "no sidecar tells {unknown:?}");
    let documents = [text_of("tee-sidecar/RUNBOOK.md"), text_of("README.md")].concat();
    let documented: BTreeSet<String> = names_in(&documents).collect();
    let unused: Vec<_> = told
        .families()
        .filter(|family| {
            let mut samples = asked.iter().chain(&documented);
            !samples.any(|name| told.family_of(name) == Some(*family))
        })
        .collect();
    assert!(unused.is_empty(), "neither shown, nor watched, nor explained: {unused:?}");
}

#[test]
fn every_alarm_is_in_the_runbook_and_nothing_else_is() {
    let alerts = alerts();
    let names: Vec<_> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    let explained = runbook_headings();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>(),
        explained.iter().map(String::as_str).collect::<BTreeSet<_>>().iter().collect()
    );
    for Alert { name, severity, summary, runbook } in &alerts {
        assert!(["critical", "warning", "info"].contains(&severity.as_str()), "{name}");
        assert_eq!(*runbook, format!("tee-sidecar/RUNBOOK.md#{}", name.to_lowercase()));
        assert!(!summary.is_empty() && name.starts_with("TeeSidecar"), "{name}");
    }
    let tests = text_of("examples/monitoring/alerts_test.yml");
    for name in names {
        assert!(tests.contains(&format!("alertname: {name}\n")), "{name} is not tried");
    }
}
