//! What a log keeps of its tree, and what is read of it.

use super::reader::Reader;
use super::{Full, SIZE_MAX, TILE_HEIGHT, TILE_WIDTH, complete_root, left_half};
use crate::digest::Digest32;

/// The stored hashes of a log.
///
/// Of every eighth level of the tree all hashes are kept that no later leaf changes: hash `i` of
/// level `L` is the root over the 256^L leaves from i · 256^L. Level 0 are the leaves' hashes.
pub trait Tiles {
    /// Why hashes cannot be read.
    type Error;

    /// The `count` hashes of a level from `from` on, in their order. Asked for at most 256 that
    /// stand in one tile, and only for what a log of the size at hand has, see [`stored`]; later
    /// leaves change none of them.
    ///
    /// # Errors
    /// The hashes cannot be read.
    fn hashes(&self, level: u8, from: u64, count: u64) -> Result<Vec<Digest32>, Self::Error>;
}

/// A hash to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Which level of tiles.
    pub level: u8,
    /// Which hash of that level.
    pub index: u64,
    /// The root over the 256^level leaves from index · 256^level.
    pub hash: Digest32,
}

/// Why a log's hashes do not give what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError<E> {
    /// They cannot be read.
    #[error("the log's hashes cannot be read: {0}")]
    Tiles(E),
    /// Fewer than a log of this size has, or more than were asked for.
    #[error(
        "the log's storage does not answer with hash {index} of level {level} as it should: it \
         has lost hashes, or the size does not belong to it"
    )]
    Missing {
        /// Which level of tiles.
        level: u8,
        /// The first hash of that level that is not as it should be.
        index: u64,
    },
    /// A leaf that the log has not.
    #[error("a log of {size} leaves has no leaf {index}: they are numbered from 0")]
    NoSuchLeaf {
        /// The leaf that was asked for.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// A consistency path that would lead to a smaller log.
    #[error("a log does not shrink from {from} leaves to {to}: exchange the two sizes")]
    Backwards {
        /// The size to begin with.
        from: u64,
        /// The size to end with.
        to: u64,
    },
    /// More leaves than a log can have.
    #[error(transparent)]
    Full(#[from] Full),
}

/// How many hashes a log of `size` leaves stores at a level: floor(size / 256^level).
pub fn stored(size: u64, level: u8) -> u64 {
    let bits = u32::from(level).saturating_mul(u32::from(TILE_HEIGHT));
    size.checked_shr(bits).unwrap_or(0)
}

/// What is to be stored when leaves follow the log's first `size`, those of each level together and
/// in their order, the leaves first. At most one tile of each level is read: the last, where it
/// fills up.
///
/// # Errors
/// The hashes cannot be read, are fewer than such a log has, or the log would have more leaves than
/// [`SIZE_MAX`].
pub fn append<T: Tiles>(
    tiles: &T,
    size: u64,
    leaf_hashes: &[Digest32],
) -> Result<Vec<Stored>, LogError<T::Error>> {
    let more = u64::try_from(leaf_hashes.len()).map_err(|_| Full)?;
    size.checked_add(more).filter(|size| *size <= SIZE_MAX).ok_or(Full)?;
    let mut all = Vec::new();
    let (mut level, mut new) = (0_u8, leaf_hashes.to_vec());
    while !new.is_empty() {
        let known = stored(size, level);
        all.extend((known..).zip(&new).map(|(index, hash)| Stored { level, index, hash: *hash }));
        new = filled(tiles, level, known, &new)?;
        level = level.saturating_add(1);
    }
    Ok(all)
}

/// The roots of the tiles of a level that become full when `new` follows the `known` first hashes.
fn filled<T: Tiles>(
    tiles: &T,
    level: u8,
    known: u64,
    new: &[Digest32],
) -> Result<Vec<Digest32>, LogError<T::Error>> {
    let begun = known % TILE_WIDTH;
    let wanted = usize::try_from(TILE_WIDTH.saturating_sub(begun)).unwrap_or(usize::MAX);
    let Some((first, rest)) = new.split_at_checked(wanted) else { return Ok(Vec::new()) };
    let mut tile = match begun {
        0 => Vec::new(),
        _ => read(tiles, level, known.saturating_sub(begun), begun)?,
    };
    tile.extend(first);
    let (full, _) = rest.as_chunks::<{ TILE_WIDTH as usize }>();
    let tiles = std::iter::once(tile.as_slice()).chain(full.iter().map(<[_; _]>::as_slice));
    Ok(tiles.filter_map(complete_root).collect())
}

/// The root over the log's first `size` leaves.
///
/// # Errors
/// The hashes cannot be read, or are fewer than such a log has.
pub fn root<T: Tiles>(tiles: &T, size: u64) -> Result<Digest32, LogError<T::Error>> {
    Reader::new(tiles, size)?.range(0, size)
}

/// The path that shows that leaf `index` is among the log's first `size`, the lowest hash first
/// (RFC 9162 §2.1.3.1). Reads at most two tiles of each level.
///
/// # Errors
/// There is no such leaf, or the hashes cannot be read or are fewer than such a log has.
pub fn inclusion<T: Tiles>(
    tiles: &T,
    index: u64,
    size: u64,
) -> Result<Vec<Digest32>, LogError<T::Error>> {
    if index >= size {
        return Err(LogError::NoSuchLeaf { index, size });
    }
    let mut reader = Reader::new(tiles, size)?;
    let (mut start, mut end, mut path) = (0_u64, size, Vec::new());
    while let Some(left) = left_half(end.saturating_sub(start)) {
        let middle = start.saturating_add(left);
        if index < middle {
            path.push(reader.range(middle, end)?);
            end = middle;
        } else {
            path.push(reader.range(start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The path that shows that the log's first `to` leaves begin with its first `from`, the lowest
/// hash first (RFC 9162 §2.1.4.1). Empty where `from` is 0 or `to`: there is nothing to show. Reads
/// at most two tiles of each level.
///
/// # Errors
/// `from` is above `to`, or the hashes cannot be read or are fewer than such a log has.
pub fn consistency<T: Tiles>(
    tiles: &T,
    from: u64,
    to: u64,
) -> Result<Vec<Digest32>, LogError<T::Error>> {
    if from > to {
        return Err(LogError::Backwards { from, to });
    }
    let mut reader = Reader::new(tiles, to)?;
    let (mut start, mut end, mut path) = (0_u64, to, Vec::new());
    if from == 0 {
        return Ok(path);
    }
    while from < end {
        let Some(left) = left_half(end.saturating_sub(start)) else { break };
        let middle = start.saturating_add(left);
        if from <= middle {
            path.push(reader.range(middle, end)?);
            end = middle;
        } else {
            path.push(reader.range(start, middle)?);
            start = middle;
        }
    }
    // Whoever checks has the root of `from` leaves, but not that of a part of them.
    if start > 0 {
        path.push(reader.range(start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Reads hashes, as many as were asked for.
pub(super) fn read<T: Tiles>(
    tiles: &T,
    level: u8,
    from: u64,
    count: u64,
) -> Result<Vec<Digest32>, LogError<T::Error>> {
    let hashes = tiles.hashes(level, from, count).map_err(LogError::Tiles)?;
    let got = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
    if got == count {
        return Ok(hashes);
    }
    Err(LogError::Missing { level, index: from.saturating_add(got.min(count)) })
}
