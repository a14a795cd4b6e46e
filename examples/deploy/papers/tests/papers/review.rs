//! What SECURITY.md and deny.toml promise, held to the manifests, the lock file and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::support::{metadata, spdx, top, tree};

/// The packages whose dependencies hosts and integrators get.
const REVIEWED: [(&str, &str); 3] =
    [("broker-core", "B"), ("tee-evidence", "E"), ("tee-sidecar", "S")];

/// Packages that may be under the AGPL, and depend on one that is.
const AGPL: [&str; 5] = ["tdx-quote", "tee-evidence", "tee-sidecar", "fake-nvml", "exchange-parts"];

/// Where `unsafe` may stand: tests' stand-ins for C libraries.
const UNSAFE: [&str; 4] = [
    "broker-core/tests/shared/disk/connection.rs",
    "broker-core/tests/shared/disk/vfs.rs",
    "tee-sidecar/fake-nvml/src/abi.rs",
    "tee-sidecar/fake-nvml/src/lib.rs",
];

#[test]
fn every_direct_dependency_is_reviewed() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let named = |name: &str| packages.iter().find(|one| one["name"] == name).unwrap();
    let mut wanted: BTreeMap<String, (String, String)> = BTreeMap::new();
    for (name, letter) in REVIEWED {
        for dependency in named(name)["dependencies"].as_array().unwrap() {
            // A path is the workspace's own; a kind is that of tests or builds.
            if dependency["path"].is_string() || dependency["kind"].is_string() {
                continue;
            }
            let dependency = dependency["name"].as_str().unwrap();
            let (letters, licence) = wanted.entry(dependency.to_owned()).or_default();
            if !letters.contains(letter) {
                let space = if letters.is_empty() { "" } else { " " };
                letters.push_str(&format!("{space}{letter}"));
            }
            *licence = spdx(named(dependency)["license"].as_str().unwrap());
        }
    }
    let text = security();
    let (_, table) = text.split_once("## Direct dependencies").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.contains(" what for "));
    let reviewed: BTreeMap<_, _> = rows
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.len() == 5 && cells.iter().all(|cell| !cell.is_empty()), "{line}");
            (cells[0].to_owned(), (cells[1].to_owned(), cells[2].to_owned()))
        })
        .collect();
    for (name, review) in &wanted {
        let found = reviewed.get(name);
        assert_eq!(found, Some(review), "{name}: SECURITY.md has to have reviewed it");
    }
    let gone: Vec<_> = reviewed.keys().filter(|name| !wanted.contains_key(*name)).collect();
    assert!(gone.is_empty(), "SECURITY.md reviews what nobody depends on: {gone:?}");
}

#[test]
fn every_test_that_the_threat_model_cites_exists() {
    let text = security();
    let cited: BTreeSet<_> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.matches('_').count() >= 2 || *word == "a_forked_log")
        .filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b)))
        .collect();
    assert!(cited.len() > 40, "{cited:?}");
    let sources: String = rust_files(&top()).iter().map(|path| read(path)).collect();
    let is_there = |name: &&str| sources.contains(&format!("fn {name}("));
    let packages = ["serde_path_to_error"];
    let lost: Vec<_> =
        cited.iter().filter(|name| !is_there(name) && !packages.contains(name)).collect();
    assert!(lost.is_empty(), "no such test: {lost:?}");
}

#[test]
fn no_licence_is_outside_of_the_list_and_the_agpl_stays_where_it_is() {
    let allowed = allowed();
    assert!(allowed.contains("MIT") && !allowed.contains("AGPL-3.0-or-later"), "{allowed:?}");
    let all = tree(&["--workspace", "-e", "normal,build,dev"]);
    assert!(all.len() > 300, "cargo tree names {} packages", all.len());
    for (name, licence) in &all {
        let is_agpl = licence.contains("AGPL");
        assert!(!is_agpl || AGPL.contains(&name.as_str()), "{name} is under {licence}");
        assert!(is_agpl || is_allowed(licence, &allowed), "{name} is under {licence}");
    }
    // What an embedder of broker-core gets, whichever features it takes.
    let embedded = tree(&["-p", "broker-core", "-e", "normal,build"]);
    assert!(embedded.len() > 100, "cargo tree names {} packages", embedded.len());
    for (name, licence) in &embedded {
        assert!(!licence.contains("GPL"), "broker-core leads to {name}, under {licence}");
        assert!(!["tdx-quote", "dcap-qvl"].contains(&name.as_str()), "broker-core leads to {name}");
    }
}

#[test]
fn unsafe_code_is_in_named_places_only() {
    let mut found = BTreeSet::new();
    for path in rust_files(&top()) {
        let begins = |line: &str| {
            let words = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "#[unsafe("];
            words.iter().any(|word| line.contains(word)) && !line.trim_start().starts_with("//")
        };
        let text = read(&path);
        if text.lines().any(begins) && !path.ends_with("papers/review.rs") {
            found.insert(path.strip_prefix(top()).unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(found, UNSAFE.map(str::to_owned).into());
    for library in
        ["broker-core/src/lib.rs", "tee-sidecar/src/lib.rs", "tee-sidecar/evidence/src/lib.rs"]
    {
        let text = read(&top().join(library));
        assert!(text.contains("#![forbid(unsafe_code)]"), "{library}");
    }
    for manifest in ["broker-core", "tee-sidecar", "tee-sidecar/evidence", "examples"] {
        let text = read(&top().join(manifest).join("Cargo.toml"));
        assert!(text.contains("[lints]\nworkspace = true"), "{manifest}");
    }
}

#[test]
fn keys_and_tokens_are_compared_in_constant_time() {
    for file in ["tee-sidecar/src/http/auth.rs", "tee-sidecar/src/http/operator.rs"] {
        let text = read(&top().join(file));
        assert!(text.contains(".ct_eq(&presented.0)"), "{file} compares in another way");
        let compares = |line: &&str| {
            (line.contains("==") || line.contains("!="))
                && ["expose", "presented", "digest", "token"].iter().any(|word| line.contains(word))
        };
        let found: Vec<_> = text.lines().filter(compares).collect();
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}

/// The licences of deny.toml's list.
fn allowed() -> BTreeSet<String> {
    let text = read(&top().join("deny.toml"));
    let (_, list) = text.split_once("\nallow = [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met by licences of the list. `AND` binds stronger than `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    if let Some(inner) = expression.strip_prefix('(')
        && let Some((inner, rest)) = inner.split_once(')')
    {
        let inner = is_allowed(inner, allowed);
        return match rest.trim() {
            "" => inner,
            rest => match rest.split_once(' ') {
                Some(("AND", rest)) => inner && is_allowed(rest, allowed),
                Some(("OR", rest)) => inner || is_allowed(rest, allowed),
                _ => false,
            },
        };
    }
    expression.split(" OR ").any(|one| one.split(" AND ").all(|name| allowed.contains(name.trim())))
}

#[test]
fn an_expression_is_met_by_one_of_its_ways() {
    let allowed = ["MIT", "ISC"].map(str::to_owned).into();
    for (expression, is_met) in [
        ("MIT", true),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("MIT AND ISC", true),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT OR ISC) AND GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), is_met, "{expression}");
    }
}

fn security() -> String {
    read(&top().join("SECURITY.md"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(rust_files(&path));
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}
