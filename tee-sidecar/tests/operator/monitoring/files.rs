//! What lies in `examples/monitoring`, and the runbook.

use std::path::PathBuf;

use serde_json::Value;

/// An alarm of `alerts.yml`.
pub(super) struct Alert {
    pub(super) name: String,
    pub(super) severity: String,
    pub(super) summary: String,
    pub(super) runbook: String,
}

/// A path from the top of the repository.
pub(super) fn path_of(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}

pub(super) fn text_of(name: &str) -> String {
    std::fs::read_to_string(path_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rules() -> Vec<Value> {
    let text = text_of("examples/monitoring/alerts.yml");
    let file: Value = serde_yaml_ng::from_str(&text).unwrap();
    let groups = file["groups"].as_array().unwrap();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

pub(super) fn alerts() -> Vec<Alert> {
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let alert = |rule: &Value| Alert {
        name: word(&rule["alert"]),
        severity: word(&rule["labels"]["severity"]),
        summary: word(&rule["annotations"]["summary"]),
        runbook: word(&rule["annotations"]["runbook"]),
    };
    rules().iter().map(alert).collect()
}

/// The queries of the dashboard's panels, with its variables filled in.
pub(super) fn queries() -> Vec<String> {
    let text = text_of("examples/monitoring/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let query = |target: &Value| target["expr"].as_str().unwrap().to_owned();
    let queries = targets.map(query);
    queries.map(|q| q.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

/// Every expression of the dashboard and the alarms.
pub(super) fn expressions() -> Vec<String> {
    let rules = rules();
    let of_rules = rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned());
    queries().into_iter().chain(of_rules).collect()
}

/// The names of metrics in a text.
pub(super) fn names_in(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let is_name = |word: &&str| word.starts_with("tee_sidecar_") || word.starts_with("process_");
    words.filter(is_name).map(str::to_owned)
}

/// The alarms that the runbook explains.
pub(super) fn runbook_headings() -> Vec<String> {
    let text = text_of("tee-sidecar/RUNBOOK.md");
    text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect()
}
