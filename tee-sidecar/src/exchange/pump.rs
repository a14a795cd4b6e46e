//! The task that owns an exchange from its hold to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_core::{Digest32, Hold, Outcome, TokenBound, Usage, UsageSource};
use tokio::sync::oneshot;

use super::billing::{Ending, OpenHold, Told, Unbilled};
use super::meter::{Meter, Prompts};
use super::request::Request;
use super::stop::stopping;
use super::{Answer, Ask, Exchange, Failed, buffered, streamed};
use crate::config::OnDisconnect;
use crate::fault::Fault;
use crate::route::Dialect;
use crate::signals::{Step, record};
use crate::upstream::{Post, Reply, Tag, UpstreamError};

/// An admitted request, not yet held.
pub(super) struct Pump {
    pub(super) exchange: Exchange,
    pub(super) ask: Ask,
    pub(super) request: Request,
    pub(super) bound: TokenBound,
    pub(super) answer: oneshot::Sender<Result<Answer, Failed>>,
}

/// A request whose money is set aside and that the engine may see.
pub(super) struct Held {
    pub(super) exchange: Exchange,
    pub(super) ask: Ask,
    pub(super) request: Request,
    pub(super) bound: TokenBound,
    pub(super) hold: OpenHold,
    /// An engine was given some of the request.
    pub(super) forwarded: Arc<AtomicBool>,
}

/// The status in the receipt of a client that left before there was one: nginx's word for it.
pub(super) const LEFT: u16 = 499;

/// Where the head of the answer is waited for.
pub(super) type Head = oneshot::Sender<Result<Answer, Failed>>;

impl Pump {
    pub(super) async fn run(self, hold: Hold) {
        let Self { exchange, ask, request, bound, mut answer } = self;
        let hold = match OpenHold::reserve(&exchange.shared, hold).await {
            Ok(hold) => hold,
            Err(fault) => return drop(answer.send(Err(fault.into()))),
        };
        ask.visit.reached(Step::Held);
        let forwarded = Arc::default();
        let held = Held { exchange, ask, request, bound, hold, forwarded };
        match held.forward(&mut answer).await {
            Forwarded::Answered(reply) => {
                if held.request.stream && reply.status == 200 && is_event_stream(&reply) {
                    streamed::relay(held, reply, answer).await;
                } else {
                    buffered::collect(held, reply, answer).await;
                }
            }
            Forwarded::Failed(fault) => held.fail(fault, Outcome::UpstreamError, answer).await,
            Forwarded::ClientGone => held.left_early().await,
            Forwarded::Closing => held.fail(stopping(), Outcome::Shutdown, answer).await,
        }
    }
}

enum Forwarded {
    Answered(Reply),
    Failed(Fault),
    ClientGone,
    Closing,
}

impl Held {
    async fn forward(&self, answer: &mut Head) -> Forwarded {
        let shared = &self.exchange.shared;
        let id = self.ask.id.to_string();
        let Request { route, forwarded, content_type, stream, .. } = &self.request;
        let call = async {
            let tag = Tag { id: &id, trace: &self.ask.visit.trace };
            let (body, begun) = (forwarded.clone(), self.forwarded.clone());
            let post = Post { route: *route, content_type, body, begun };
            let call = self.exchange.engine.post(post, tag, *stream);
            shared.signals.engine.timed(&self.ask.visit, call).await
        };
        let abort = shared.on_disconnect == OnDisconnect::Abort;
        tokio::select! {
            biased;
            () = shared.stop.closing() => Forwarded::Closing,
            () = answer.closed(), if abort => Forwarded::ClientGone,
            reply = call => match reply {
                Ok(reply) if reply.encoded => {
                    tracing::warn!(request_id = self.ask.request_id, "encoded answer");
                    Forwarded::Failed(Fault::BadGateway(
                        "the model server sent an encoded body although none was asked for",
                    ))
                }
                Ok(reply) => Forwarded::Answered(reply),
                Err(error) => Forwarded::Failed(self.explain(&error)),
            },
        }
    }

    /// Tells the operator what the engine did, and the client what it means.
    pub(super) fn explain(&self, error: &UpstreamError) -> Fault {
        let Ask { id, request_id, visit, .. } = &self.ask;
        let trace_id = visit.trace.id();
        tracing::warn!(request_id, trace_id, receipt = %id, %error, "engine");
        self.exchange.shared.signals.engine.failed(error);
        match error {
            UpstreamError::Connect(_) => {
                Fault::BadGateway("the model server cannot be reached; try again")
            }
            UpstreamError::Timeout(_) => Fault::GatewayTimeout,
            UpstreamError::Gone(_) | UpstreamError::Broken(_) => {
                Fault::BadGateway("the model server's answer broke off")
            }
        }
    }

