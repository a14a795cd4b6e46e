//! What this crate may know of the world, and its pure part of its shells.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names that no source of this crate mentions.
const FOREIGN: [&str; 4] = ["actix", "tdx_quote", "dcap_qvl", "std::env"];

/// Names that only the chain's client mentions, which is built only with the feature `evm`.
const EVM_ONLY: [&str; 2] = ["reqwest", "alloy_"];

/// Packages that come with the feature `evm` alone.
const EVM_PACKAGES: [&str; 4] = ["alloy-primitives", "alloy-rlp", "alloy-sol-types", "reqwest"];

/// Packages that this crate does not reach, not even through others.
const FOREIGN_PACKAGES: [&str; 6] =
    ["actix-web", "dcap-qvl", "nvml-wrapper", "tdx-quote", "tee-evidence", "tee-sidecar"];

/// Every lock file of the workspace, from its top.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "tee-sidecar/fuzz/Cargo.lock"];

/// Where packages come from: a mirror's address in a lock file would bind everybody to it.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Modules that decide and never do.
const PURE: [&str; 10] = [
    "money", "digest", "account", "command", "rules", "receipt", "tariff", "signer", "log",
    "verify",
];

/// What the pure modules do not touch.
const SHELLS: [&str; 7] =
    ["crate::ledger", "crate::writer", "rusqlite", "tokio", "std::fs", "std::thread", "SystemTime"];

/// The embedding API: it uses everything below it, through its promises only.
const TOP: [&str; 2] = ["broker", "error"];

/// What the embedding API leaves to those below it: which ledger and which chain it works on is its
/// user's choice, and it does nothing that nobody asked for.
const NOT_AT_THE_TOP: [&str; 9] = [
    "rusqlite",
    "postgres",
    "ledger::sqlite",
    "ledger::memory",
    "chain::evm",
    "std::fs",
    "std::net",
    "SystemTime",
    "tokio::time",
];

/// Where threads may begin: the writer's, the opening of a ledger away from a runtime's tasks, the
/// readings of a settlement that does not go through a broker, and for PostgreSQL the caretaker's,
/// which is asked for, and the end of a connection.
const STARTS_THREADS: [&str; 5] = [
    "broker/blocking.rs",
    "ledger/postgres/caretaker.rs",
    "ledger/postgres/session.rs",
    "settlement.rs",
    "writer.rs",
];

