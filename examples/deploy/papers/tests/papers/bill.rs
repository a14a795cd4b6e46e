//! What cargo links into the program is in its bill and its notices.

use std::collections::BTreeSet;

use papers::{Linked, notices, sbom};
use serde_json::Value;

use super::support::linked;

const DATE: &str = "2026-01-01T00:00:00Z";

#[test]
fn the_bill_has_the_fields_that_its_format_requires() {
    let bill = sbom::bill(&linked(), DATE).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["specVersion"], "1.5");
    assert_eq!(bill["version"], 1);
    assert_eq!(bill["metadata"]["timestamp"], DATE);
    assert_eq!(bill["metadata"]["component"]["name"], "tee-sidecar");
    let serial = bill["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    let parts: Vec<_> = serial.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{serial}");
    assert!(serial.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()), "{serial}");
    for component in bill["components"].as_array().unwrap() {
        for field in ["type", "bom-ref", "name", "version"] {
            assert!(component[field].as_str().is_some_and(|text| !text.is_empty()), "{component}");
        }
        let licence = component["licenses"][0]["expression"].as_str().unwrap();
        assert!(!licence.contains('/'), "{licence} is no SPDX expression");
        let is_own = component["bom-ref"].as_str().unwrap().starts_with("workspace/");
        let is_native = component["bom-ref"].as_str().unwrap().starts_with("pkg:generic/");
        assert_eq!(component.get("purl").is_none(), is_own, "{component}");
        if !is_own && !is_native {
            assert_eq!(component["hashes"][0]["content"].as_str().unwrap().len(), 64);
        }
    }
}

#[test]
fn every_reference_of_the_bill_leads_somewhere_and_is_there_once() {
    let bill = sbom::bill(&linked(), DATE).unwrap();
    let components = bill["components"].as_array().unwrap();
    let mut named = BTreeSet::from([text(&bill["metadata"]["component"]["bom-ref"])]);
    for component in components {
        assert!(named.insert(text(&component["bom-ref"])), "twice: {component}");
    }
    let dependencies = bill["dependencies"].as_array().unwrap();
    let told: BTreeSet<_> = dependencies.iter().map(|entry| text(&entry["ref"])).collect();
    assert_eq!(told, named);
    let mut reached = BTreeSet::new();
    let mut ways = vec![text(&bill["metadata"]["component"]["bom-ref"])];
    while let Some(at) = ways.pop() {
        if !reached.insert(at.clone()) {
            continue;
        }
        let entry = dependencies.iter().find(|entry| text(&entry["ref"]) == at).unwrap();
        ways.extend(entry["dependsOn"].as_array().unwrap().iter().map(text));
    }
    let lost: Vec<_> = named.difference(&reached).collect();
    assert!(lost.is_empty(), "nothing leads to {lost:?}");
}

#[test]
fn the_bill_has_what_is_linked_in_native_code_too_and_nothing_of_tests_or_the_simulator() {
    let bill = sbom::bill(&linked(), DATE).unwrap();
    let components = bill["components"].as_array().unwrap();
    let names: BTreeSet<_> = components.iter().map(|one| text(&one["name"])).collect();
    for name in [
        "actix-web",
        "broker-core",
        "dcap-qvl",
        "libsecp256k1",
        "libmimalloc",
        "postgres",
        "ring",
        "sqlite",
        "tdx-quote",
        "tee-evidence",
        "zstd",
    ] {
        assert!(names.contains(name), "{name}");
    }
    for name in ["proptest", "fake-nvml", "tempfile", "clap_derive"] {
        assert!(!names.contains(name), "{name}");
    }
    // What the simulator is made of is linked in for others too, but not for the evidence.
    let mut entries = bill["dependencies"].as_array().unwrap().iter();
    let evidence = entries.find(|entry| text(&entry["ref"]).contains("tee-evidence")).unwrap();
    let needs: Vec<_> = evidence["dependsOn"].as_array().unwrap().iter().map(text).collect();
    assert!(needs.iter().any(|one| one.contains("dcap-qvl")), "{needs:?}");
    assert!(needs.iter().all(|one| !one.contains("rcgen") && !one.contains("yasna")), "{needs:?}");
}

#[test]
fn the_papers_are_the_same_each_time() {
    let (one, two) = (linked(), linked());
    assert_eq!(sbom::bill(&one, DATE).unwrap(), sbom::bill(&two, DATE).unwrap());
    assert_eq!(notices::text(&one).unwrap(), notices::text(&two).unwrap());
}

#[test]
fn the_notices_name_every_package_and_give_the_words_of_its_licence() {
    let linked = linked();
    let notices = notices::text(&linked).unwrap();
    for package in linked.packages.iter().filter(|package| package.is_foreign()) {
        let line =
            format!("\n{} {}: {}", package.name, package.version, package.licence().unwrap());
        assert!(notices.contains(&line), "{line}");
    }
    for words in [
        "Permission is hereby granted, free of charge",
        "Apache License",
        "Redistribution and use in source and binary forms",
        "UNICODE LICENSE",
        "\n  in it sqlite 3.",
        "\n  in it libmimalloc 2.",
    ] {
        assert!(notices.contains(words), "{words}");
    }
}

#[test]
fn native_code_that_nobody_described_is_refused() {
    let package = |name: &str, links: &str| {
        format!(
            r#"{{"name":"{name}","version":"1.0.0","license":"MIT","source":"registry",
                "links":{links},"id":"{name}","manifest_path":"/nowhere/Cargo.toml"}}"#
        )
    };
    let metadata = |links: &str| {
        let (program, other) = (package("program", "null"), package("blob-sys", links));
        format!(r#"{{"packages":[{program},{other}],"resolve":{{"nodes":[]}}}}"#)
    };
    let tree = "program v1.0.0\nblob-sys v1.0.0\n";
    assert!(Linked::new(&metadata("null"), tree, "").is_ok());
    let refused = Linked::new(&metadata("\"blob\""), tree, "").err().unwrap();
    assert!(refused.contains("blob-sys links native code"), "{refused}");
    let lost = Linked::new(&metadata("null"), "program v1.0.0\nother v2.0.0\n", "").err().unwrap();
    assert!(lost.contains("other v2.0.0"), "{lost}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
