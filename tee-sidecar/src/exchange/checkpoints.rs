//! Signed marks within a stream, for clients that ask for them: with one of them and the bytes
//! before it a client can prove what it was sent, and what that costs, although the answer never
//! ended.

use std::num::NonZeroU64;

use broker_core::stream::Checkpoint;
use bytes::Bytes;

use super::handover::Mark;
use super::meter::Prompts;
use super::pump::Held;

/// When the next checkpoint of a stream is due.
pub(super) struct Checkpoints {
    every: Option<NonZeroU64>,
    /// Events up to the last one, itself included.
    last: u64,
}

impl Checkpoints {
    /// One behind every so many events, or none.
    pub(super) const fn every(events: Option<NonZeroU64>) -> Self {
        Self { every: events, last: 0 }
    }

    /// How many events may be handed over at once behind this mark for no checkpoint to come late.
    pub(super) fn distance(&self, mark: &Mark) -> u64 {
        let Some(every) = self.every else { return u64::MAX };
        let behind = mark.chain.events().saturating_sub(self.last);
        every.get().saturating_sub(behind).max(1)
    }

    /// The comment that carries the checkpoint at `mark`, if one is due there.
    pub(super) fn due(&mut self, held: &Held, mark: &Mark, prompts: Prompts) -> Option<Bytes> {
        let every = self.every?;
        let events = mark.chain.events();
        if !mark.chain.is_between_events() {
            return None;
        }
        if events.saturating_sub(self.last) < every.get() {
            return None;
        }
        self.last = events.saturating_add(1);
        let usage = held.usage(&mark.meter, prompts);
        let hold = &held.hold;
        let request = hold.request_hash();
        let fee = hold.fee(&usage);
        let checkpoint = Checkpoint::at(&mark.chain, held.ask.id, request, &usage, fee);
        let shared = &held.exchange.shared;
        let identity = shared.identities.signing();
        Some(Bytes::from(checkpoint.comment(identity.author())))
    }
}
