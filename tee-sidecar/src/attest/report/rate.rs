//! How many reports may be begun over time.

use std::sync::Mutex;

use tokio::time::{Duration, Instant};

/// A bucket of permissions that fills at a steady rate.
pub(super) struct Rate {
    burst: u32,
    per_sec: u32,
    state: Mutex<State>,
}

struct State {
    left: u32,
    /// Up to when the bucket was filled.
    filled: Option<Instant>,
}

/// There is none left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Empty;

impl Rate {
    pub(super) fn new(burst: u32, per_sec: u32) -> Self {
        Self { burst, per_sec, state: Mutex::new(State { left: burst, filled: None }) }
    }

    /// Takes one permission.
    pub(super) fn take(&self) -> Result<(), Empty> {
        let now = Instant::now();
        let each = Duration::from_secs(1) / self.per_sec.max(1);
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let filled = *state.filled.get_or_insert(now);
        let due = now.duration_since(filled).as_nanos() / each.as_nanos().max(1);
        let due = u32::try_from(due).unwrap_or(u32::MAX).min(self.burst);
        if due > 0 {
            state.left = state.left.saturating_add(due).min(self.burst);
            // What a full bucket cannot hold is lost, the fraction of the next one is not.
            let full = state.left == self.burst;
            state.filled = Some(if full { now } else { filled + each * due });
        }
        state.left = state.left.checked_sub(1).ok_or(Empty)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_only_the_rate() {
        let rate = Rate::new(3, 4);
        assert_eq!([(); 4].map(|()| rate.take().is_ok()), [true, true, true, false]);
        tokio::time::advance(Duration::from_millis(249)).await;
        assert_eq!(rate.take(), Err(Empty));
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(rate.take(), Ok(()));
        assert_eq!(rate.take(), Err(Empty));
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!([(); 4].map(|()| rate.take().is_ok()), [true, true, true, false]);
    }
}
