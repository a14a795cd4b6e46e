//! What a leader has seen of the other instances with its own eyes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// An instance, and its last sign of life in microseconds of the database's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    pub(super) instance: Vec<u8>,
    pub(super) at: u64,
}

/// Since when each instance's sign of life is the same, as seen on one connection as leader.
///
/// The age of a sign alone says nothing: while the database was away nobody could give one, and
/// whoever comes back first must not take all the others for dead.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    known: HashMap<Vec<u8>, (u64, Instant)>,
    looked: Option<Instant>,
}

impl Sightings {
    /// Takes a look at all instances, and tells which have been silent for `limit` of watching.
    pub(super) fn silent(&mut self, signs: Vec<Sign>, now: Instant, limit: Duration) -> Vec<Sign> {
        let mut before = std::mem::take(&mut self.known);
        if self.looked.is_none_or(|looked| now.saturating_duration_since(looked) > GAP) {
            // Whatever held up this leader may have held up the others.
            before.clear();
        }
        self.looked = Some(now);
        let mut silent = Vec::new();
        for sign in signs {
            let first = match before.get(&sign.instance) {
                Some((at, first)) if *at == sign.at => *first,
                _ => now,
            };
            self.known.insert(sign.instance.clone(), (sign.at, first));
            if now.saturating_duration_since(first) >= limit {
                silent.push(sign);
            }
        }
        silent
    }
}

/// Between two looks at most, or it is not watching.
const GAP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn sign(name: u8, at: u64) -> Sign {
        Sign { instance: vec![name], at }
    }

    /// Looks each second from one second on, and gives the second in which somebody is silent.
    fn first_silent(
        sightings: &mut Sightings,
        mut now: Instant,
        seconds: u64,
        signs: impl Fn(u64) -> Vec<Sign>,
    ) -> Option<(u64, Vec<Sign>)> {
        (0..seconds).find_map(|second| {
            let silent = sightings.silent(signs(second), now, LIMIT);
            now = now.checked_add(Duration::from_secs(1)).unwrap();
            (!silent.is_empty()).then_some((second, silent))
        })
    }

    #[test]
    fn who_is_seen_silent_for_the_whole_time_is_dead_and_who_speaks_is_not() {
        let now = Instant::now();
        // However old the sign is when it is first seen.
        let signs = |second: u64| vec![sign(1, 7), sign(2, second / 29)];
        let found = first_silent(&mut Sightings::default(), now, 100, signs);
        assert_eq!(found, Some((30, vec![sign(1, 7)])));
    }

    #[test]
    fn who_was_gone_and_is_back_is_watched_from_the_beginning() {
        let now = Instant::now();
        let signs = |second: u64| if second == 20 { Vec::new() } else { vec![sign(1, 7)] };
        let found = first_silent(&mut Sightings::default(), now, 100, signs);
        assert_eq!(found.unwrap().0, 51);
    }

    #[test]
    fn a_leader_that_was_held_up_begins_again() {
        let now = Instant::now();
        let signs = |_| vec![sign(1, 7)];
        for (pause, again) in [(10, 1), (11, 30)] {
            let mut sightings = Sightings::default();
            assert_eq!(first_silent(&mut sightings, now, 20, signs), None);
            let later = now + Duration::from_secs(19 + pause);
            assert_eq!(first_silent(&mut sightings, later, 60, signs).unwrap().0, again);
        }
    }
}
