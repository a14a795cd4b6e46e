//! `provider-broker.tar.gz`: 0G's own commands run on it as they stand.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::support::{EPOCH, package, packages, printed, program, shown};

/// Everything in it but the manual's pages.
const CONTENTS: [&str; 25] = [
    ".dockerignore",
    "CHANGELOG.md",
    "Dockerfile",
    "PROVIDER.md",
    "README.md",
    "RUNBOOK.md",
    "completions/_tee-sidecar",
    "completions/tee-sidecar.bash",
    "completions/tee-sidecar.fish",
    "config.example.yaml",
    "docker-compose.yml",
    "licenses/AGPL-3.0.txt",
    "licenses/LICENSE",
    "licenses/LICENSE-APACHE",
    "licenses/LICENSE-MIT",
    "licenses/THIRD-PARTY-NOTICES.txt",
    "man/tee-sidecar.1",
    "monitoring/alerts.yml",
    "monitoring/alerts_test.yml",
    "monitoring/grafana-dashboard.json",
    "monitoring/prometheus.yml",
    "sbom.cdx.json",
    "tdx.conf",
    "tee-sidecar",
    "tee-sidecar.service",
];

#[test]
fn the_seeds_walk_needs_the_public_address_and_the_wallet_s_key_and_nothing_else() {
    let Some(folder) = unpacked() else { return };
    let broker = folder.path().join("provider-broker");
    let example = fs::read_to_string(broker.join("config.example.yaml")).unwrap();
    let key = "0x".to_owned() + &"5a".repeat(32);
    let edited = example
        .replacen("\nservingUrl: null\n", "\nservingUrl: https://gpu.example.com\n", 1)
        .replacen("\n  privateKeys: []\n", &format!("\n  privateKeys: [\"{key}\"]\n"), 1);
    assert_eq!(edited.lines().zip(example.lines()).filter(|(a, b)| a != b).count(), 2);
    fs::write(broker.join("config.local.yaml"), edited).unwrap();

    let mut check = Command::new(broker.join("tee-sidecar"));
    check.env_clear().current_dir(&broker);
    let printed = printed(check.args(["check-config", "--config", "config.local.yaml"]));
    for line in [
        "mode: sessionTokens",
        "chainID: 16661",
        "url: https://evmrpc.0g.ai",
        "servingUrl: https://gpu.example.com",
        "adminListen: 127.0.0.1:3080",
    ] {
        assert!(printed.contains(line), "{line}\n{printed}");
    }
    assert!(!printed.contains("5a5a"), "{printed}");
    // Before the edit it says what is missing, and does not start without a chain instead.
    let mut early = Command::new(broker.join("tee-sidecar"));
    let early = early.env_clear().args(["check-config", "--config"]);
    let early = early.arg(broker.join("config.example.yaml")).output().unwrap();
    assert_eq!(early.status.code(), Some(64), "{}", shown(&early));
    assert!(shown(&early).contains("network.privateKeys"), "{}", shown(&early));
}

#[test]
fn the_example_in_it_differs_from_the_repository_s_by_0g_s_network_alone() {
    let Some(folder) = unpacked() else { return };
    let packed = folder.path().join("provider-broker/config.example.yaml");
    let packed = fs::read_to_string(packed).unwrap();
    let own = fs::read_to_string(super::support::top().join("config.example.yaml")).unwrap();
    let changed: Vec<_> =
        packed.lines().zip(own.lines()).filter(|(a, b)| a != b).map(|(a, _)| a.trim()).collect();
    let wanted = [
        "url: https://evmrpc.0g.ai",
        "chainID: 16661",
        "contractAddress: \"0x47340d900bdFec2BD393c626E12ea0656F938d84\"",
        "mode: sessionTokens",
    ];
    assert_eq!(changed, wanted);
    assert_eq!(packed.lines().count(), own.lines().count());
}