#[test]
fn the_crate_links_no_tee_no_http_server_and_reads_no_environment() {
    let sources = sources(&source_folder());
    assert!(sources.len() > 10, "the sources were not found");
    for path in sources {
        for (number, line) in code_lines(&path) {
            if let Some(name) = FOREIGN.iter().find(|name| line.contains(**name)) {
                panic!(
                    "{}:{number} mentions {name}.\nbroker-core is the part that others embed: it \
                     links no TEE, no HTTP server and reads no environment. Move this to \
                     tee-sidecar and hand the result in, as a value or through a trait of \
                     broker-core.",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn only_the_chain_s_client_knows_http_and_the_contracts_interface() {
    let client = source_folder().join("chain/evm");
    let inside = |path: &Path| path.starts_with(&client) || path == client.with_extension("rs");
    let (inside, outside): (Vec<_>, Vec<_>) =
        sources(&source_folder()).into_iter().partition(|path| inside(path));
    for name in EVM_ONLY {
        let mentions = |path: &PathBuf| {
            let lines = code_lines(path);
            let line = lines.iter().find(|(_, line)| line.contains(name))?;
            Some(format!("{}:{}", path.display(), line.0))
        };
        assert!(inside.iter().any(|path| mentions(path).is_some()), "{name} is nowhere");
        if let Some(place) = outside.iter().find_map(mentions) {
            panic!(
                "{place} mentions {name}.\nWhoever embeds broker-core without a chain builds no \
                 HTTP client: keep it in `chain::evm`, behind the trait `Chain`."
            );
        }
    }
}

#[test]
fn what_the_chain_s_client_needs_is_built_only_for_it() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let section = |name: &str| {
        let start = text.split_once(&format!("[{name}]\n")).unwrap().1;
        start.split("\n[").next().unwrap().to_owned()
    };
    let (features, dependencies) = (section("features"), section("dependencies"));
    assert!(features.contains("default = [\"sqlite\"]"), "the default features changed");
    let (_, evm) = features.split_once("evm = [").unwrap();
    let (evm, others) = evm.split_once(']').unwrap();
    for package in EVM_PACKAGES {
        let line = dependencies.lines().find(|line| {
            line.strip_prefix(package).is_some_and(|rest| rest.starts_with([' ', '.']))
        });
        assert!(line.unwrap().contains("optional = true"), "{package} is always built");
        let named = format!("\"dep:{package}\"");
        assert!(evm.contains(&named), "{package} does not come with the feature evm");
        assert!(!others.contains(&named), "{package} comes with another feature too");
    }
}

#[test]
fn no_dependency_of_the_crate_leads_to_a_tee_or_to_an_http_server() {
    let lock = lock_file("Cargo.lock");
    for package in FOREIGN_PACKAGES {
        assert!(dependencies(&lock).contains_key(package), "{package} is not in the workspace");
        if let Some(way) = way(&lock, "broker-core", package) {
            panic!(
                "{}.\nbroker-core is the part that others embed, and would bring {package} along, \
                 its licence and its build too. Take that dependency in tee-sidecar, and hand the \
                 result in as a value or through a trait of broker-core.",
                way.join(" depends on ")
            );
        }
    }
}

#[test]
fn the_way_through_a_lock_file_is_found_where_there_is_one() {
    let lock = lock_file("Cargo.lock");
    assert!(way(&lock, "broker-core", "libsqlite3-sys").unwrap().len() > 2);
    assert!(way(&lock, "tee-sidecar", "reqwest").is_some());
    assert_eq!(way(&lock, "broker-core", "no-such-package"), None);

    let made_up = "[[package]]\nname = \"a\"\ndependencies = [\n \"b 1.0.0\",\n]\n\n\
                   [[package]]\nname = \"b\"\nversion = \"1.0.0\"\ndependencies = [\n \"c\",\n \
                   \"a\",\n]\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n\n\
                   [[package]]\nname = \"c\"\n";
    assert_eq!(way(made_up, "a", "c").unwrap(), ["a", "b", "c"]);
    assert_eq!(way(made_up, "c", "a"), None);
}

#[test]
fn packages_come_from_the_public_registry_only() {
    for name in LOCK_FILES {
        let lock = lock_file(name);
        let sources = lock.lines().filter_map(|line| line.strip_prefix("source = "));
        let sources: Vec<_> = sources.map(|source| source.trim_matches('"')).collect();
        assert!(sources.len() > 50, "{name} was not read");
        for source in sources {
            assert_eq!(
                source, SOURCE,
                "{name} takes a package from elsewhere.\nWho builds this may not reach that place, \
                 and nobody reviews what is there: take a release from crates.io, and leave a \
                 mirror to each machine's own cargo configuration."
            );
        }
    }
}

#[test]
fn the_rules_know_no_database_no_thread_and_no_clock() {
    for module in PURE {
        let folder = source_folder().join(module);
        let parts = if folder.is_dir() { sources(&folder) } else { Vec::new() };
        for path in std::iter::once(folder.with_extension("rs")).chain(parts) {
            for (number, line) in code_lines(&path) {
                if let Some(name) = SHELLS.iter().find(|name| line.contains(**name)) {
                    panic!(
                        "{}:{number} mentions {name}.\n`{module}` is pure, so that the rules can \
                         be tested by the million and every ledger decides alike. Take what it \
                         needs as an argument; keep files, threads and clocks in `ledger` and \
                         `writer`.",
                        path.display()
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_below_the_embedding_api_knows_it() {
    let root = source_folder();
    let at_the_top = |path: &Path| {
        let first = path.strip_prefix(&root).unwrap().components().next().unwrap();
        let first = Path::new(first.as_os_str()).with_extension("");
        TOP.iter().any(|name| Path::new(name) == first)
    };
    let (top, below): (Vec<_>, Vec<_>) =
        sources(&root).into_iter().partition(|path| at_the_top(path));
    assert!(top.len() > 5, "the embedding API was not found");
    let mentions = |files: &[PathBuf], names: &[String]| {
        files.iter().find_map(|path| {
            let lines = code_lines(path);
            let (number, line) =
                lines.iter().find(|(_, line)| names.iter().any(|name| line.contains(name)))?;
            Some(format!("{}:{number}: {}", path.display(), line.trim()))
        })
    };
    // `lib.rs` names its modules, and what is on the paved path.
    let below: Vec<_> = below.into_iter().filter(|path| !path.ends_with("src/lib.rs")).collect();
    let upwards = TOP.map(|name| format!("crate::{name}"));
    if let Some(place) = mentions(&below, &upwards) {
        panic!(
            "{place}\nThe broker is the top of this crate: whatever it is made of can be used \
             without it. Move what both need down, and hand it in."
        );
    }
    let downwards = NOT_AT_THE_TOP.map(str::to_owned);
    if let Some(place) = mentions(&top, &downwards) {
        panic!(
            "{place}\nThe broker works on any ledger and any chain: go through `Ledger`, `Chain` \
             and `Clock`."
        );
    }
}

#[test]
fn threads_begin_in_few_places_only() {
    let root = source_folder();
    let begins = |line: &str| {
        ["thread::spawn", "thread::scope", "thread::Builder"].iter().any(|way| line.contains(way))
    };
    let mut found = BTreeSet::new();
    for path in sources(&root) {
        if code_lines(&path).iter().any(|(_, line)| begins(line)) {
            found.insert(path.strip_prefix(&root).unwrap().display().to_string());
        }
    }
    assert_eq!(
        found,
        STARTS_THREADS.map(str::to_owned).into(),
        "whoever embeds broker-core through the broker gets one thread, the writer's"
    );
}

fn lock_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What each package of a lock file depends on, development included. Versions of one package are
/// taken together: that errs towards finding a way.
fn dependencies(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let mut lines = package.lines();
        let name = lines.find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"');
        let listed = lines.skip_while(|line| *line != "dependencies = [").skip(1);
        let listed = listed.take_while(|line| *line != "]");
        // A version, and a source, may stand behind the name.
        let names = listed.map(|line| line.trim().trim_matches(['"', ',']));
        let names = names.map(|entry| entry.split(' ').next().unwrap());
        found.entry(name).or_default().extend(names);
    }
    found
}

/// The packages from `start` to `end`, both included, if one leads to the other.
fn way<'a>(lock: &'a str, start: &'a str, end: &str) -> Option<Vec<&'a str>> {
    let dependencies = dependencies(lock);
    let mut known = BTreeSet::from([start]);
    let mut ways = vec![vec![start]];
    while let Some(way) = ways.pop() {
        let last = *way.last()?;
        if last == end {
            return Some(way);
        }
        for next in dependencies.get(last).into_iter().flatten() {
            if known.insert(next) {
                ways.push(way.iter().copied().chain([*next]).collect());
            }
        }
    }
    None
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file's lines that are no comments, with their numbers.
fn code_lines(path: &Path) -> Vec<(usize, String)> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = (1..).zip(text.lines().map(str::to_owned));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
