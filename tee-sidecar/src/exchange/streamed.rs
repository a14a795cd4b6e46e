//! A streamed answer, from the engine to the client, event by event.

use std::time::Duration;

use broker_core::{Outcome, Usage};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{sleep, timeout};

use super::billing::Ending;
use super::checkpoints::Checkpoints;
use super::handover::{Gone, Mark, Sender, hand_over};
use super::pump::{Head, Held};
use super::reader::{Batch, Reader};
use super::{ANSWER_TIME_MAX, Answer, AnswerBody};
use crate::config::OnDisconnect;
use crate::route::Dialect;
use crate::signals::Probes;
use crate::upstream::{Reply, UpstreamBody};

/// How far a stream is read on after its client has left, where the host wants that.
const DRAIN_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// How long an engine may take to close a stream behind its end, so that the connection can be used
/// again; what follows the end of a typed stream has to come within this time too.
const CLOSING_TIME: Duration = Duration::from_millis(200);

/// How a stream ended.
enum End {
    /// With its own end, `[DONE]` or another one, here held back.
    Whole(Bytes),
    /// Without.
    Truncated,
    /// The client left, or took nothing for too long.
    ClientGone,
    /// The sidecar is stopping.
    Closing,
}

pub(super) async fn relay(held: Held, reply: Reply, head: Head) {
    let Reply { status, content_type, mut body, .. } = reply;
    let (mut sender, receiver) = hand_over(&held.ask.id);
    let answer = Answer { status, content_type, body: AnswerBody::Stream(receiver) };
    // A client that is gone by now dropped the receiver: the loop below sees it.
    let _ = head.send(Ok(answer));
    let purpose = held.request.purpose();
    let fingerprint = &held.exchange.shared.fingerprint;
    // What another engine told is not put into this one's answer.
    let known = fingerprint.last().filter(|_| held.exchange.shared.catalog.engines().is_single());
    let mut reader = Reader::new(purpose, known);
    let end = forward(&held, &mut body, &mut reader, &mut sender).await;
    if let Some(told) = reader.fingerprint.take() {
        fingerprint.tell(told);
    }
    let end = match end {
        End::Whole(done) => match drained(&held, &sender).await {
            Handed::All => End::Whole(done),
            Handed::ClientGone => {
                // The engine has ended: there is nothing to read on to.
                reader.done = Some(done);
                End::ClientGone
            }
            Handed::Closing => End::Closing,
        },
        other => other,
    };
    match end {
        End::Whole(done) => {
            let mut tail = body;
            // Most often what closes a stream came together with its end.
            if let Some(None | Some(Err(_))) = tail.next().now_or_never() {
                drop(tail);
            } else {
                tokio::spawn(async move {
                    let rest = async { while let Some(Ok(_)) = tail.next().await {} };
                    let _ = timeout(CLOSING_TIME, rest).await;
                });
            }
            let success = reader.answered && !reader.failed;
            let outcome = if success { Outcome::Complete } else { Outcome::UpstreamError };
            let mut mark = sender.sent().after(&done, reader.done_events);
            // The total may have been cut out for the client; it counts all the same.
            mark.meter = reader.meter;
            if close(held, &reader, &mark, outcome, false).await {
                sender.finish(done);
            }
        }
        End::Truncated => {
            drop(body);
            // What is on its way may still arrive; then the connection is closed.
            drained(&held, &sender).await;
            let mark = sender.halt();
            close(held, &reader, &mark, Outcome::TruncatedUpstream, false).await;
        }
        End::Closing => {
            drop(body);
            let mark = sender.halt();
            close(held, &reader, &mark, Outcome::Shutdown, false).await;
        }
        End::ClientGone => gone(held, body, reader, &sender).await,
    }
}

/// Whether everything sent was handed on.
enum Handed {
    All,
    ClientGone,
    Closing,
}

/// Waits until everything sent has been handed on, as long as the client may take for it.
async fn drained(held: &Held, sender: &Sender) -> Handed {
    let shared = &held.exchange.shared;
    tokio::select! {
        biased;
        drained = sender.drained(shared.client_idle) => match drained {
            Ok(()) => Handed::All,
            Err(_) => Handed::ClientGone,
        },
        () = shared.stop.closing() => Handed::Closing,
    }
}

