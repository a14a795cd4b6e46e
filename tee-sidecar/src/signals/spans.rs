//! Spans of exchanges for a collector: which traces are exported, what is gathered for them on the
//! way, and the queue to whoever exports them.
//!
//! A span says what the record of the log says ([`super::record`]), the model by the name that it
//! is served under, and the engine's address; no more. Nothing waits for
//! it: where the queue is full it is dropped and counted.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_core::{Fraction, Neuron, ReceiptId, Usage, UserId};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::trace::{SAMPLED, Trace, span};
use super::{Step, Visit};
use crate::upstream::UpstreamError;

/// Spans that were and were not exported, and whether any are.
#[derive(Debug)]
pub struct Spans {
    exporting: OnceLock<Arc<Exporting>>,
    exported: Counter,
    dropped: Counter,
}

#[derive(Debug)]
struct Exporting {
    queue: Sender<Told>,
    /// Of the traces that begin here, so many.
    ratio: Fraction,
    dropped: Counter,
}

/// What is gathered of an exchange whose spans are exported.
pub struct Watch {
    exporting: Arc<Exporting>,
    /// The id of the exchange's own span. That of the engine's part is the trace's.
    span: [u8; 8],
    engine: Mutex<EnginePart>,
}

/// What was seen of the engine's part. Times are since the arrival of the exchange.
#[derive(Clone, Debug, Default)]
pub struct EnginePart {
    /// When it was asked.
    pub asked: Option<Duration>,
    /// When there was nothing more to come from it.
    pub ended: Option<Duration>,
    /// The address of the last one that was tried.
    pub url: Option<String>,
    /// How many were tried.
    pub tries: u32,
    /// The status of its answer.
    pub status: Option<u16>,
    /// How it failed before there was an answer, in one word.
    pub error: Option<&'static str>,
}

/// An exchange that ended, as its spans tell it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its place in a trace.
    pub trace: Trace,
    /// The id of its own span.
    pub span: [u8; 8],
    /// When it ended, in nanoseconds since 1970.
    pub ended: u64,
    /// How long it took.
    pub total: Duration,
    /// How long after the arrival each step was passed, in their order.
    pub steps: [Option<Duration>; 3],
    /// The engine's part.
    pub engine: EnginePart,
    /// How it ended.
    pub end: End,
}

/// How an exchange ended, for its spans.
#[derive(Clone, Debug)]
pub struct End {
    /// The id that went through the logs.
    pub request_id: String,
    /// The receipt's id.
    pub receipt: ReceiptId,
    /// The HTTP method.
    pub method: String,
    /// The route.
    pub route: &'static str,
    /// In one of our own words.
    pub outcome: &'static str,
    /// Why it was refused, the same.
    pub reason: Option<&'static str>,
    /// HTTP status.
    pub status: u16,
    /// What there is of one that was not refused.
    pub bill: Option<Bill>,
    /// Whose it is.
    pub user: Option<UserId>,
}

/// What an exchange came to.
#[derive(Clone, Debug)]
pub struct Bill {
    /// The model, by a name that it is served under.
    pub model: Option<String>,
    /// What was charged for.
    pub usage: Usage,
    /// What was charged.
    pub fee: Neuron,
    /// Bytes handed over.
    pub bytes: u64,
    /// Events of a stream handed over.
    pub events: u64,
}

impl Spans {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (exported, dropped) = (Counter::default(), Counter::default());
        let help = "Spans that the collector took";
        registry.register("trace_spans_exported", help, exported.clone());
        let help =
            "Spans that were dropped: the queue was full, or the collector did not take them";
        registry.register("trace_spans_dropped", help, dropped.clone());
        Self { exporting: OnceLock::new(), exported, dropped }
    }

    /// From now on spans are gathered, of this part of the traces that begin here and of those
    /// whose clients ask for it; at most `places` exchanges wait. `None` where they are already.
    pub fn begin(&self, ratio: Fraction, places: usize) -> Option<Receiver<Told>> {
        let (queue, told) = channel(places);
        let exporting = Exporting { queue, ratio, dropped: self.dropped.clone() };
        self.exporting.set(Arc::new(exporting)).is_ok().then_some(told)
    }

    /// Decides whether a trace is exported, and has the engine be told so.
    pub fn place(&self, mut trace: Trace) -> Trace {
        let Some(exporting) = self.exporting.get() else { return trace };
        let is_wanted = match trace.parent {
            Some(_) => trace.flags & SAMPLED != 0,
            None => drawn(trace.id, exporting.ratio),
        };
        if is_wanted {
            trace.flags |= SAMPLED;
            let (exporting, engine) = (exporting.clone(), Mutex::default());
            trace.watch = Some(Arc::new(Watch { exporting, span: span(), engine }));
        }
        trace
    }

    /// So many were taken by the collector.
    pub fn exported(&self, spans: u64) {
        self.exported.inc_by(spans);
    }

    /// So many were not.
    pub fn dropped(&self, spans: u64) {
        self.dropped.inc_by(spans);
    }

    /// How many were not.
    pub fn dropped_so_far(&self) -> u64 {
        self.dropped.get()
    }
}

impl Watch {
    /// An engine is tried with the request.
    pub fn tried(&self, url: &str) {
        let mut engine = self.engine();
        engine.tries = engine.tries.saturating_add(1);
        engine.url = Some(url.to_owned());
    }

    pub(super) fn asked(&self, at: Duration) {
        self.engine().asked = Some(at);
    }

    pub(super) fn answered(&self, told: Result<u16, &UpstreamError>, at: Duration) {
        let mut engine = self.engine();
        match told {
            Ok(status) => engine.status = Some(status),
            Err(error) => (engine.error, engine.ended) = (Some(error.kind()), Some(at)),
        }
    }

    pub(super) fn engine_ended(&self, at: Duration) {
        self.engine().ended.get_or_insert(at);
    }

    /// Hands the exchange on to whoever exports it.
    pub(super) fn told(&self, visit: &Visit, end: End) {
        let told = Told {
            trace: visit.trace.clone_unwatched(),
            span: self.span,
            ended: now(),
            total: visit.elapsed(),
            steps: [Step::Held, Step::Answered, Step::First].map(|step| visit.at(step)),
            engine: self.engine().clone(),
            end,
        };
        let spans = told.spans();
        if self.exporting.queue.try_send(told).is_err() {
            self.exporting.dropped.inc_by(spans);
        }
    }

    fn engine(&self) -> MutexGuard<'_, EnginePart> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Told {
    /// How many spans tell it: its own, and the engine's part where there was one.
    pub const fn spans(&self) -> u64 {
        if self.engine.asked.is_some() { 2 } else { 1 }
    }
}

/// Whether a trace is in this part of all traces. Whoever has the same id and ratio decides alike:
/// its last 56 bits, which are random, as a number, against the rest of the whole.
fn drawn(id: [u8; 16], Fraction { numerator, denominator }: Fraction) -> bool {
    let number = u128::from_be_bytes(id) & ((1 << RANDOM_BITS) - 1);
    let (whole, rest) = (u128::from(denominator), denominator.saturating_sub(numerator));
    number.saturating_mul(whole) >= u128::from(rest) << RANDOM_BITS
}

/// The time to the nanosecond, as those who join spans of several machines need it.
#[allow(clippy::disallowed_methods, reason = "nothing is decided by it")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Of a trace's id.
const RANDOM_BITS: u32 = 56;

#[cfg(test)]
mod tests;
