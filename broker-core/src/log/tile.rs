//! Tiles as they are given out: the names and bytes of C2SP's tlog-tiles.

use std::fmt;
use std::str::FromStr;

use super::tiles::read;
use super::{LogError, TILE_WIDTH, Tiles, stored};
use crate::digest::Digest32;

/// A run of up to 256 hashes of one level.
///
/// Written `tile/<level>/<index>`, where the index is cut into three digits each, `x` before all
/// but the last: `tile/0/x001/x234/067`. Behind a tile that is not full stands how many hashes it
/// has: `tile/1/000.p/17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

/// Text that [`Tile`] does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tile is named tile/<level 0 to 63>/<index>, the index in groups of three digits with x \
     before all but the last (x001/234), and .p/<1 to 255> behind one that is not full"
)]
pub struct ParseTileError;

impl Tile {
    /// The largest level that a name can have.
    const LEVEL_MAX: u8 = 63;

    /// Tile `index` of a level, `width` hashes of it. `None` where no tile has so many, or no log
    /// one there: levels go up to 63, an index up to 2^56-1, a width from 1 to 256.
    pub fn new(level: u8, index: u64, width: u16) -> Option<Self> {
        let fits = level <= Self::LEVEL_MAX
            && index <= u64::MAX / TILE_WIDTH
            && (1..=TILE_WIDTH).contains(&u64::from(width));
        fits.then_some(Self { level, index, width })
    }

    /// The tile as it is in a log of `size` leaves. `None` where it has no hash.
    pub fn at(level: u8, index: u64, size: u64) -> Option<Self> {
        let behind = stored(size, level).checked_sub(index.checked_mul(TILE_WIDTH)?)?;
        Self::new(level, index, u16::try_from(behind.min(TILE_WIDTH)).ok()?)
    }

    /// The tiles of a log of `size` leaves that are not, or are less wide, in one of `since`, level
    /// by level: what a copy of the smaller log lacks.
    pub fn added(since: u64, size: u64) -> impl Iterator<Item = Self> {
        let levels = (0..=Self::LEVEL_MAX).filter(move |level| {
            // A level that got no hash would still name its last tile.
            stored(since, *level) < stored(size, *level)
        });
        levels.flat_map(move |level| {
            let first = stored(since, level) / TILE_WIDTH;
            let end = stored(size, level).div_ceil(TILE_WIDTH);
            (first..end).filter_map(move |index| Self::at(level, index, size))
        })
    }

    /// Which level of tiles.
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// Which tile of the level.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes: 256 of a full tile.
    pub const fn width(&self) -> u16 {
        self.width
    }

    /// The index of its first hash on its level.
    pub const fn first(&self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH)
    }

    /// Whether a log of `size` leaves has all its hashes.
    pub fn is_within(&self, size: u64) -> bool {
        self.first().saturating_add(u64::from(self.width)) <= stored(size, self.level)
    }

    /// Its hashes.
    ///
    /// # Errors
    /// They cannot be read, or are fewer than its width: ask [`Self::is_within`] before.
    pub fn read<T: Tiles>(&self, tiles: &T) -> Result<Vec<Digest32>, LogError<T::Error>> {
        read(tiles, self.level, self.first(), u64::from(self.width))
    }

    /// The hashes of the tile that was given out as `bytes`. `None` if these are not as many as its
    /// width says.
    pub fn hashes(&self, bytes: &[u8]) -> Option<Vec<Digest32>> {
        let hashes = hashes_of(bytes)?;
        (hashes.len() == usize::from(self.width)).then_some(hashes)
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        let (mut rest, mut groups) = (self.index, Vec::new());
        while rest >= 1000 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        groups.push(rest);
        let (last, before) = groups.split_first().unwrap_or((&0, &[]));
        before.iter().rev().try_for_each(|group| write!(f, "x{group:03}/"))?;
        write!(f, "{last:03}")?;
        if u64::from(self.width) < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for Tile {
    type Err = ParseTileError;

    /// Takes exactly what is written: one name for one tile.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tile = parse(text).ok_or(ParseTileError)?;
        if tile.to_string() == text { Ok(tile) } else { Err(ParseTileError) }
    }
}

/// Reads a name; `None` for what cannot be one. Zeros and signs that are not written get through.
fn parse(text: &str) -> Option<Tile> {
    let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok()?),
        None => (rest, u16::try_from(TILE_WIDTH).ok()?),
    };
    let mut index = 0_u64;
    for group in groups.split('/') {
        let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
        index = index.checked_mul(1000)?.checked_add(group)?;
    }
    Tile::new(level.parse().ok()?, index, width)
}

