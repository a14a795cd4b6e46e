//! A buffered answer: collected, charged and signed, then handed over whole, byte for byte.

use broker_core::{Outcome, Usage, UsageSource};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::sleep;

use super::billing::Ending;
use super::meter::{Meter, Prompts};
use super::pump::{Head, Held, LEFT, unbilled};
use super::stop::stopping;
use super::whole::Said;
use super::{ANSWER_TIME_MAX, Answer, AnswerBody, Failed};
use crate::config::OnDisconnect;
use crate::fault::Fault;
use crate::route::Dialect;
use crate::upstream::{Reply, UpstreamBody, UpstreamError};

/// The longest buffered answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Told where an answer has no price.
const NO_PRICE: &str = "the model server does not count tokens here, so its answer has no price \
and is not handed over; nothing is charged";

/// Told instead of an answer that is longer than [`ANSWER_BYTES_MAX`], or took too long.
const TOO_LONG: &str = "the model server's answer is longer than 64 MiB, or took hours, and is not \
handed over; its prompt is charged: ask for less at once, or for a stream";

enum Collected {
    Whole(Bytes),
    Broken(UpstreamError),
    TooLong,
    ClientGone,
    Closing,
}

pub(super) async fn collect(held: Held, reply: Reply, mut head: Head) {
    let Reply { status, content_type, mut body, .. } = reply;
    let collected = read_all(&held, &mut body, &mut head).await;
    drop(body);
    match collected {
        Collected::Whole(bytes) if head.is_closed() => {
            // The host let the engine finish; the client was handed nothing of it.
            let mut ending = Ending::with_body(&[], Outcome::ClientGone, LEFT);
            let told = read(&held, &bytes, status);
            (ending.usage, ending.upstream_id) = (told.usage, told.upstream_id);
            ending.drained = held.exchange.shared.on_disconnect == OnDisconnect::Drain;
            let _ = held.close(ending).await;
        }
        Collected::Whole(bytes) => {
            let ending = read(&held, &bytes, status);
            if is_without_price(&held, &ending) {
                let id = &held.ask.id;
                tracing::warn!(receipt = %id, "the engine counts no tokens on this route");
                let fault = Fault::BadGateway(NO_PRICE);
                return held.fail(fault, Outcome::UpstreamError, head).await;
            }
            let answer = Answer { status, content_type, body: AnswerBody::Whole(bytes) };
            let told = match held.close(ending).await {
                Ok(()) => Ok(answer),
                Err(_) => Err(Failed { fault: unbilled(), has_ended: true }),
            };
            // Charged and signed: a client that left in this moment can ask for the signature.
            let _ = head.send(told);
        }
        Collected::Broken(error) => {
            let fault = held.explain(&error);
            held.fail(fault, Outcome::TruncatedUpstream, head).await;
        }
        Collected::TooLong => {
            // The engine did what it was asked for: its prompt is paid for.
            let usage = held.usage(&Meter::default(), Prompts::default());
            held.fail_charged(Fault::BadGateway(TOO_LONG), usage, head).await;
        }
        Collected::ClientGone => held.left_early().await,
        Collected::Closing => held.fail(stopping(), Outcome::Shutdown, head).await,
    }
}

/// A success that nobody counted, on a route where no estimate would be fair.
fn is_without_price(held: &Held, ending: &Ending) -> bool {
    held.request.route.dialect() == Dialect::Media
        && (200..300).contains(&ending.status)
        && ending.usage.source == UsageSource::None
}

async fn read_all(held: &Held, body: &mut UpstreamBody, head: &mut Head) -> Collected {
    let shared = &held.exchange.shared;
    let abort = shared.on_disconnect == OnDisconnect::Abort;
    let closing = shared.stop.closing();
    let late = sleep(ANSWER_TIME_MAX);
    tokio::pin!(closing, late);
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    loop {
        let read = tokio::select! {
            biased;
            () = &mut closing => return Collected::Closing,
            () = head.closed(), if abort => return Collected::ClientGone,
            read = body.next() => read,
            () = &mut late => return Collected::TooLong,
        };
        match read {
            Some(Ok(piece)) if first.is_empty() => first = piece,
            Some(Ok(piece)) => {
                if more.is_empty() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&piece);
            }
            Some(Err(error)) => return Collected::Broken(error),
            None if more.is_empty() => return Collected::Whole(first),
            None => return Collected::Whole(more.freeze()),
        }
        if more.len() > ANSWER_BYTES_MAX {
            return Collected::TooLong;
        }
    }
}

/// What a whole body says. Only a success with an answer in it is one; everything else is the
/// engine's error, passed on as it is, and costs nothing but what the engine counted.
fn read(held: &Held, body: &[u8], status: u16) -> Ending {
    let said = Said::read(held.request.route, body);
    let answered = (200..300).contains(&status) && said.as_ref().is_some_and(|s| s.answered);
    let outcome = if answered { Outcome::Complete } else { Outcome::UpstreamError };
    let mut ending = Ending::with_body(body, outcome, status);
    let Some(said) = said else { return ending };
    if let Some(fingerprint) = said.fingerprint.filter(|_| answered) {
        held.exchange.shared.fingerprint.tell(fingerprint);
    }
    let mut meter = Meter::default();
    meter.take(said.usage, said.text_bytes);
    // No text and no prompt says how many tokens an image or a second of speech is.
    let no_estimate = held.request.route.dialect() == Dialect::Media;
    ending.usage = match (answered, said.usage) {
        (false, None) => Usage::default(),
        (true, None) if no_estimate => Usage::default(),
        _ => held.usage(&meter, Prompts::default()),
    };
    ending.upstream_id = said.id;
    ending.finish_reason = said.finish_reason;
    ending
}
