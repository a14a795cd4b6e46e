//! A proof holds as it was made, and in no other way.

use broker_core::Digest32;
use broker_core::log::{consistency, inclusion, root, verify_consistency, verify_inclusion};
use proptest::prelude::*;

use super::store::{Store, leaf};

const SIZE: u64 = 1_100;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_inclusion_proof_holds_and_nothing_of_it_can_be_changed(
        (size, index) in up_to(SIZE),
        other in 0..SIZE,
        byte in 0..32_usize,
        flip in 1..=255_u8,
    ) {
        let store = log();
        let all = root(store, size).unwrap();
        let path = inclusion(store, index, size).unwrap();
        let holds = |leaf: &Digest32, index, path: &[Digest32], root: &Digest32| {
            verify_inclusion(leaf, index, size, path, root).is_ok()
        };
        prop_assert!(holds(&leaf(index), index, &path, &all));
        prop_assert_eq!(holds(&leaf(index), other, &path, &all), other == index);
        prop_assert_eq!(holds(&leaf(other), index, &path, &all), other == index);
        prop_assert!(!holds(&flipped(leaf(index), byte, flip), index, &path, &all));
        prop_assert!(!holds(&leaf(index), index, &path, &flipped(all, byte, flip)));
        for changed in changes(&path, byte, flip) {
            prop_assert!(!holds(&leaf(index), index, &changed, &all));
        }
    }

    #[test]
    fn a_consistency_proof_holds_and_nothing_of_it_can_be_changed(
        (to, before) in up_to(SIZE),
        byte in 0..32_usize,
        flip in 1..=255_u8,
    ) {
        let (store, from) = (log(), before + 1);
        let (part, all) = (root(store, from).unwrap(), root(store, to).unwrap());
        let path = consistency(store, from, to).unwrap();
        let holds = |part: &Digest32, all: &Digest32, path: &[Digest32]| {
            verify_consistency(from, part, to, all, path).is_ok()
        };
        prop_assert!(holds(&part, &all, &path));
        prop_assert!(!holds(&flipped(part, byte, flip), &all, &path));
        prop_assert!(!holds(&part, &flipped(all, byte, flip), &path));
        prop_assert_eq!(holds(&all, &part, &path), from == to);
        for changed in changes(&path, byte, flip) {
            prop_assert!(!holds(&part, &all, &changed));
        }
    }

    #[test]
    fn a_log_with_one_other_leaf_has_no_proof_of_consistency(
        (to, changed) in up_to(300),
        from in 1..=300_u64,
    ) {
        let (from, mut fork) = (from.min(to), Store::default());
        let leaves: Vec<_> =
            (0..to).map(|index| leaf(if index == changed { SIZE } else { index })).collect();
        fork.grow(&leaves);
        let path = consistency(&fork, from, to).unwrap();
        let (signed, all) = (root(log(), from).unwrap(), root(&fork, to).unwrap());
        let held = verify_consistency(from, &signed, to, &all, &path).is_ok();
        prop_assert_eq!(held, changed >= from, "leaf {} of {} to {}", changed, from, to);
    }
}

/// A path says in what order hashes are joined, so sizes of one shape share it: that much and no
/// more is left open, which is why sizes are signed with the roots.
#[test]
fn sizes_can_be_changed_only_where_the_path_has_the_same_shape() {
    let (store, most) = (log(), 24);
    let root = |size| root(store, size).unwrap();
    let (mut refused, mut held) = (0, 0);
    for (size, index) in (1..=most).flat_map(|size| (0..size).map(move |index| (size, index))) {
        let path = inclusion(store, index, size).unwrap();
        for other in 1..=most {
            let same = index < other && sides(index, other) == sides(index, size);
            let verified = verify_inclusion(&leaf(index), index, other, &path, &root(size));
            assert_eq!(verified.is_ok(), same, "leaf {index} of {size} as of {other}");
            *(if same { &mut held } else { &mut refused }) += 1;
        }
    }
    assert!(refused > held, "{refused} {held}");
}

#[test]
fn heads_can_be_renumbered_only_where_the_path_has_the_same_shape() {
    let (store, most) = (log(), 14);
    let root = |size| root(store, size).unwrap();
    let pairs = || (1..=most).flat_map(|to| (1..=to).map(move |from| (from, to)));
    let (mut refused, mut held) = (0, 0);
    for (from, to) in pairs() {
        let path = consistency(store, from, to).unwrap();
        for other in pairs() {
            let same = steps(from, to) == steps(other.0, other.1);
            let verified = verify_consistency(other.0, &root(from), other.1, &root(to), &path);
            assert_eq!(verified.is_ok(), same, "{from} to {to} as {other:?}");
            *(if same { &mut held } else { &mut refused }) += 1;
        }
        let verified = verify_consistency(0, &root(from), to, &root(to), &path);
        assert!(verified.is_err(), "{from} to {to} as from 0");
    }
    assert!(refused > held, "{refused} {held}");
}

/// On which side of the leaf each sibling is, by the definition of PATH.
fn sides(index: u64, size: u64) -> String {
    if size == 1 {
        return String::new();
    }
    let left = size.next_power_of_two() / 2;
    if index < left { sides(index, left) + "R" } else { sides(index - left, size - left) + "L" }
}

/// The same of PROOF: whether it begins with the first root or with a part of it, and the sides.
fn steps(from: u64, to: u64) -> String {
    fn subproof(from: u64, to: u64, known: bool) -> String {
        if from == to {
            return if known { "root " } else { "part " }.to_owned();
        }
        let left = to.next_power_of_two() / 2;
        if from <= left {
            subproof(from, left, known) + "R"
        } else {
            subproof(from - left, to - left, false) + "L"
        }
    }
    subproof(from, to, true)
}

/// Every path that one change makes of this: a byte altered, a hash dropped or doubled or one too
/// many, two hashes swapped.
fn changes(path: &[Digest32], byte: usize, flip: u8) -> Vec<Vec<Digest32>> {
    let changed = |change: &dyn Fn(&mut Vec<Digest32>)| {
        let mut path = path.to_vec();
        change(&mut path);
        path
    };
    let mut all = vec![
        changed(&|path| path.push(Digest32::default())),
        changed(&|path| path.insert(0, Digest32::default())),
    ];
    for at in 0..path.len() {
        all.push(changed(&|path| path[at] = flipped(path[at], byte, flip)));
        all.push(without(path, at));
        all.push(changed(&|path| path.insert(at, path[at])));
        all.extend((0..at).map(|other| changed(&|path| path.swap(at, other))));
    }
    all
}

fn without(path: &[Digest32], at: usize) -> Vec<Digest32> {
    [&path[..at], &path[at + 1..]].concat()
}

fn flipped(mut hash: Digest32, byte: usize, flip: u8) -> Digest32 {
    hash.0[byte] ^= flip;
    hash
}

/// A size and an index below it.
fn up_to(most: u64) -> impl Strategy<Value = (u64, u64)> {
    (1..=most).prop_flat_map(|size| (Just(size), 0..size))
}

thread_local! {
    static LOG: &'static Store = Box::leak(Box::new(Store::of(SIZE)));
}

fn log() -> &'static Store {
    LOG.with(|log| *log)
}
