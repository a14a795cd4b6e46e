//! Answers on their way out. Each keeps its exchange's place until the server has taken the last of
//! it: what lies in memory is bounded by the places, and a stop waits for answers under way.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use futures_util::Stream;

use crate::exchange::Permit;

/// What the server is handed at a time. It asks for more when it has room, so that a client that
/// reads slowly leaves the rest where it is instead of in a second copy.
const PIECE_BYTES: usize = 64 * 1024;

/// An answer in one piece.
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    pub(super) _place: Arc<Permit>,
}

impl MessageBody for Whole {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.bytes.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let next = self.bytes.len().min(PIECE_BYTES);
        let piece = self.bytes.split_to(next);
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
