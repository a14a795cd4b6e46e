//! The last step of an answer's bytes: from the pump to the HTTP layer, hashed and counted exactly
//! where they change hands.
//!
//! The pump's end hashes what it sends and remembers, for each piece still on its way, how matters
//! stood after it. The other end tells which piece it has handed on last. When a client leaves, the
//! pump goes back to that piece: hash, bytes and count are of what the client's side was given.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use broker_core::stream::Chain;
use broker_core::{Digest32, ReceiptId};
use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::meter::Meter;
use crate::signals::Probe;

/// Pieces on their way at most: enough to keep a socket busy, little enough to hold back an engine
/// whose client is slow.
const PIECES_MAX: usize = 16;

/// How matters stand after a piece.
#[derive(Clone)]
pub struct Mark {
    sequence: u64,
    hash: Sha256,
    /// The rolling hash up to here.
    pub chain: Chain,
    /// Bytes up to here.
    pub bytes: u64,
    /// Events up to here.
    pub events: u64,
    /// Tokens up to here.
    pub meter: Meter,
}

impl Mark {
    /// SHA-256 of the bytes up to here.
    pub fn digest(&self) -> Digest32 {
        Digest32(self.hash.clone().finalize().into())
    }

    /// This mark, moved behind `piece`.
    pub fn after(&self, piece: &[u8], events: u64) -> Self {
        let mut next = self.clone();
        next.hash.update(piece);
        next.chain.feed(piece);
        next.bytes = next.bytes.saturating_add(piece.len() as u64);
        next.events = next.events.saturating_add(events);
        next
    }
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Clone, Copy, Default)]
struct State {
    /// The piece handed on last.
    handed: u64,
    /// Nothing more is handed on.
    halted: bool,
    /// All that was sent is a whole answer.
    whole: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece, its number, and who times its way.
type Piece = (u64, Bytes, Option<Probe>);

/// The pump's end.
pub struct Sender {
    pieces: mpsc::Sender<Piece>,
    shared: Arc<Shared>,
    /// After the pieces on their way but the last one, oldest first, and after the piece before.
    marks: VecDeque<Mark>,
    /// After the last piece sent.
    last: Mark,
    /// Goes with the next piece.
    pub probe: Option<Probe>,
}

/// The HTTP layer's end: a body.
pub struct Receiver {
    pieces: mpsc::Receiver<Piece>,
    shared: Arc<Shared>,
    /// The server has had its chance to write what it was handed before the connection is cut.
    flushed: bool,
}

/// The client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The answer broke off: the connection must be closed, not ended as if it were whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off before its end")]
pub struct Cut;

/// The body of the answer that ends in this receipt, and the end that fills it.
pub fn hand_over(receipt: &ReceiptId) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let shared = Arc::<Shared>::default();
    let start = Mark {
        sequence: 0,
        hash: Sha256::new(),
        chain: Chain::new(receipt),
        bytes: 0,
        events: 0,
        meter: Meter::default(),
    };
    let marks = VecDeque::new();
    (
        Sender { pieces: sender, shared: shared.clone(), marks, last: start, probe: None },
        Receiver { pieces: receiver, shared, flushed: false },
    )
}

