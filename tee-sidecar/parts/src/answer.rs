//! A streamed answer: from the engine's events to what the client is handed.

use std::time::Duration;

use broker_core::{Digest32, ReceiptId};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tee_sidecar::exchange::event::Purpose;
use tee_sidecar::exchange::handover::hand_over;
use tee_sidecar::exchange::reader::Reader;
use tee_sidecar::exchange::request::UsageWanted;
use tee_sidecar::route::Dialect;

/// The length of an event with text.
const EVENT_BYTES: usize = 256;
const ID: &str = "0198c1f0-5c00-7000-8000-000000000001";

/// What vLLM sends for a chat of so many tokens to who asks for running usage: each event of
/// 256 bytes and a read of its own, and behind them the end, the total and `[DONE]`.
pub fn events(tokens: usize) -> Vec<Bytes> {
    let usage = |n: usize| {
        let total = n + 13;
        format!(r#"{{"prompt_tokens":13,"total_tokens":{total},"completion_tokens":{n}}}"#)
    };
    let event = |choices: &str, n: usize| {
        Bytes::from(format!(
            "data: {{\"id\":\"chatcmpl-7\",\"object\":\"chat.completion.chunk\",\
             \"created\":1750000000,\"model\":\"tiny\",\"choices\":[{choices}],\"usage\":{}}}\n\n",
            usage(n)
        ))
    };
    let said = |text: &str, reason: &str| {
        format!(r#"{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{reason}}}"#)
    };
    let mut events: Vec<_> = (1..=tokens)
        .map(|n| {
            let bare = event(&said("", "null"), n).len();
            event(&said(&"m".repeat(EVENT_BYTES.saturating_sub(bare)), "null"), n)
        })
        .collect();
    events.extend([event(&said("", r#""stop""#), tokens), event("", tokens)]);
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

/// Reads the events for a client that asked for no usage. The bytes that it gets.
///
/// # Panics
/// They are no whole answer.
pub fn scan(events: &[Bytes]) -> usize {
    let mut reader = reader();
    let pieces = events.iter().map(|read| reader.read(read).unwrap().piece.len()).sum::<usize>();
    pieces + reader.done.unwrap().len()
}

/// As [`scan`], and hands them over as they come. The hash of all that the client got, and its
/// bytes.
///
/// # Panics
/// They are no whole answer.
pub fn relay(events: &[Bytes]) -> (Digest32, u64) {
    let mut reader = reader();
    let (mut sender, mut receiver) = hand_over(&ReceiptId::parse(ID).unwrap());
    for read in events {
        let batch = reader.read(read).unwrap();
        if batch.events > 0 {
            let sent = sender.send(batch.piece, batch.events, batch.meter, Duration::ZERO);
            // There is a place and a piece: neither waits, and no runtime is needed.
            sent.now_or_never().unwrap().unwrap();
            receiver.next().now_or_never().unwrap().unwrap().unwrap();
        }
    }
    let done = reader.done.take().unwrap();
    let mark = sender.sent().after(&done, reader.done_events);
    sender.finish(done);
    receiver.next().now_or_never().unwrap().unwrap().unwrap();
    (mark.digest(), mark.bytes)
}

fn reader() -> Reader {
    let wanted = UsageWanted::default();
    let dialect = Dialect::Completions;
    Reader::new(Purpose { wanted, several: false, prompts: 1, per_prompt: 1, dialect }, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_events_are_those_of_a_chat_and_their_usage_is_cut() {
        let events = events(64);
        assert!(events.iter().take(64).all(|event| event.len() == EVENT_BYTES));
        let all: usize = events.iter().map(Bytes::len).sum();
        let (digest, bytes) = relay(&events);
        let bytes = usize::try_from(bytes).unwrap();
        assert!(bytes > 64 * 150 && bytes < all - 64 * 60, "{bytes}");
        assert_eq!(scan(&events), bytes);
        assert_ne!(digest, relay(&events[1..]).0);
    }
}
