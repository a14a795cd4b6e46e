//! Answers on their way out. Each keeps its exchange's place until the server has taken the last of
//! it: what lies in memory is bounded by the places, and a stop waits for answers under way.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures_util::Stream;

use crate::exchange::Permit;

/// What the server is handed at a time. It asks for more when it has room, so that a client that
/// reads slowly leaves the rest where it is instead of in a second copy.
const PIECE_BYTES: usize = 16 * 1024;
/// Whoever takes an answer slower than this, all in all, gives the place back: bytes a second.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// What nobody holds against a client.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer in one piece.
pub(super) struct Whole {
    bytes: Bytes,
    began: Instant,
    taken: u64,
    _place: Arc<Permit>,
}

/// The client takes its answer so slowly that the place is needed for others.
#[derive(Debug, thiserror::Error)]
#[error("the client reads too slowly")]
pub(super) struct TooSlow;

impl Whole {
    pub(super) fn new(bytes: Bytes, place: Arc<Permit>) -> Self {
        Self { bytes, began: Instant::now(), taken: 0, _place: place }
    }
}

/// Whether so many bytes should have been taken by then. Looked at with each piece: the last one
/// may take as long as it likes, since the system ends a connection that takes nothing at all.
fn is_late(elapsed: Duration, taken: u64) -> bool {
    elapsed > PATIENCE.saturating_add(Duration::from_secs(taken / BYTES_PER_SECOND_MIN))
}

impl MessageBody for Whole {
    type Error = TooSlow;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.taken.saturating_add(self.bytes.len() as u64))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, TooSlow>>> {
        if !self.bytes.is_empty() && is_late(self.began.elapsed(), self.taken) {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        let next = self.bytes.len().min(PIECE_BYTES);
        let piece = self.bytes.split_to(next);
        self.taken = self.taken.saturating_add(piece.len() as u64);
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}

/// An answer as it comes.
pub(super) struct Placed<S> {
    pub(super) pieces: S,
    pub(super) _place: Arc<Permit>,
}

impl<S: Stream + Unpin> Stream for Placed<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Pin::new(&mut self.pieces).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_an_answer_at_the_slowest_pace_is_never_late_and_who_trickles_is() {
        let after = Duration::from_secs;
        for megabytes in [0, 1, 64] {
            let taken = megabytes * 1024 * 1024;
            assert!(!is_late(after(taken / BYTES_PER_SECOND_MIN), taken), "{megabytes}");
        }
        assert!(!is_late(after(60), 0));
        assert!(is_late(after(61), PIECE_BYTES as u64 / 2));
        assert!(is_late(after(200), 128 * BYTES_PER_SECOND_MIN));
    }
}