/// Hashes as the bytes of a tile: one behind the other.
pub fn tile_bytes(hashes: &[Digest32]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes that [`tile_bytes`] wrote. `None` where the last is cut off.
pub fn hashes_of(bytes: &[u8]) -> Option<Vec<Digest32>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| hashes.iter().map(|hash| Digest32(*hash)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_one_name() {
        for (level, index, width, name) in [
            (0, 0, 256, "tile/0/000"),
            (0, 999, 256, "tile/0/999"),
            (1, 1000, 256, "tile/1/x001/000"),
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (63, 5, 1, "tile/63/005.p/1"),
            (2, 1_234, 255, "tile/2/x001/234.p/255"),
            (0, (1 << 56) - 1, 256, "tile/0/x072/x057/x594/x037/x927/935"),
        ] {
            let tile = Tile::new(level, index, width).unwrap();
            assert_eq!(tile.to_string(), name);
            assert_eq!(name.parse(), Ok(tile));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            " tile/0/000",
            "tile/0/000 ",
            "./tile/0/000",
            "tile//000",
            "Tile/0/000",
            "tile/00/000",
            "tile/+0/000",
            "tile/-1/000",
            "tile/64/000",
            "tile/256/000",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/x001",
            "tile/0/001/234",
            "tile/0/x001/x234",
            "tile/0/x1/234",
            "tile/0/X001/234",
            "tile/0/xx001/234",
            "tile/0/+01",
            "tile/0/-01",
            "tile/0/x+01/000",
            "tile/0/000/",
            "tile/0//000",
            "tile/0/000?",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/00",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/256",
            "tile/0/000.p/65537",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/000/p/1",
            "tile/0/0\u{660}0",
            "tile/entries/000",
            "tile/0/../000",
            "tile/0/x072/x057/x594/x037/x927/936",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(name.parse::<Tile>(), Err(ParseTileError), "{name}");
        }
    }

    #[test]
    fn a_tile_is_as_wide_as_the_log_made_it() {
        let width = |level, index, size| Tile::at(level, index, size).map(|tile| tile.width());
        // The example of the written format.
        assert_eq!(width(0, 272, 70_000), Some(256));
        assert_eq!(width(0, 273, 70_000), Some(112));
        assert_eq!(width(0, 274, 70_000), None);
        assert_eq!((width(1, 0, 70_000), width(1, 1, 70_000)), (Some(256), Some(17)));
        assert_eq!((width(2, 0, 70_000), width(3, 0, 70_000)), (Some(1), None));
        assert_eq!(
            (width(0, 0, 256), width(0, 1, 256), width(1, 0, 256)),
            (Some(256), None, Some(1))
        );
        assert_eq!((width(0, 0, 0), width(0, u64::MAX, u64::MAX)), (None, None));
        let partial = Tile::new(0, 273, 100).unwrap();
        assert!(partial.is_within(70_000) && partial.is_within(69_988));
        assert!(!partial.is_within(69_987));
        assert!(!Tile::new(9, 0, 1).unwrap().is_within(u64::MAX));
    }

    #[test]
    fn a_copy_lacks_the_tiles_that_grew() {
        let names =
            |since, size| Tile::added(since, size).map(|tile| tile.to_string()).collect::<Vec<_>>();
        assert_eq!(names(0, 0), [""; 0]);
        assert_eq!(names(0, 257), ["tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"]);
        assert_eq!(names(257, 257), [""; 0]);
        assert_eq!(names(256, 258), ["tile/0/001.p/2"]);
        assert_eq!(names(255, 256), ["tile/0/000", "tile/1/000.p/1"]);
        assert_eq!(names(9, 8), [""; 0]);
        assert_eq!(Tile::added(0, 70_000).count(), 273 + 1 + 1 + 1 + 1);
    }

    #[test]
    fn bytes_of_a_tile_are_its_hashes() {
        let hashes = [Digest32([1; 32]), Digest32([2; 32])];
        let bytes = tile_bytes(&hashes);
        assert_eq!((bytes.len(), bytes[31], bytes[32]), (64, 1, 2));
        assert_eq!(Tile::new(0, 0, 2).unwrap().hashes(&bytes), Some(hashes.to_vec()));
        assert_eq!(Tile::new(0, 0, 3).unwrap().hashes(&bytes), None);
        assert_eq!(hashes_of(&bytes[..63]), None);
    }
}
