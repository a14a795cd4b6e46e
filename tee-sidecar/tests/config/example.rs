//! `config.example.yaml` is what the program does without a file, and it shows every key.

use std::path::{Path, PathBuf};

use tee_sidecar::config::{Auth, Settings, effective};

use super::support::{file, load, paths};

#[test]
fn the_example_loads_to_the_defaults() {
    let example = Settings::load(Some(&example_path()), []).unwrap();
    let defaults = Settings::load(None, []).unwrap();
    assert_eq!(effective(&example), effective(&defaults));
    assert_eq!(format!("{example:?}"), format!("{defaults:?}"));
}

#[test]
fn the_example_shows_every_key_that_is_printed_and_those_that_are_not() {
    let text = std::fs::read_to_string(example_path()).unwrap();
    let example: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap();
    let printed = effective(&Settings::load(None, []).unwrap());
    let printed: serde_json::Value = serde_yaml_ng::from_str(&printed).unwrap();
    let mut keys = paths(&printed);
    let unprinted = [
        "servingUrl",
        "admin.tokenFile",
        "ledger.urlFile",
        "network.privateKeysFile",
        "tracing.otlpHeadersFile",
    ];
    keys.extend(unprinted.map(str::to_owned));
    keys.sort();
    let mut shown = paths(&example);
    shown.sort();
    assert_eq!(shown, keys);
}

#[test]
fn the_commented_entry_of_a_key_is_good() {
    let text = std::fs::read_to_string(example_path()).unwrap();
    let key = file("sk-alice-0123456789abcdef\n");
    let mut yaml = String::from("auth:\n  mode: apiKeys\n  apiKeys:\n");
    let is_entry = |line: &&str| line.starts_with("  # - account") || line.starts_with("  #   ");
    let entry: Vec<&str> = text.lines().filter(is_entry).collect();
    assert_eq!(entry.len(), 4);
    // `key` and `keyFile` are alternatives.
    for line in entry.iter().filter(|line| !line.contains("key:")) {
        let line = line.replacen('#', " ", 1);
        yaml.push_str(&line.replace("/run/secrets/alice.key", key.path().to_str().unwrap()));
        yaml.push('\n');
    }
    let Auth::ApiKeys(keys) = load(&yaml).unwrap().auth else { panic!("{yaml}") };
    assert_eq!(keys[0].account, "alice");
    let with_key = entry.iter().filter(|line| !line.contains("keyFile:"));
    let with_key: Vec<String> = with_key.map(|line| line.replacen('#', " ", 1)).collect();
    let yaml = format!("auth:\n  mode: apiKeys\n  apiKeys:\n{}\n", with_key.join("\n"));
    load(&yaml).unwrap_or_else(|error| panic!("{yaml}{error}"));
}

#[test]
fn the_commented_tier_of_a_price_is_good() {
    let text = std::fs::read_to_string(example_path()).unwrap();
    let is_tier = |line: &&str| {
        line.starts_with("    # - maxInput")
            || line.starts_with("    #   input")
            || line.starts_with("    #   output")
    };
    let tier: Vec<String> =
        text.lines().filter(is_tier).map(|line| line.replacen('#', " ", 1)).collect();
    assert_eq!(tier.len(), 3);
    let yaml = format!("service:\n  tieredPricing:\n    tiers:\n{}\n", tier.join("\n"));
    let settings = load(&yaml).unwrap_or_else(|error| panic!("{yaml}{error}"));
    let schedule = settings.service.tariff.schedule.unwrap();
    assert_eq!(schedule.tiers[0].max_input_tokens, 32_768);
}

fn example_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config.example.yaml")
}
