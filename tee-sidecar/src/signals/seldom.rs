//! A line of the log that may come with every exchange.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one through a minute.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    /// Those since, which were not.
    untold: u64,
}

/// The time between two that are let through.
const PAUSE: Duration = Duration::from_secs(60);

impl Seldom {
    /// It happened once more. How often it has since it was last told, where it is to be told now.
    pub fn due(&self) -> Option<u64> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = state.untold.saturating_add(1);
        let is_due = state.told.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE);
        *state = match is_due {
            true => State { told: Some(now), untold: 0 },
            false => State { untold: times, ..*state },
        };
        is_due.then_some(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_and_those_of_a_minute_together() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let at = |secs| seldom.due_at(start + Duration::from_secs(secs));
        assert_eq!([at(0), at(0), at(1), at(59)], [Some(1), None, None, None]);
        assert_eq!([at(60), at(61), at(200)], [Some(4), None, Some(2)]);
    }
}
