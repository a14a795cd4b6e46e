//! Logs to read, which note what was read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use broker_core::Digest32;
use broker_core::log::{Tiles, append, leaf_hash, node_hash};

/// The hash of the leaf that the vectors call `index`.
pub(crate) fn leaf(index: u64) -> Digest32 {
    leaf_hash(format!("receipt {index}").as_bytes())
}

pub(crate) fn leaves(range: std::ops::Range<u64>) -> Vec<Digest32> {
    range.map(leaf).collect()
}

/// The root by the words of the definition.
pub(crate) fn defined_root(leaves: &[Digest32]) -> Digest32 {
    match leaves {
        [] => Digest32::sha256(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

/// What was asked for, in order: level, first hash, count.
pub(crate) type Reads = RefCell<Vec<(u8, u64, u64)>>;

/// Tiles that were read, of each level. A single question never leaves a tile.
pub(crate) fn tiles_read(reads: &Reads) -> BTreeMap<u8, BTreeSet<u64>> {
    let mut tiles: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (level, from, count) in reads.borrow().iter() {
        assert!(*count > 0 && from % 256 + count <= 256, "{count} hashes from {from}");
        let new = tiles.entry(*level).or_default().insert(from / 256);
        assert!(new, "tile {} of level {level} was read twice", from / 256);
    }
    tiles
}

/// A log in memory.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) levels: Vec<Vec<Digest32>>,
    pub(crate) reads: Reads,
}

impl Store {
    pub(crate) fn of(size: u64) -> Self {
        let mut store = Self::default();
        store.grow(&leaves(0..size));
        store
    }

    pub(crate) fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Adds leaves. Fails if what is to be stored leaves a gap or is stored already.
    pub(crate) fn grow(&mut self, leaf_hashes: &[Digest32]) {
        for stored in append(self, self.size(), leaf_hashes).unwrap() {
            let level = usize::from(stored.level);
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            assert_eq!(stored.index, self.levels[level].len() as u64, "level {level}");
            self.levels[level].push(stored.hash);
        }
    }
}

impl Tiles for Store {
    type Error = String;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, String> {
        self.reads.borrow_mut().push((level, from, count));
        let range = usize::try_from(from).unwrap()..usize::try_from(from + count).unwrap();
        let hashes = self.levels.get(usize::from(level)).and_then(|hashes| hashes.get(range));
        hashes.map(<[_]>::to_vec).ok_or_else(|| format!("level {level} ends before {from}"))
    }
}

/// A log of any size whose leaves are all the same.
#[derive(Default)]
pub(crate) struct Uniform {
    pub(crate) reads: Reads,
}

impl Uniform {
    pub(crate) fn hash(level: u8) -> Digest32 {
        (0..u32::from(level) * 8).fold(leaf(0), |hash, _| node_hash(&hash, &hash))
    }
}

impl Tiles for Uniform {
    type Error = String;

    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, String> {
        self.reads.borrow_mut().push((level, from, count));
        Ok(vec![Self::hash(level); usize::try_from(count).unwrap()])
    }
}
