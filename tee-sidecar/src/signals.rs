//! What an operator watches while the sidecar works: counted where it happens, read by `/metrics`.
//!
//! On an exchange's way there are atomics, and a few locks that are held for nanoseconds, once for
//! each exchange; a scrape takes none that an exchange waits for long. Labels have few values, all
//! of them ours: what a client or a user chose (a name, an id, a model) is never one.

use std::fmt;
use std::sync::Arc;

use broker_core::Timestamp;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

mod answers;
mod books;
mod engine;
mod exchanges;
mod ledger;
pub mod process;
pub mod record;
mod seldom;
mod spans;
mod trace;
mod visit;

pub use answers::Answers;
pub use books::{BookKeeper, Books};
pub use engine::Engine;
pub use exchanges::Exchanges;
pub use ledger::Commits;
pub use seldom::Seldom;
pub use spans::{Bill, End, EnginePart, Spans, Told, Watch};
pub use trace::Trace;
pub use visit::{Probe, Probes, Step, Visit};

/// What names of metrics begin with.
pub const PREFIX: &str = "tee_sidecar";

/// Everything that is counted.
#[derive(Debug)]
pub struct Signals {
    registry: Registry,
    /// Since when.
    pub started: Timestamp,
    /// Paid work.
    pub exchanges: Exchanges,
    /// The model server.
    pub engine: Engine,
    /// The ledger's writer.
    pub commits: Commits,
    /// HTTP answers on every route.
    pub answers: Answers,
    /// Spans for a collector.
    pub spans: Spans,
    /// What the ledger says, read at most once at a time.
    pub books: BookKeeper,
    /// Exchanges whose engine counted more than was asked for, for the log.
    pub overcounted: Seldom,
}

impl Signals {
    /// Nothing was counted yet.
    pub fn new(started: Timestamp) -> Arc<Self> {
        let mut registry = Registry::with_prefix(PREFIX);
        let exchanges = Exchanges::new(&mut registry);
        let engine = Engine::new(&mut registry);
        let commits = Commits::new(&mut registry);
        let answers = Answers::new(&mut registry);
        let spans = Spans::new(&mut registry);
        let (books, overcounted) = Default::default();
        Arc::new(Self {
            registry,
            started,
            exchanges,
            engine,
            commits,
            answers,
            spans,
            books,
            overcounted,
        })
    }

    /// Writes what was counted, as OpenMetrics text without its end mark.
    ///
    /// # Errors
    /// `text` takes no more.
    pub fn write(&self, text: &mut String) -> fmt::Result {
        encode_registry(text, &self.registry)
    }
}

/// The class of an HTTP status, as labels have it.
const fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_one_of_five_classes() {
        for (status, expected) in [(101, "1xx"), (200, "2xx"), (308, "3xx"), (499, "4xx")] {
            assert_eq!(class(status), expected);
        }
        assert_eq!((class(503), class(0), class(999)), ("5xx", "5xx", "5xx"));
    }

    #[test]
    fn what_was_never_counted_is_told_as_nothing() {
        let signals = Signals::new(Timestamp(0));
        let mut text = String::new();
        signals.write(&mut text).unwrap();
        for line in [
            "tee_sidecar_fees_neuron_total 0.0\n",
            "tee_sidecar_tokens_total{kind=\"cached\"} 0\n",
            "tee_sidecar_upstream_failures_total{kind=\"connect\"} 0\n",
            "tee_sidecar_ledger_commit_seconds_count 0\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
