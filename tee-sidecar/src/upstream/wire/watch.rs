//! How long an engine may be silent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Tells when an engine was silent for too long. Its timer is set once and moved on only when it
/// goes off: most reads never touch it.
#[derive(Default)]
pub(super) struct Watch {
    silence: Duration,
    /// Since when the engine is waited for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch {
    /// Over an engine that may be silent for so long.
    pub(super) fn of(silence: Duration) -> Self {
        Self { silence, ..Self::default() }
    }

    /// Something came.
    pub(super) fn came(&mut self) {
        self.since = None;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = *self.since.get_or_insert_with(Instant::now) + self.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}