    /// Ends with an answer of ours instead of the engine's; nothing is charged.
    pub(super) async fn fail(self, fault: Fault, outcome: Outcome, answer: Head) {
        self.fail_with(fault, outcome, Usage::default(), answer).await;
    }

    /// As [`Self::fail`], where the engine was at work for the client, who pays `usage`.
    pub(super) async fn fail_charged(self, fault: Fault, usage: Usage, answer: Head) {
        self.fail_with(fault, Outcome::TruncatedUpstream, usage, answer).await;
    }

    async fn fail_with(self, fault: Fault, outcome: Outcome, usage: Usage, answer: Head) {
        let envelope = self.ask.envelope;
        let body = fault.body(envelope, &self.ask.request_id);
        let mut ending = Ending::with_body(&body, outcome, fault.status_in(envelope));
        ending.usage = usage;
        let fault = self.close(ending).await.map_or_else(|_| unbilled(), |()| fault);
        let _ = answer.send(Err(Failed { fault, has_ended: true }));
    }

    /// The client left before it was handed anything: it pays its prompt, if the engine got that.
    pub(super) async fn left_early(self) {
        let mut ending = Ending::with_body(&[], Outcome::ClientGone, LEFT);
        if self.forwarded.load(Ordering::Relaxed) {
            ending.usage = self.usage(&Meter::default(), Prompts::default());
        }
        let _ = self.close(ending).await;
    }

    /// What the receipt says of the request.
    fn told(&self) -> Told {
        let Self { ask, request, hold, .. } = self;
        let forwarded = self.forwarded.load(Ordering::Relaxed);
        let forwarded_hash = forwarded.then(|| match request.is_unchanged() {
            true => hold.request_hash(),
            false => Digest32::sha256(&request.forwarded),
        });
        let model = request.model.clone();
        let (method, endpoint) = ("POST".to_owned(), ask.route.path());
        Told { method, unread: false, endpoint, model, forwarded_hash }
    }

    /// What is charged for where the count stands at `meter`.
    pub(super) fn usage(&self, meter: &Meter, prompts: Prompts) -> Usage {
        match self.request.route.dialect() {
            // No text and no prompt says how many tokens an image or a second of speech is. What
            // was streamed by now cannot be withheld any more.
            Dialect::Media if meter.last.is_none() && !self.request.stream => Usage::default(),
            Dialect::Uncounted => Usage::default(),
            _ => meter.usage(prompts, self.request.size.prompt_bytes, self.bound),
        }
    }

    /// Signs and charges, durably. On an error the end of the answer must not leave.
    pub(super) async fn close(self, ending: Ending) -> Result<(), Unbilled> {
        self.ask.visit.engine_ended();
        let told = self.told();
        let Self { exchange, ask, hold, bound, .. } = self;
        let (usage, status) = (ending.usage, ending.status);
        let exchanges = &exchange.shared.signals.exchanges;
        if usage.output > bound.output
            && let Some(times) = exchange.shared.signals.overcounted.due()
        {
            tracing::warn!(receipt = %ask.id, tokens = usage.output, bound = bound.output, times,
                "the engine counts more tokens than were asked for");
        }
        if usage.source == UsageSource::Engine && usage.output == 0 && ending.events > 2 {
            tracing::warn!(receipt = %ask.id, events = ending.events,
                "the engine sends text and counts no tokens");
        }
        match hold.close(ending, told, &exchange.shared).await {
            Ok(receipt) => {
                ask.permit.used(usage.input.saturating_add(usage.output));
                exchanges.ended(ask.route.path(), &receipt, &ask.visit);
                record::ended(&ask.request_id, ask.route.path(), &receipt, &ask.visit);
                Ok(())
            }
            Err(error) => {
                let of = (&*ask.request_id, ask.id);
                record::unbilled(of, ask.route.path(), status, &error, &ask.visit);
                exchanges.unbilled(ask.route.path(), status);
                Err(error)
            }
        }
    }
}

fn is_event_stream(reply: &Reply) -> bool {
    let media_type = reply.content_type.as_deref().and_then(|text| text.split(';').next());
    media_type.is_some_and(|t| t.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Told instead of an answer that could not be charged.
pub(super) fn unbilled() -> Fault {
    let retry_after = std::time::Duration::from_secs(1);
    Fault::Unavailable { message: "this server's ledger is not available".into(), retry_after }
}
