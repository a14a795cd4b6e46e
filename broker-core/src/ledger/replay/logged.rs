//! The receipt log, worked out again: its leaves from the receipts, its nodes from the leaves.
//!
//! Of a receipt that was let go only hashes are left; but its leaf under a voucher was made of the
//! one in the log, so that this cannot be changed either.

use crate::digest::Digest32;
use crate::ledger::Fault;
use crate::ledger::entry::Entry;
use crate::ledger::journal::{LoggedLeaf, Stop};
use crate::log::{Frontier, TILE_WIDTH, stored};
use crate::money::Neuron;
use crate::receipt::ReceiptId;
use crate::requests::proved_leaf;

/// The leaves so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logged {
    /// How many there are.
    pub(crate) size: u64,
    /// The one of the line that is told.
    next: Option<LoggedLeaf>,
    /// A receipt with a proof has none: the log ends before it.
    ends: bool,
}

impl Logged {
    /// The receipt of the line that is told next has this leaf.
    pub(super) fn expect(
        &mut self,
        entry: &Entry,
        leaf: LoggedLeaf,
        is_linked: bool,
    ) -> Result<(), Fault> {
        if !is_linked {
            let what = format!("entry {} has no place in the chain yet", entry.number);
            return Err(fault(leaf.leaf, what));
        }
        if self.ends {
            return Err(fault(leaf.leaf, "a receipt before its own has none".to_owned()));
        }
        if leaf.leaf != self.size {
            let what = format!("it is out of order: {} was expected", self.size);
            return Err(fault(leaf.leaf, what));
        }
        self.next = Some(leaf);
        Ok(())
    }

    /// A receipt whose document hashes to `due`.
    pub(super) fn check(&mut self, due: Option<Digest32>) -> Result<(), Fault> {
        match (due, self.next.take()) {
            (Some(due), Some(found)) if due == found.hash => {
                self.size = self.size.saturating_add(1);
                Ok(())
            }
            (Some(due), Some(found)) => {
                let what = format!("its receipt's document hashes to {due}, not {}", found.hash);
                Err(fault(found.leaf, what))
            }
            (Some(_), None) => {
                self.ends = true;
                Ok(())
            }
            (None, Some(found)) => Err(fault(found.leaf, "its receipt has no proof".to_owned())),
            (None, None) => Ok(()),
        }
    }

    /// A receipt that was let go, whose leaf under a voucher is `due`.
    pub(super) fn check_retired(
        &mut self,
        id: &ReceiptId,
        fee: Neuron,
        due: &Digest32,
    ) -> Result<(), Fault> {
        let Some(found) = self.next.take() else { return Ok(()) };
        if proved_leaf(id, fee, &found.hash) != *due {
            let what = "its receipt was let go, and had another document".to_owned();
            return Err(fault(found.leaf, what));
        }
        self.size = self.size.saturating_add(1);
        Ok(())
    }

    /// No other line has a leaf.
    pub(super) fn ends_line(&mut self) -> Result<(), Fault> {
        match self.next.take() {
            None => Ok(()),
            Some(found) => Err(fault(found.leaf, NOT_ITS_KIND.to_owned())),
        }
    }
}

/// Works the nodes out of the hashes below them; names the first that differs or is missing.
/// `hashes` are those of a level from one on, so many:
/// [`crate::ledger::proofs::ProofReader::log_hashes`].
pub(crate) fn nodes(
    size: u64,
    mut hashes: impl FnMut(u8, u64, u64) -> Result<Vec<Digest32>, Stop>,
) -> Result<(), Stop> {
    let mut level: u8 = 0;
    loop {
        let (below, above) = (level, level.saturating_add(1));
        let count = stored(size, above);
        if count == 0 {
            return Ok(());
        }
        let mut n: u64 = 0;
        while n < count {
            let some = count.saturating_sub(n).min(TILES_AT_ONCE);
            let from = n.saturating_mul(TILE_WIDTH);
            let row = hashes(below, from, some.saturating_mul(TILE_WIDTH))?;
            let (tiles, _) = row.as_chunks::<{ TILE_WIDTH as usize }>();
            let mut found = hashes(above, n, some)?.into_iter();
            let mut tiles = tiles.iter();
            for n in n..n.saturating_add(some) {
                let due = tiles.next().and_then(|tile| root(tile));
                match (due, found.next()) {
                    (Some(due), Some(found)) if due == found => {}
                    (_, None) => return Err(of_node(above, n, "it is missing").into()),
                    _ => return Err(of_node(above, n, "it differs from what is below it").into()),
                }
            }
            n = n.saturating_add(some);
        }
        level = above;
    }
}

/// The fault of a node of a level.
pub(crate) fn of_node(level: u8, n: u64, what: &str) -> Fault {
    Fault { table: "log_node", row: format!("{level}/{n}"), what: what.to_owned() }
}

/// The fault of a node that no leaf leads to.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn last_node(size: u64, level: u64, last: u64) -> Result<(), Fault> {
    let due = u8::try_from(level).map_or(0, |level| stored(size, level));
    if level > 0 && last < due {
        return Ok(());
    }
    let (row, what) = (format!("{level}/{last}"), "no leaves lead to it".to_owned());
    Err(Fault { table: "log_node", row, what })
}

fn root(tile: &[Digest32]) -> Option<Digest32> {
    let mut tree = Frontier::new();
    tile.iter().try_for_each(|hash| tree.push(*hash)).ok()?;
    Some(tree.root())
}

fn fault(leaf: u64, what: String) -> Fault {
    Fault { table: "log_leaf", row: leaf.to_string(), what }
}

/// What is said of a leaf whose entry recorded something else.
pub(crate) const NOT_ITS_KIND: &str = "no entry of its kind recorded it";

/// Of 8 KiB each.
const TILES_AT_ONCE: u64 = 16;
