//! Where a proof has nothing to show, or cannot be one.

use broker_core::Digest32;
use broker_core::log::{
    Full, PATH_MAX, ProofError, SIZE_MAX, consistency, empty_root, inclusion, root,
    verify_consistency, verify_inclusion,
};

use super::store::{Store, Uniform, leaf};

const HASH: Digest32 = Digest32([7; 32]);

#[test]
fn a_single_leaf_is_its_own_proof() {
    assert_eq!(verify_inclusion(&leaf(0), 0, 1, &[], &leaf(0)), Ok(()));
    assert_eq!(
        verify_inclusion(&leaf(1), 0, 1, &[], &leaf(0)),
        Err(ProofError::WrongRoot),
        "another leaf"
    );
    assert_eq!(verify_inclusion(&leaf(0), 0, 1, &[HASH], &leaf(0)), Err(ProofError::WrongLength));
}

#[test]
fn there_is_no_leaf_behind_the_end() {
    for (index, size) in [(0, 0), (1, 1), (5, 5), (u64::MAX, 5), (SIZE_MAX, SIZE_MAX)] {
        let refused = verify_inclusion(&HASH, index, size, &[], &HASH);
        assert_eq!(refused, Err(ProofError::NoSuchLeaf { index, size }));
    }
}

#[test]
fn a_path_longer_than_any_is_refused_before_anything_is_hashed() {
    let path = [HASH; PATH_MAX + 1];
    let too_long = Err(ProofError::TooLong(65));
    assert_eq!(verify_inclusion(&HASH, 0, 0, &path, &HASH), too_long);
    assert_eq!(verify_inclusion(&HASH, 0, u64::MAX, &path, &HASH), too_long);
    assert_eq!(verify_consistency(5, &HASH, 3, &HASH, &path), too_long);
    assert_eq!(verify_consistency(3, &HASH, u64::MAX, &HASH, &path), too_long);
}

#[test]
fn a_size_above_the_largest_is_refused() {
    for size in [SIZE_MAX + 1, u64::MAX] {
        let full = Err(ProofError::Full(Full));
        assert_eq!(verify_inclusion(&HASH, 0, size, &[], &HASH), full);
        assert_eq!(verify_consistency(1, &HASH, size, &HASH, &[]), full);
        assert_eq!(verify_consistency(size, &HASH, size, &HASH, &[]), full);
    }
}

#[test]
fn a_log_does_not_shrink() {
    for (from, to) in [(1, 0), (6, 5), (u64::MAX, 5)] {
        let refused = verify_consistency(from, &HASH, to, &HASH, &[]);
        assert_eq!(refused, Err(ProofError::Backwards { from, to }));
    }
}

#[test]
fn every_log_begins_with_nothing() {
    let nothing = empty_root();
    assert_eq!(verify_consistency(0, &nothing, 0, &nothing, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &nothing, 5, &HASH, &[]), Ok(()));
    assert_eq!(verify_consistency(0, &HASH, 5, &HASH, &[]), Err(ProofError::WrongStart));
    assert_eq!(verify_consistency(0, &HASH, 0, &HASH, &[]), Err(ProofError::WrongStart));
    assert_eq!(verify_consistency(0, &nothing, 0, &HASH, &[]), Err(ProofError::WrongRoot));
    assert_eq!(verify_consistency(0, &nothing, 5, &HASH, &[HASH]), Err(ProofError::WrongLength));
}

#[test]
fn a_head_is_consistent_with_itself_and_with_no_other_of_its_size() {
    for size in [1, 2, 3, 64, SIZE_MAX] {
        assert_eq!(verify_consistency(size, &HASH, size, &HASH, &[]), Ok(()));
        let fork = verify_consistency(size, &HASH, size, &leaf(0), &[]);
        assert_eq!(fork, Err(ProofError::WrongRoot), "{size}");
        let path = verify_consistency(size, &HASH, size, &HASH, &[HASH]);
        assert_eq!(path, Err(ProofError::WrongLength), "{size}");
    }
}

#[test]
fn a_larger_log_needs_a_path() {
    for (from, to) in [(1, 2), (2, 3), (3, 4), (4, 8), (5, 9), (1, SIZE_MAX)] {
        let refused = verify_consistency(from, &HASH, to, &HASH, &[]);
        assert_eq!(refused, Err(ProofError::WrongLength), "from {from} to {to}");
    }
}

/// Whose fault a refusal is can be read from it.
#[test]
fn a_fork_is_told_from_a_wrong_end() {
    let store = Store::of(11);
    let root = |size| root(&store, size).unwrap();
    let path = consistency(&store, 6, 11).unwrap();
    let check = |old, new| verify_consistency(6, &old, 11, &new, &path);
    assert_eq!(check(root(6), root(11)), Ok(()));
    assert_eq!(check(HASH, root(11)), Err(ProofError::WrongStart));
    assert_eq!(check(root(6), HASH), Err(ProofError::WrongRoot));
}

#[test]
fn the_longest_paths_of_the_largest_log_verify() {
    let log = Uniform::default();
    let all = root(&log, SIZE_MAX).unwrap();
    let path = inclusion(&log, 0, SIZE_MAX).unwrap();
    assert_eq!(path.len(), 63);
    assert_eq!(verify_inclusion(&leaf(0), 0, SIZE_MAX, &path, &all), Ok(()));
    let path = consistency(&log, 3, SIZE_MAX).unwrap();
    assert_eq!(path.len(), PATH_MAX);
    let three = root(&log, 3).unwrap();
    assert_eq!(verify_consistency(3, &three, SIZE_MAX, &all, &path), Ok(()));
}
