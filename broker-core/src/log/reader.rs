//! Reads hashes by whole tiles, each at most once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::tiles::read;
use super::{
    Full, LogError, SIZE_MAX, Subtree, TILE_HEIGHT, TILE_WIDTH, Tiles, bit, complete_root,
    empty_root, joined, stored, subtrees,
};
use crate::digest::Digest32;

/// The log's first `size` leaves, as far as they were looked at. A path runs up one column of tiles
/// and along the tree's right edge, so that two tiles of each level are all that is ever kept.
pub(super) struct Reader<'a, T> {
    tiles: &'a T,
    size: u64,
    read: BTreeMap<(u8, u64), Vec<Digest32>>,
}

impl<'a, T: Tiles> Reader<'a, T> {
    pub(super) fn new(tiles: &'a T, size: u64) -> Result<Self, LogError<T::Error>> {
        if size > SIZE_MAX {
            return Err(Full.into());
        }
        Ok(Self { tiles, size, read: BTreeMap::new() })
    }

    /// The root over the leaves from `start` up to `end`, cut from the tree by its own rule.
    pub(super) fn range(&mut self, start: u64, end: u64) -> Result<Digest32, LogError<T::Error>> {
        let parts: Result<Vec<_>, _> =
            subtrees(start, end).map(|part| self.subtree(part)).collect();
        Ok(joined(parts?.into_iter()).unwrap_or_else(empty_root))
    }

    /// The root of a complete subtree.
    pub(super) fn subtree(&mut self, part: Subtree) -> Result<Digest32, LogError<T::Error>> {
        let Subtree { height, index } = part;
        let level = height / TILE_HEIGHT;
        let count = bit(height % TILE_HEIGHT);
        let from = index.saturating_mul(count);
        let tile = self.tile(level, from / TILE_WIDTH)?;
        let skipped = usize::try_from(from % TILE_WIDTH).ok();
        let count = usize::try_from(count).ok();
        let hashes = skipped.and_then(|skipped| tile.get(skipped..)?.get(..count?));
        hashes.and_then(complete_root).ok_or(LogError::Missing { level, index: from })
    }

    /// What a tile holds of the log's first `size` leaves.
    fn tile(&mut self, level: u8, index: u64) -> Result<&[Digest32], LogError<T::Error>> {
        match self.read.entry((level, index)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let from = index.saturating_mul(TILE_WIDTH);
                let count = stored(self.size, level).saturating_sub(from).min(TILE_WIDTH);
                Ok(place.insert(read(self.tiles, level, from, count)?))
            }
        }
    }
}
