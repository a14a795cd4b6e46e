//! What a log stores, and how little of it is read.

use broker_core::Digest32;
use broker_core::log::{
    Frontier, Full, LogError, SIZE_MAX, Tiles, append, consistency, empty_root, inclusion, root,
    stored, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

use super::store::{Reads, Store, Uniform, defined_root, leaf, leaves, tiles_read};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_log_stores_the_same_hashes_however_its_leaves_came(
        batches in proptest::collection::vec(0..700_u64, 0..6),
    ) {
        let (mut store, mut frontier) = (Store::default(), Frontier::new());
        for batch in batches {
            let (before, size) = (store.size(), store.size() + batch);
            store.reads.borrow_mut().clear();
            store.grow(&leaves(before..size));
            for (level, tiles) in tiles_read(&store.reads) {
                let last = stored(before, level) / 256;
                prop_assert_eq!(tiles, [last].into(), "level {} at {}", level, before);
            }
            for index in before..size {
                frontier.push(leaf(index)).unwrap();
            }
            let wanted = defined_root(&leaves(0..size));
            prop_assert_eq!((frontier.root(), root(&store, size)), (wanted, Ok(wanted)));
            let parts = Frontier::from_parts(size, frontier.roots().to_vec());
            prop_assert_eq!(parts.as_ref(), Some(&frontier));
            prop_assert_eq!(Frontier::read(&store, size), Ok(frontier.clone()));
        }
        for (level, hashes) in (0..).zip(&store.levels) {
            prop_assert_eq!(hashes.len() as u64, stored(store.size(), level));
            let leaves = leaves(0..store.size());
            let spans = leaves.chunks_exact(256_usize.pow(u32::from(level))).map(defined_root);
            prop_assert_eq!(hashes, &spans.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_proof_reads_two_tiles_of_a_level_whatever_the_size(
        (small, large) in sizes(),
    ) {
        let log = Uniform::default();
        let read = |reads: &Reads| {
            let most = tiles_read(reads).values().map(|tiles| tiles.len()).max();
            reads.borrow_mut().clear();
            most.unwrap_or(0)
        };
        let all = root(&log, large).unwrap();
        prop_assert!(read(&log.reads) <= 1, "the right edge is one tile of each level");
        let path = inclusion(&log, small - 1, large).unwrap();
        prop_assert!(read(&log.reads) <= 2);
        prop_assert_eq!(verify_inclusion(&leaf(0), small - 1, large, &path, &all), Ok(()));
        let path = consistency(&log, small, large).unwrap();
        prop_assert!(read(&log.reads) <= 2);
        let part = root(&log, small).unwrap();
        prop_assert_eq!(verify_consistency(small, &part, large, &all, &path), Ok(()));
    }
}

/// Two sizes in order, as often small as large.
fn sizes() -> impl Strategy<Value = (u64, u64)> {
    let size = || (0..63_u32, any::<u64>()).prop_map(|(bits, any)| (any & SIZE_MAX) >> bits);
    (size(), size()).prop_map(|(one, other)| (one.min(other).max(1), one.max(other).max(1)))
}

#[test]
fn a_leaf_that_fills_no_tile_needs_no_reading() {
    let mut store = Store::of(65_534);
    store.reads.borrow_mut().clear();
    store.grow(&leaves(65_534..65_535));
    assert_eq!(*store.reads.borrow(), []);
    store.grow(&leaves(65_535..65_536));
    assert_eq!(*store.reads.borrow(), [(0, 65_280, 255), (1, 0, 255)]);
    assert_eq!(store.levels.iter().map(Vec::len).collect::<Vec<_>>(), [65_536, 256, 1]);
    store.reads.borrow_mut().clear();
    assert_eq!(root(&store, 65_536), Ok(store.levels[2][0]));
    assert_eq!(*store.reads.borrow(), [(2, 0, 1)]);
}

#[test]
fn what_the_log_has_not_is_not_proven() {
    let store = Store::of(5);
    assert_eq!(root(&store, 0), Ok(empty_root()));
    assert_eq!(inclusion(&store, 0, 0), Err(LogError::NoSuchLeaf { index: 0, size: 0 }));
    assert_eq!(inclusion(&store, 5, 5), Err(LogError::NoSuchLeaf { index: 5, size: 5 }));
    assert_eq!(consistency(&store, 4, 3), Err(LogError::Backwards { from: 4, to: 3 }));
    assert_eq!(consistency(&store, 0, 5), Ok(Vec::new()));
    assert_eq!(consistency(&store, 5, 5), Ok(Vec::new()));
    assert_eq!(append(&store, 5, &[]), Ok(Vec::new()));
    let above = SIZE_MAX + 1;
    assert_eq!(root(&store, above), Err(LogError::Full(Full)));
    assert_eq!(inclusion(&store, 0, above), Err(LogError::Full(Full)));
    assert_eq!(consistency(&store, 1, above), Err(LogError::Full(Full)));
    assert_eq!(append(&store, SIZE_MAX, &[leaf(0)]), Err(LogError::Full(Full)));
    assert_eq!(append(&store, u64::MAX, &[leaf(0)]), Err(LogError::Full(Full)));
}

#[test]
fn a_storage_that_fails_or_forgets_is_named_as_such() {
    let store = Store::of(5);
    assert_eq!(root(&store, 6), Err(LogError::Tiles("level 0 ends before 0".to_owned())));

    /// Answers with one hash too few or too many.
    struct Careless(u64);
    impl Tiles for Careless {
        type Error = std::convert::Infallible;
        fn hashes(&self, _: u8, _: u64, count: u64) -> Result<Vec<Digest32>, Self::Error> {
            Ok((0..count + self.0 - 1).map(leaf).collect())
        }
    }
    let missing = |level, index| LogError::Missing { level, index };
    assert_eq!(root(&Careless(0), 300), Err(missing(1, 0)));
    assert_eq!(root(&Careless(0), 70), Err(missing(0, 69)));
    assert_eq!(inclusion(&Careless(0), 3, 70), Err(missing(0, 69)));
    assert_eq!(consistency(&Careless(0), 3, 70), Err(missing(0, 69)));
    assert_eq!(append(&Careless(0), 255, &[leaf(0)]), Err(missing(0, 254)));
    assert_eq!(root(&Careless(2), 70), Err(missing(0, 70)));
    assert_eq!(root(&Careless(1), 70), Ok(defined_root(&leaves(0..70))));
}