/// Moves events until the stream ends in one of its ways.
async fn forward(
    held: &Held,
    body: &mut UpstreamBody,
    reader: &mut Reader,
    sender: &mut Sender,
) -> End {
    let shared = &held.exchange.shared;
    let closing = shared.stop.closing();
    let late = sleep(ANSWER_TIME_MAX);
    let gone = sender.gone();
    tokio::pin!(closing, late, gone);
    let mut checkpoints = Checkpoints::every(held.ask.checkpoint_events);
    let mut probes = Probes::new(&shared.signals, &held.ask.visit);
    loop {
        let read = tokio::select! {
            biased;
            () = &mut closing => return End::Closing,
            () = &mut gone => return End::ClientGone,
            () = &mut late => return End::Truncated,
            read = body.next() => read,
        };
        sender.probe = probes.read(sender.probe.take());
        let ended = !matches!(read, Some(Ok(_)));
        let mut read = match read {
            Some(Ok(bytes)) => reader.read_up_to(checkpoints.distance(sender.sent()), &bytes),
            Some(Err(error)) => {
                held.explain(&error);
                Ok(reader.finish())
            }
            None => Ok(reader.finish()),
        };
        loop {
            let Ok(batch) = read else {
                tracing::warn!(receipt = %held.ask.id, "an event without end");
                return End::Truncated;
            };
            let has_more = batch.has_more;
            // Behind the last bytes of a stream that broke off nothing is added.
            let due = Some(&mut checkpoints).filter(|_| !ended);
            tokio::select! {
                biased;
                sent = hand_on(held, batch, reader, sender, due) => match sent {
                    Ok(()) => {}
                    Err(Gone) => return End::ClientGone,
                },
                () = &mut closing => return End::Closing,
            }
            if !has_more {
                break;
            }
            read = reader.read_up_to(checkpoints.distance(sender.sent()), &[]);
        }
        if reader.done.is_some() && reader.may_go_on() && !ended {
            let _ = timeout(CLOSING_TIME, read_tail(body, reader)).await;
        }
        match reader.done.take() {
            Some(done) => return End::Whole(done),
            None if ended => return End::Truncated,
            None => {}
        }
    }
}

/// Hands a batch over, and the checkpoint that is due behind it.
async fn hand_on(
    held: &Held,
    batch: Batch,
    reader: &Reader,
    sender: &mut Sender,
    checkpoints: Option<&mut Checkpoints>,
) -> Result<(), Gone> {
    let (meter, patience) = (batch.meter, held.exchange.shared.client_idle);
    if batch.events == 0 {
        return Ok(());
    }
    sender.send(batch.piece, batch.events, meter, patience).await?;
    let due = checkpoints.and_then(|due| due.due(held, sender.sent(), reader.prompts()));
    match due {
        Some(comment) => sender.send(comment, 1, meter, patience).await,
        None => Ok(()),
    }
}

/// Reads what the engine sends behind the end of a typed stream.
async fn read_tail(body: &mut UpstreamBody, reader: &mut Reader) {
    while reader.may_go_on() {
        let Some(Ok(bytes)) = body.next().await else { return };
        if reader.read(&bytes).is_err() {
            return;
        }
    }
}

/// Charges what was handed over, or the engine's final count where the host reads on.
async fn gone(held: Held, mut body: UpstreamBody, mut reader: Reader, sender: &Sender) {
    let mut mark = sender.halt();
    let drain = held.exchange.shared.on_disconnect == OnDisconnect::Drain;
    if drain {
        read_on(&held, &mut body, &mut reader).await;
        mark.meter = reader.meter;
    } else if is_counted_at_the_end_only(&held, &mark) {
        // For the count of its prompt only: what was not handed over is not paid for.
        read_on(&held, &mut body, &mut reader).await;
    }
    drop(body);
    close(held, &reader, &mark, Outcome::ClientGone, drain).await;
}

/// Whether nothing but the end of the stream tells what the prompt is. Responses are not counted
/// before; where pictures or files are in one, leaving before the end would make them free.
fn is_counted_at_the_end_only(held: &Held, mark: &Mark) -> bool {
    held.request.route.dialect() == Dialect::Responses
        && held.request.size.unseen
        && mark.meter.last.is_none()
}

async fn read_on(held: &Held, body: &mut UpstreamBody, reader: &mut Reader) {
    let closing = held.exchange.shared.stop.closing();
    let late = sleep(ANSWER_TIME_MAX);
    tokio::pin!(closing, late);
    let mut bytes_read: u64 = 0;
    while reader.done.is_none() && bytes_read < DRAIN_BYTES_MAX {
        let read = tokio::select! {
            biased;
            () = &mut closing => return,
            () = &mut late => return,
            read = body.next() => read,
        };
        let Some(Ok(bytes)) = read else { return };
        bytes_read = bytes_read.saturating_add(bytes.len() as u64);
        if reader.read(&bytes).is_err() {
            return;
        }
    }
}

/// Signs and charges what stands at `mark`; true when that is durable.
async fn close(held: Held, reader: &Reader, mark: &Mark, outcome: Outcome, drained: bool) -> bool {
    let mut ending = Ending::at(mark, outcome, 200);
    // Of speech in events that are none we know, any may be text.
    let is_speech = held.request.route.dialect() == Dialect::Media;
    let unknown_text = is_speech && mark.events > 0 && reader.said;
    let counted_nothing = mark.meter.last.is_none() && mark.meter.uncounted_bytes == 0;
    let nothing_handed = counted_nothing && !unknown_text;
    // Whole answers and clients that left pay their prompt; a failure of the engine's or of ours
    // that came before any answer costs nothing.
    let pays = matches!(outcome, Outcome::Complete | Outcome::ClientGone) || !nothing_handed;
    ending.usage = if pays { held.usage(&mark.meter, reader.prompts()) } else { Usage::default() };
    ending.upstream_id.clone_from(&reader.upstream_id);
    ending.drained = drained;
    // Of what was read and not handed over the receipt says nothing.
    if matches!(outcome, Outcome::Complete | Outcome::UpstreamError) {
        ending.finish_reason.clone_from(&reader.finish_reason);
    }
    held.close(ending).await.is_ok()
}
