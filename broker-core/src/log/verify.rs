//! Checks of paths, by whoever has the heads.
//!
//! A path is as long as the sizes say, and a root fits one order of joining only; but sizes whose
//! paths have the same shape cannot be told apart by it. So a size is to come from where the root
//! comes from, the signed head, and never from the path's sender.

use super::{Full, PATH_MAX, SIZE_MAX, empty_root, node_hash};
use crate::digest::Digest32;

/// Why a path proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Longer than any path.
    #[error("a path of {0} hashes is too long: no log has one of more than {PATH_MAX}")]
    TooLong(usize),
    /// More leaves than a log can have.
    #[error(transparent)]
    Full(#[from] Full),
    /// A leaf behind the end.
    #[error("a log of {size} leaves has no leaf {index}: they are numbered from 0")]
    NoSuchLeaf {
        /// The leaf that was to be shown.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// A head that is older than the one it is to follow.
    #[error("a log does not shrink from {from} leaves to {to}: exchange the two heads")]
    Backwards {
        /// The size of the first head.
        from: u64,
        /// The size of the second.
        to: u64,
    },
    /// Hashes are missing or left over.
    #[error("the path does not have the length that these sizes ask for: it belongs to others")]
    WrongLength,
    /// The path leads to another root than the (second) head's.
    #[error("the path does not lead to this root: the leaf, the log or the path was changed")]
    WrongRoot,
    /// What is shown to be the beginning is not what the first head was signed for.
    #[error("the path does not begin with the first root: the log was forked, or the path changed")]
    WrongStart,
}

/// Checks that a leaf is number `index` (from 0) of the `size` leaves under `root` (RFC 9162
/// §2.1.3.2).
///
/// # Errors
/// The path does not show it.
pub fn verify_inclusion(
    leaf_hash: &Digest32,
    index: u64,
    size: u64,
    path: &[Digest32],
    root: &Digest32,
) -> Result<(), ProofError> {
    bounded(path, size)?;
    let last = size.checked_sub(1).filter(|last| index <= *last);
    let last = last.ok_or(ProofError::NoSuchLeaf { index, size })?;
    let mut place = Place { at: index, last };
    let mut hash = *leaf_hash;
    for sibling in path {
        hash = match place.climb()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    place.finish()?;
    if hash == *root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Checks that the `to` leaves under `to_root` begin with the `from` leaves under `from_root` (RFC
/// 9162 §2.1.4.2). Every log begins with nothing: where `from` is 0, nothing is said of `to_root`.
///
/// # Errors
/// The path does not show it.
pub fn verify_consistency(
    from: u64,
    from_root: &Digest32,
    to: u64,
    to_root: &Digest32,
    path: &[Digest32],
) -> Result<(), ProofError> {
    bounded(path, to)?;
    let grown = to.checked_sub(from).ok_or(ProofError::Backwards { from, to })?;
    let same_size = grown == 0;
    let Some(at) = from.checked_sub(1).filter(|_| !same_size) else {
        return trivial(from, from_root, same_size.then_some(to_root), path);
    };
    let mut place = Place { at, last: to.saturating_sub(1) };
    place.skip_right_edges();
    // The largest complete subtree at the end of the first `from` leaves: all of them, or a part.
    let (begun, siblings) = match path.split_first() {
        _ if from.is_power_of_two() => (*from_root, path),
        Some((first, siblings)) => (*first, siblings),
        None => return Err(ProofError::WrongLength),
    };
    let (mut old, mut new) = (begun, begun);
    for sibling in siblings {
        match place.climb()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    place.finish()?;
    if old != *from_root {
        return Err(ProofError::WrongStart);
    }
    if new == *to_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// From nothing, or from a head to itself: no hash is needed.
fn trivial(
    from: u64,
    from_root: &Digest32,
    same: Option<&Digest32>,
    path: &[Digest32],
) -> Result<(), ProofError> {
    if !path.is_empty() {
        return Err(ProofError::WrongLength);
    }
    if from == 0 && *from_root != empty_root() {
        return Err(ProofError::WrongStart);
    }
    if same.is_some_and(|to_root| to_root != from_root) {
        return Err(ProofError::WrongRoot);
    }
    Ok(())
}

fn bounded(path: &[Digest32], size: u64) -> Result<(), ProofError> {
    if path.len() > PATH_MAX {
        return Err(ProofError::TooLong(path.len()));
    }
    if size > SIZE_MAX {
        return Err(Full.into());
    }
    Ok(())
}

/// Where the next hash of a path stands, seen from the subtree that was reached.
enum Side {
    Left,
    Right,
}

/// A subtree on one row of the tree, and the last subtree of that row.
struct Place {
    at: u64,
    last: u64,
}

impl Place {
    /// Up to the next subtree that has a sibling, and on to the two's parent: says where the
    /// sibling is.
    fn climb(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::WrongLength);
        }
        // The last of a row is alone there if its number is even: it stands in the rows above too.
        while self.at == self.last && !self.is_right() {
            self.up();
        }
        let side = if self.is_right() { Side::Left } else { Side::Right };
        self.up();
        Ok(side)
    }

    /// Up to the largest subtree that ends with this one.
    fn skip_right_edges(&mut self) {
        while self.is_right() {
            self.up();
        }
    }

    /// A path ends at the root.
    fn finish(self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::WrongLength) }
    }

    fn is_right(&self) -> bool {
        self.at & 1 == 1
    }

    fn up(&mut self) {
        self.at >>= 1;
        self.last >>= 1;
    }
}