impl Sender {
    /// Sends a piece of `events` events, after which the tokens stand at `meter`. Waits while too
    /// many are on their way; the client may take so long to accept one of them.
    pub async fn send(
        &mut self,
        piece: Bytes,
        events: u64,
        meter: Meter,
        patience: Duration,
    ) -> Result<(), Gone> {
        let mut mark = self.last.after(&piece, events);
        mark.sequence = self.last.sequence.saturating_add(1);
        mark.meter = meter;
        // Remembered before it is sent: the other end may hand it on at once.
        let handed = self.shared.state().handed;
        while self.marks.front().is_some_and(|oldest| oldest.sequence < handed) {
            self.marks.pop_front();
        }
        self.marks.push_back(std::mem::replace(&mut self.last, mark));
        let piece = (self.last.sequence, piece, self.probe.take());
        match self.pieces.try_send(piece) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Gone),
            Err(TrySendError::Full(piece)) => {
                match timeout(patience, self.pieces.send(piece)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(Gone),
                }
            }
        }
    }

    /// Waits until everything sent has been handed on, as long as the next piece goes within
    /// `patience`.
    pub async fn drained(&self, patience: Duration) -> Result<(), Gone> {
        if self.pieces.try_reserve_many(PIECES_MAX).is_ok() {
            return Ok(());
        }
        for free in 1..=PIECES_MAX {
            match timeout(patience, self.pieces.reserve_many(free)).await {
                Ok(Ok(_places)) => {}
                Ok(Err(_)) | Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }

    /// Resolves when the client is gone. To be dropped before the sender: who waits for the end
    /// waits for this too.
    pub fn gone(&self) -> impl Future<Output = ()> + use<> {
        let pieces = self.pieces.clone();
        async move { pieces.closed().await }
    }

    /// How matters stand after the last piece sent.
    pub const fn sent(&self) -> &Mark {
        &self.last
    }

    /// Lets nothing more through and tells how matters stand after the last piece handed on. The
    /// connection is closed once the sender is dropped.
    pub fn halt(&self) -> Mark {
        let handed = {
            let mut state = self.shared.state();
            state.halted = true;
            state.handed
        };
        self.marks.iter().find(|mark| mark.sequence == handed).unwrap_or(&self.last).clone()
    }

    /// Sends the end of a whole answer. Whether it arrives is no longer our business.
    pub fn finish(self, end: Bytes) {
        self.shared.state().whole = true;
        let sequence = self.last.sequence.saturating_add(1);
        // Drained before: there is a place, unless the client is gone.
        let _ = self.pieces.try_send((sequence, end, None));
    }
}

impl Stream for Receiver {
    type Item = Result<Bytes, Cut>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Poll::Ready(piece) = self.pieces.poll_recv(cx) else { return Poll::Pending };
        let mut state = self.shared.state();
        match piece {
            Some((sequence, bytes, probe)) if !state.halted => {
                state.handed = sequence;
                drop(state);
                if let Some(probe) = probe {
                    probe.handed();
                }
                return Poll::Ready(Some(Ok(bytes)));
            }
            None if state.whole => return Poll::Ready(None),
            _ => {}
        }
        drop(state);
        if !self.flushed {
            // On an error the server drops what it has not written yet, be it the head of the
            // answer; when told to wait it writes first.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Cut)))
    }
}

#[cfg(test)]
mod tests {
    use broker_core::Timestamp;
    use futures_util::StreamExt;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_client_that_leaves_was_handed_what_it_took_and_no_more() {
        let (mut sender, mut receiver) = hand_over(&ReceiptId::mint(Timestamp(1)));
        for n in 0u8..5 {
            sender.send(Bytes::from(vec![n; 3]), 1, Meter::default(), SOON).await.unwrap();
        }
        assert_eq!(receiver.next().await.unwrap().unwrap(), vec![0u8; 3]);
        assert_eq!(receiver.next().await.unwrap().unwrap(), vec![1u8; 3]);
        drop(receiver);
        sender.gone().await;
        let handed = sender.halt();
        assert_eq!((handed.bytes, handed.events), (6, 2));
        assert_eq!(handed.digest(), Digest32::sha256(&[0, 0, 0, 1, 1, 1]));
        assert_eq!(sender.send(Bytes::new(), 0, Meter::default(), SOON).await, Err(Gone));
        assert_eq!(sender.halt().bytes, 6);
    }

    #[tokio::test]
    async fn a_client_that_accepts_nothing_for_too_long_is_gone() {
        let (mut sender, mut receiver) = hand_over(&ReceiptId::mint(Timestamp(1)));
        for _ in 0..PIECES_MAX {
            sender.send(Bytes::from_static(b"x"), 1, Meter::default(), SOON).await.unwrap();
        }
        let patience = Duration::from_millis(20);
        let waited = sender.send(Bytes::from_static(b"y"), 1, Meter::default(), patience).await;
        assert_eq!(waited, Err(Gone));
        assert!(receiver.next().await.unwrap().is_ok());
        assert_eq!(sender.halt().bytes, 1);
    }

    #[tokio::test]
    async fn nothing_passes_after_the_count_was_taken() {
        let (mut sender, mut receiver) = hand_over(&ReceiptId::mint(Timestamp(1)));
        for _ in 0..3 {
            sender.send(Bytes::from_static(b"x"), 1, Meter::default(), SOON).await.unwrap();
        }
        receiver.next().await.unwrap().unwrap();
        assert_eq!(sender.halt().bytes, 1);
        assert_eq!(receiver.next().await, Some(Err(Cut)));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_finished_ends_as_cut() {
        let (mut sender, mut receiver) = hand_over(&ReceiptId::mint(Timestamp(1)));
        sender.send(Bytes::from_static(b"x"), 1, Meter::default(), SOON).await.unwrap();
        drop(sender);
        assert!(receiver.next().await.unwrap().is_ok());
        assert_eq!(receiver.next().await, Some(Err(Cut)));
    }

    #[tokio::test]
    async fn the_end_comes_only_after_everything_else_was_handed_on() {
        let (mut sender, mut receiver) = hand_over(&ReceiptId::mint(Timestamp(1)));
        sender.send(Bytes::from_static(b"a"), 1, Meter::default(), SOON).await.unwrap();
        assert_eq!(sender.drained(Duration::from_millis(20)).await, Err(Gone));
        receiver.next().await.unwrap().unwrap();
        sender.drained(Duration::from_secs(5)).await.unwrap();
        sender.finish(Bytes::from_static(b"z"));
        assert_eq!(receiver.next().await.unwrap().unwrap(), "z");
        assert_eq!(receiver.next().await, None);
    }
}
