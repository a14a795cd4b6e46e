//! The pages that a host works through: each command of the program's in them is one that it takes,
//! each setting one that exists. What the commands do is shown elsewhere (`tests/zerog`).

use std::ffi::OsString;
use std::fs;

use tee_sidecar::cli::{Cli, Exit};
use tee_sidecar::config::Settings;

use super::support::top;

const PAGES: [&str; 4] =
    ["README.md", "examples/deploy/README.md", "tee-sidecar/PROVIDER.md", "tee-sidecar/RUNBOOK.md"];

const COMMANDS: [&str; 4] = ["serve", "check-config", "verify", "ledger"];

#[test]
fn every_command_of_the_pages_is_one_that_the_program_takes() {
    let mut found = 0;
    for page in PAGES {
        let text = fs::read_to_string(top().join(page)).unwrap();
        let mut is_block = false;
        for line in text.lines() {
            is_block ^= line.starts_with("```");
            for command in commands(line).filter(|command| is_block || command.contains(" --")) {
                let parsed = Cli::parse_from_args(command.split_whitespace().map(OsString::from));
                assert!(!matches!(parsed, Err(Exit::Usage)), "{page}: {command}");
                found += 1;
            }
        }
    }
    assert!(found > 25, "{found} commands");
}

/// The program's commands in a line, without comments and what may be left out.
fn commands(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("tee-sidecar ").filter_map(|(at, name)| {
        let command = &line[at..];
        let is_one = COMMANDS.iter().any(|word| command[name.len()..].starts_with(word));
        let ends = ["`", " #", " [", " &&"].iter().filter_map(|mark| command.find(mark)).min();
        is_one.then(|| command[..ends.unwrap_or(command.len())].trim())
    })
}

#[test]
fn the_test_network_of_the_provider_s_page_is_a_configuration_that_loads() {
    let text = fs::read_to_string(top().join("tee-sidecar/PROVIDER.md")).unwrap();
    let (_, yaml) = text.split_once("```yaml\n").unwrap();
    let (yaml, _) = yaml.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    fs::write(&file, yaml).unwrap();
    let given = [
        ("SIDECAR__NETWORK__PRIVATEKEYS", "5a".repeat(32)),
        ("SIDECAR__SERVINGURL", "https://gpu.example.com".to_owned()),
    ];
    let given = given.map(|(name, value)| (name.into(), value.into()));
    let settings = Settings::load(Some(&file), given).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(settings.network.unwrap().chain_id, 16602);
}
