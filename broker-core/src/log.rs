//! The receipts' log: the append-only Merkle tree of RFC 9162 (§2.1) over SHA-256.
//!
//! ```text
//! leaf = SHA-256(0x00 ‖ bytes)     node = SHA-256(0x01 ‖ left ‖ right)     nothing = SHA-256("")
//! ```
//!
//! The left half of n leaves is the largest power of two below n. A root and a size together are a
//! head: whoever signs heads and can show a consistency path from each to the next has taken
//! nothing back.
//!
//! * [`Frontier`] grows a tree of which nothing but the head is wanted.
//! * [`Tiles`] is what a log keeps: [`append`] says what to add, [`root`], [`inclusion`] and
//!   [`consistency`] read few hashes of it whatever the size, [`Tile`] names what is given out.
//! * [`verify_inclusion`] and [`verify_consistency`] need nothing but the heads and the path.
//!
//! This module knows no storage, and but for [`head`] no signature.

mod frontier;
pub mod head;
mod reader;
mod tile;
mod tiles;
mod verify;

use sha2::{Digest as _, Sha256};

pub use frontier::Frontier;
pub use head::LogHead;
pub use tile::{ParseTileError, Tile, hashes_of, tile_bytes};
pub use tiles::{LogError, Stored, Tiles, append, consistency, inclusion, root, stored};
pub use verify::{ProofError, verify_consistency, verify_inclusion};

use crate::digest::Digest32;

/// The most leaves of a log: what a database can number.
pub const SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// The most hashes of a path in any tree of up to [`SIZE_MAX`] leaves.
pub const PATH_MAX: usize = 64;

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// Levels of the binary tree from a tile's hashes to the one that stands for it in the next.
const TILE_HEIGHT: u8 = 8;

/// The log has [`SIZE_MAX`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log ends at 2^63-1 leaves: begin another")]
pub struct Full;

/// The hash that stands for a leaf's bytes. A leaf can never pass for a node.
pub fn leaf_hash(leaf: &[u8]) -> Digest32 {
    Digest32(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

/// The hash over two subtrees.
pub fn node_hash(left: &Digest32, right: &Digest32) -> Digest32 {
    Digest32(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The root of a log without leaves.
pub fn empty_root() -> Digest32 {
    Digest32::sha256(b"")
}

/// A part of the binary tree whose leaves are as many as fit: 2^height of them, from
/// index · 2^height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subtree {
    height: u8,
    index: u64,
}

/// The complete subtrees that the leaves from `start` up to `end` consist of, the largest first.
/// `start` is a multiple of the largest, as it is wherever the tree is cut by its own rule.
fn subtrees(start: u64, end: u64) -> impl Iterator<Item = Subtree> {
    let count = end.saturating_sub(start);
    let heights = (0..64_u8).rev();
    let heights = heights.filter(move |height| count & bit(*height) != 0);
    heights.scan(start, |at, height| {
        let index = at.checked_shr(u32::from(height))?;
        *at = at.checked_add(bit(height))?;
        Some(Subtree { height, index })
    })
}

/// The root over subtrees that stand side by side, the largest first. `None` without any.
fn joined(subtrees: impl DoubleEndedIterator<Item = Digest32>) -> Option<Digest32> {
    subtrees.rev().reduce(|right, left| node_hash(&left, &right))
}

/// The root of a complete tree over `hashes`, which are a power of two in number. `None` without
/// any.
fn complete_root(hashes: &[Digest32]) -> Option<Digest32> {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        let (pairs, _) = row.as_chunks::<2>();
        row = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.pop()
}

/// The largest power of two below `count`: how many of that many leaves are on the left. `None`
/// for less than two.
fn left_half(count: u64) -> Option<u64> {
    1_u64.checked_shl(count.checked_sub(1)?.checked_ilog2()?)
}

/// 2^height, and nothing where that is no `u64`.
fn bit(height: u8) -> u64 {
    1_u64.checked_shl(u32::from(height)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_falls_into_the_subtrees_that_its_binary_number_names() {
        let parts = |start, end| {
            subtrees(start, end).map(|part| (part.height, part.index)).collect::<Vec<_>>()
        };
        assert_eq!(parts(0, 0), []);
        assert_eq!(parts(0, 7), [(2, 0), (1, 2), (0, 6)]);
        assert_eq!(parts(8, 14), [(2, 2), (1, 6)]);
        assert_eq!(parts(0, 1 << 63), [(63, 0)]);
        assert_eq!(parts(0, u64::MAX).len(), 64);
    }

    #[test]
    fn the_left_half_is_the_largest_power_of_two_below() {
        let halves = [0, 1, 2, 3, 4, 5, 8, 9, u64::MAX].map(left_half);
        let wanted = [None, None, Some(1), Some(2), Some(2), Some(4), Some(4), Some(8)];
        assert_eq!(halves[..8], wanted);
        assert_eq!(halves[8], Some(1 << 63));
    }

    /// The example of RFC 6962's own test data: one empty leaf, and no leaf.
    #[test]
    fn the_smallest_trees_equal_published_values() {
        assert_eq!(
            leaf_hash(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            empty_root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
