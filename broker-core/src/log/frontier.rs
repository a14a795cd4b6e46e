//! A tree that grows, known by its right edge.

use super::{Full, LogError, SIZE_MAX, Tiles, empty_root, joined, node_hash, subtrees};
use crate::digest::Digest32;
use crate::log::reader::Reader;

/// The head of a growing tree, in the least that lets it grow: the roots of the complete subtrees
/// that its leaves fall into, at most 63 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// One for each bit set in `size`, the largest subtree first.
    roots: Vec<Digest32>,
}

impl Frontier {
    /// No leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frontier of `size` leaves from the roots of its complete subtrees, the largest first.
    /// `None` if these are not as many as `size` has bits set, or `size` is above [`SIZE_MAX`].
    pub fn from_parts(size: u64, roots: Vec<Digest32>) -> Option<Self> {
        let fits = size <= SIZE_MAX && usize::try_from(size.count_ones()) == Ok(roots.len());
        fits.then_some(Self { size, roots })
    }

    /// The frontier of the log's first `size` leaves.
    ///
    /// # Errors
    /// The hashes cannot be read, or are fewer than such a log has.
    pub fn read<T: Tiles>(tiles: &T, size: u64) -> Result<Self, LogError<T::Error>> {
        let mut reader = Reader::new(tiles, size)?;
        let roots: Result<_, _> = subtrees(0, size).map(|part| reader.subtree(part)).collect();
        Ok(Self { size, roots: roots? })
    }

    /// Adds the leaf that hashes to `leaf_hash`.
    ///
    /// # Errors
    /// The log has [`SIZE_MAX`] leaves; nothing was added.
    pub fn push(&mut self, leaf_hash: Digest32) -> Result<(), Full> {
        let size = self.size.checked_add(1).filter(|size| *size <= SIZE_MAX).ok_or(Full)?;
        let mut hash = leaf_hash;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.roots.push(hash);
        self.size = size;
        Ok(())
    }

    /// How many leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the complete subtrees, the largest first: with the size, all there is to keep.
    pub fn roots(&self) -> &[Digest32] {
        &self.roots
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest32 {
        joined(self.roots.iter().copied()).unwrap_or_else(empty_root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontier_is_made_of_as_many_roots_as_its_size_has_bits() {
        let roots = |count| vec![Digest32::default(); count];
        assert_eq!(Frontier::from_parts(0, roots(0)), Some(Frontier::new()));
        assert!(Frontier::from_parts(6, roots(2)).is_some());
        assert_eq!(Frontier::from_parts(6, roots(1)), None);
        assert_eq!(Frontier::from_parts(6, roots(3)), None);
        assert_eq!(Frontier::from_parts(1 << 63, roots(1)), None);
    }

    #[test]
    fn a_full_log_takes_no_leaf_and_stays_as_it_is() {
        let full = Frontier::from_parts(SIZE_MAX, vec![Digest32::default(); 63]).unwrap();
        let mut pushed = full.clone();
        assert_eq!(pushed.push(Digest32::default()), Err(Full));
        assert_eq!(pushed, full);
    }
}
