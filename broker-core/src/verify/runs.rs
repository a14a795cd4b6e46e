//! Which numbers were there: as runs, so that memory grows with the gaps and not with the numbers.

use std::collections::BTreeMap;

/// A set of numbers that are nearly all there.
#[derive(Clone, Debug, Default)]
pub struct Runs(BTreeMap<u64, u64>);

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    New,
    Again,
    /// There are too many runs to keep another one.
    Scattered,
}

impl Runs {
    pub(super) fn put(&mut self, number: u64) -> Put {
        let before = self.0.range(..=number).next_back().map(|(from, to)| (*from, *to));
        if before.is_some_and(|(_, to)| to >= number) {
            return Put::Again;
        }
        let joins = before.filter(|(_, to)| to.checked_add(1) == Some(number));
        let behind = number.checked_add(1).and_then(|next| self.0.remove(&next));
        let to = behind.unwrap_or(number);
        let from = joins.map_or(number, |(from, _)| from);
        if joins.is_none() && behind.is_none() && self.0.len() >= RUNS_MAX {
            return Put::Scattered;
        }
        self.0.insert(from, to);
        Put::New
    }

    /// The runs, each with its first and its last number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(from, to)| (*from, *to))
    }

    /// The first and the last number; `None` without any.
    pub fn ends(&self) -> Option<(u64, u64)> {
        let first = *self.0.first_key_value()?.0;
        Some((first, *self.0.last_key_value()?.1))
    }

    /// What is missing from `from` up to `to`, each with its first and its last number.
    pub fn gaps(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut next = Some(from);
        let ends = self.iter().chain([(u64::MAX, u64::MAX)]);
        ends.filter_map(move |(start, end)| {
            let begin = next.filter(|begin| *begin <= to)?;
            if end < begin {
                return None;
            }
            next = end.checked_add(1);
            let last = start.checked_sub(1)?.min(to);
            (begin <= last && begin < start).then_some((begin, last))
        })
    }
}

/// Runs at most: some 32 MiB. A ledger leaves as many only after as many crashes.
const RUNS_MAX: usize = 1 << 19;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_the_set_of_what_was_put_and_gaps_the_rest(
            numbers in prop::collection::vec(1_u64..60, 0..90), from in 1_u64..60, to in 1_u64..60
        ) {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::new());
            for number in numbers {
                let put = if set.insert(number) { Put::New } else { Put::Again };
                prop_assert_eq!(runs.put(number), put);
            }
            let there: Vec<u64> = runs.iter().flat_map(|(from, to)| from..=to).collect();
            prop_assert_eq!(&there, &set.iter().copied().collect::<Vec<_>>());
            let missing: Vec<u64> = runs.gaps(from, to).flat_map(|(a, b)| a..=b).collect();
            let rest: Vec<u64> = (from..=to).filter(|number| !set.contains(number)).collect();
            prop_assert_eq!(missing, rest);
            prop_assert_eq!(runs.ends(), set.first().copied().zip(set.last().copied()));
        }
    }

    #[test]
    fn the_last_of_all_numbers_is_one_and_scattered_ones_end_in_a_refusal() {
        let mut runs = Runs::default();
        assert_eq!(runs.put(u64::MAX), Put::New);
        assert_eq!(runs.put(u64::MAX), Put::Again);
        assert_eq!(runs.gaps(u64::MAX, u64::MAX).count(), 0);
        for number in 0..RUNS_MAX as u64 - 1 {
            assert_eq!(runs.put(2 * number), Put::New);
        }
        assert_eq!(runs.put(1 << 40), Put::Scattered);
        assert_eq!(runs.put(1), Put::New);
    }
}