#[test]
fn it_holds_what_it_promises_and_the_program_runs() {
    let Some(folder) = unpacked() else { return };
    let broker = folder.path().join("provider-broker");
    let mut found = Vec::new();
    files(&broker, &broker, &mut found);
    found.retain(|name| !name.starts_with("man/tee-sidecar-"));
    found.sort();
    assert_eq!(found, CONTENTS);
    assert!(broker.join("state").is_dir() && broker.join("man/tee-sidecar-verify.1").is_file());
    let version = printed(Command::new(broker.join("tee-sidecar")).arg("--version"));
    assert_eq!(version, format!("tee-sidecar {}\n", env!("CARGO_PKG_VERSION")));
    let notices = fs::read_to_string(broker.join("licenses/THIRD-PARTY-NOTICES.txt")).unwrap();
    assert!(notices.contains("tdx-quote 0.0.5: AGPL-3.0-or-later"), "{notices:.2000}");
    let mut refused = Command::new(broker.join("tee-sidecar"));
    let refused = refused.env("SIDECAR__TEE__PROVIDER", "simulated").arg("check-config");
    assert_eq!(refused.output().unwrap().status.code(), Some(64));
}

#[test]
fn links_in_its_pages_lead_to_files_of_it() {
    let Some(folder) = unpacked() else { return };
    let broker = folder.path().join("provider-broker");
    let mut led = 0;
    for page in ["CHANGELOG.md", "PROVIDER.md", "README.md", "RUNBOOK.md"] {
        let text = fs::read_to_string(broker.join(page)).unwrap();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap();
            assert!(file.is_empty() || broker.join(file).is_file(), "{page}: {link}");
            led += 1;
        }
    }
    assert!(led > 0, "no page has a link");
}

#[test]
fn entries_have_one_owner_one_time_and_no_rights_of_this_machine() {
    let Some(packages) = packages() else { return };
    let mut list = Command::new("tar");
    list.env("TZ", "UTC").args(["--numeric-owner", "--full-time", "-tvzf"]);
    let list = printed(list.arg(packages.join("provider-broker.tar.gz")));
    let mut names = Vec::new();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let rights = words.next().unwrap();
        let ["0/0", _, "2026-01-01", "00:00:00", name] = words.collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let is_program = name == "provider-broker/tee-sidecar";
        let wanted = match rights.chars().next() {
            Some('d') => "drwxr-xr-x",
            _ if is_program => "-rwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert_eq!(rights, wanted, "{line}");
        names.push(name.to_owned());
    }
    assert!(names.is_sorted() && names.len() > CONTENTS.len(), "{names:?}");
}

#[test]
fn made_again_elsewhere_every_package_is_the_same_to_the_byte() {
    let Some(packages) = packages() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (out, other) = (folder.path().join("again"), folder.path().join("another place"));
    fs::create_dir(&other).unwrap();
    let env = [("TMPDIR", other.to_str().unwrap()), ("TZ", "Asia/Tokyo"), ("LANG", "de_DE.UTF-8")];
    let run = package(program(), &out, &env);
    assert!(run.status.success(), "{}", shown(&run));
    assert!(EPOCH.parse::<u64>().is_ok());
    let mut names: Vec<_> =
        fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let (first, second) = (fs::read(packages.join(&name)), fs::read(out.join(&name)));
        assert!(first.unwrap() == second.unwrap(), "{} differs", name.display());
    }
    let mut sums = Command::new("sha256sum");
    printed(sums.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&out));
}

/// As a host unpacks it, with the command of 0G's page.
pub(crate) fn unpacked() -> Option<TempDir> {
    let packages = packages()?;
    let folder = tempfile::tempdir().unwrap();
    let archive = packages.join("provider-broker.tar.gz");
    printed(Command::new("tar").arg("-zxvf").arg(archive).current_dir(folder.path()));
    Some(folder)
}

fn files(top: &Path, folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(top, &path, found);
        } else {
            found.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
        }
    }
}
