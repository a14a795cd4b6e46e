//! How the making of reports goes, for the operator.

use std::sync::atomic::{AtomicU64, Ordering};

use broker_core::Timestamp;

/// Counts reports. Times are milliseconds since 1970, 0 for never.
#[derive(Debug, Default)]
pub(super) struct Tally {
    made: AtomicU64,
    failed: AtomicU64,
    kept: AtomicU64,
    last_made: AtomicU64,
    failing_since: AtomicU64,
}

/// How the making of reports went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Making {
    /// Reports that were made, each with a quote of its own.
    pub made: u64,
    /// Reports for which the TEE or a GPU gave no evidence that holds.
    pub failed: u64,
    /// Answers with a report that had been made before.
    pub kept: u64,
    /// When the last one was made.
    pub last_made: Option<Timestamp>,
    /// When the first of those failed behind which none was made.
    pub failing_since: Option<Timestamp>,
}

impl Tally {
    pub(super) fn made(&self, now: Timestamp) {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.last_made.fetch_max(now.0, Ordering::Relaxed);
        self.failing_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, now: Timestamp) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let (set, seen) = (Ordering::Relaxed, Ordering::Relaxed);
        let _failing_already = self.failing_since.compare_exchange(0, now.0, set, seen);
    }

    pub(super) fn kept(&self) {
        self.kept.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Making {
        let count = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let time = |cell| Some(Timestamp(count(cell))).filter(|at| at.0 > 0);
        Making {
            made: count(&self.made),
            failed: count(&self.failed),
            kept: count(&self.kept),
            last_made: time(&self.last_made),
            failing_since: time(&self.failing_since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_dated_from_the_first_and_forgotten_with_the_next_report() {
        let tally = Tally::default();
        assert_eq!(tally.read(), Making::default());
        tally.made(Timestamp(5));
        tally.failed(Timestamp(7));
        tally.failed(Timestamp(9));
        let told = tally.read();
        assert_eq!((told.made, told.failed, told.last_made), (1, 2, Some(Timestamp(5))));
        assert_eq!(told.failing_since, Some(Timestamp(7)));
        tally.made(Timestamp(11));
        assert_eq!(tally.read().failing_since, None);
    }
}
