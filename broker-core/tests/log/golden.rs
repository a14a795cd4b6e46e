//! Vectors that a program of its own made from the definitions: `vectors/log.py`.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use broker_core::Digest32;
use broker_core::log::{
    Frontier, Tile, consistency, inclusion, root, tile_bytes, verify_consistency, verify_inclusion,
};
use serde_json::Value;

use super::store::{Store, leaf};

const VECTORS: &str = include_str!("../../../fixtures/receipts/log.json");
const LARGEST: u64 = 65_539;

#[test]
fn roots_are_those_of_the_other_program() {
    let store = Store::of(LARGEST);
    let mut frontier = Frontier::new();
    let vectors = vectors("roots");
    assert!(vectors.len() > 80);
    for vector in vectors {
        let size = number(&vector, "size");
        while frontier.size() < size {
            frontier.push(leaf(frontier.size())).unwrap();
        }
        let wanted = vector["root"].as_str().unwrap();
        assert_eq!(frontier.root().to_string(), wanted, "frontier of {size}");
        assert_eq!(root(&store, size).unwrap().to_string(), wanted, "tiles of {size}");
    }
    assert_eq!(frontier.size(), LARGEST);
}

#[test]
fn inclusion_paths_are_those_of_the_other_program_and_verify() {
    let store = Store::of(LARGEST);
    let vectors = vectors("inclusion");
    assert!(vectors.len() > 100);
    for vector in vectors {
        let (index, size) = (number(&vector, "index"), number(&vector, "size"));
        let path = inclusion(&store, index, size).unwrap();
        assert_eq!(texts(&path), vector["path"], "leaf {index} of {size}");
        let root = root(&store, size).unwrap();
        assert_eq!(verify_inclusion(&leaf(index), index, size, &path, &root), Ok(()));
    }
}

#[test]
fn consistency_paths_are_those_of_the_other_program_and_verify() {
    let store = Store::of(LARGEST);
    let vectors = vectors("consistency");
    assert!(vectors.len() > 100);
    for vector in vectors {
        let (from, to) = (number(&vector, "from"), number(&vector, "to"));
        let path = consistency(&store, from, to).unwrap();
        assert_eq!(texts(&path), vector["path"], "from {from} to {to}");
        let root = |size| root(&store, size).unwrap();
        assert_eq!(verify_consistency(from, &root(from), to, &root(to), &path), Ok(()));
    }
}

#[test]
fn tiles_have_the_names_and_bytes_of_the_other_program() {
    let store = Store::of(LARGEST);
    let tiles = vectors("tiles");
    assert!(tiles.len() > 10);
    for vector in tiles {
        let level = u8::try_from(number(&vector, "level")).unwrap();
        let tile = Tile::at(level, number(&vector, "index"), number(&vector, "size")).unwrap();
        assert_eq!(tile.to_string(), vector["name"]);
        let bytes = tile_bytes(&tile.read(&store).unwrap());
        assert_eq!(bytes.len(), usize::from(tile.width()) * 32);
        assert_eq!(Digest32::sha256(&bytes).to_string(), vector["sha256"], "{tile}");
        assert_eq!(tile.hashes(&bytes), Some(tile.read(&store).unwrap()));
    }
    for vector in vectors("names") {
        let level = u8::try_from(number(&vector, "level")).unwrap();
        let width = u16::try_from(number(&vector, "width")).unwrap();
        let tile = Tile::new(level, number(&vector, "index"), width).unwrap();
        assert_eq!(tile.to_string(), vector["name"]);
        assert_eq!(vector["name"].as_str().unwrap().parse(), Ok(tile));
    }
}

#[test]
fn the_vectors_are_what_the_other_program_writes() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/log.py");
    let output = match Command::new("python3").arg(program).arg("-").output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return skipped("no python3 on PATH to make the log's vectors anew");
        }
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        output.stdout == VECTORS.as_bytes(),
        "fixtures/receipts/log.json is not what tests/vectors/log.py writes: run it"
    );
}

/// A missing component is a failure only where every component is promised.
fn skipped(missing: &str) {
    let promised = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!promised, "CI=true, but {missing}");
    // Past the capture of the test harness, which shows nothing of tests that pass.
    let line = format!("\nSKIPPED: {missing}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

fn vectors(group: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    vectors[group].as_array().unwrap().clone()
}

fn number(vector: &Value, name: &str) -> u64 {
    vector[name].as_u64().unwrap()
}

fn texts(path: &[Digest32]) -> Value {
    path.iter().map(Digest32::to_string).collect()
}
