//! Whether an id is there twice, in flat memory: a filter names the few that may be, and a second
//! look at the receipts counts those.

use std::collections::BTreeMap;

use crate::receipt::ReceiptId;

/// A Bloom filter over ids. It never misses one that is there twice, and takes a few for such that
/// are not.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    bits: Vec<u64>,
    maybe: Recount,
    pub(super) full: bool,
}

/// How often ids are there that may be there twice.
#[derive(Clone, Debug, Default)]
pub struct Recount(BTreeMap<ReceiptId, u32>);

impl Seen {
    pub(super) fn new() -> Self {
        Self { bits: vec![0; WORDS], maybe: Recount::default(), full: false }
    }

    pub(super) fn put(&mut self, id: ReceiptId) {
        let bytes = id.0.as_u128();
        // The lower half of an id of ours has 62 random bits; of others' either half may have them.
        let folded = (bytes ^ (bytes >> 64)) as u64;
        let mut hash = folded.wrapping_mul(ODD);
        let mut again = true;
        for _ in 0..HASHES {
            let bit = hash >> (64 - BITS_LOG2);
            if let Some(word) = usize::try_from(bit >> 6).ok().and_then(|at| self.bits.get_mut(at))
            {
                let mask = 1_u64 << (bit & 63);
                again &= *word & mask != 0;
                *word |= mask;
            }
            hash = (hash ^ (hash >> 29)).wrapping_add(folded).wrapping_mul(ODD);
        }
        if again {
            if self.maybe.0.len() >= MAYBE_MAX {
                self.full = true;
                return;
            }
            self.maybe.0.insert(id, 0);
        }
    }

    pub(super) fn into_maybe(self) -> Recount {
        self.maybe
    }
}

impl Recount {
    /// Whether no id has to be looked at again.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ids that the second look did not find at all: what it looked at is not what the first did.
    pub fn lost(&self) -> usize {
        self.0.values().filter(|times| **times == 0).count()
    }

    /// Counts an id, in the second look.
    pub fn count(&mut self, id: &ReceiptId) {
        if let Some(times) = self.0.get_mut(id) {
            *times = times.saturating_add(1);
        }
    }

    /// The ids that are there more than once.
    pub fn repeated(&self) -> impl Iterator<Item = (ReceiptId, u32)> {
        self.0.iter().filter(|(_, times)| **times > 1).map(|(id, times)| (*id, *times))
    }
}

/// 16 MiB: of a million ids less than one is taken for a repeat, of ten million some thousands.
const BITS_LOG2: u32 = 27;
const WORDS: usize = 1 << (BITS_LOG2 - 6);
const HASHES: u32 = 4;
/// Ids that are looked at again, at most.
const MAYBE_MAX: usize = 1 << 18;
/// 2^64 over the golden ratio, odd.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn of_many_ids_those_that_are_there_twice_are_named_and_few_others_suspected() {
        let ids: Vec<_> = (0..100_000).map(|_| ReceiptId::mint(Timestamp(1))).collect();
        let again = [ids[7], ids[99_999], ids[7]];
        let mut seen = Seen::new();
        for id in ids.iter().chain(&again) {
            seen.put(*id);
        }
        let mut recount = seen.into_maybe();
        assert_eq!(recount.lost(), recount.0.len());
        assert!(recount.0.len() < 20, "{} are suspected", recount.0.len());
        for id in ids.iter().chain(&again) {
            recount.count(id);
        }
        assert_eq!(recount.lost(), 0);
        let mut repeated: Vec<_> = recount.repeated().collect();
        let mut wanted = vec![(ids[7], 3), (ids[99_999], 2)];
        repeated.sort();
        wanted.sort();
        assert_eq!(repeated, wanted);
    }
}
