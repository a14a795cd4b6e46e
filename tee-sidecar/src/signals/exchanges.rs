//! Paid work: how it ended, what it used, what it cost, how long it took.

use std::sync::atomic::AtomicU64;

use broker_core::{Neuron, Receipt};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Visit, class};

/// Counts exchanges.
#[derive(Debug)]
pub struct Exchanges {
    ended: Family<Ended, Counter>,
    refused: Family<Reason, Counter>,
    /// Without labels, and so told before the first: an alarm asks for its growth.
    unbilled: Counter,
    tokens: Family<Kind, Counter>,
    fees: Counter<f64, AtomicU64>,
    seconds: Histogram,
    pub(super) first_event_seconds: Histogram,
    pub(super) added_delay_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    route: &'static str,
    outcome: &'static str,
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl Exchanges {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let exchanges = Self {
            ended: Family::default(),
            refused: Family::default(),
            unbilled: Counter::default(),
            tokens: Family::default(),
            fees: Counter::default(),
            seconds: Histogram::new(SECONDS),
            first_event_seconds: Histogram::new(SECONDS),
            added_delay_seconds: Histogram::new(DELAY_SECONDS),
        };
        for kind in ["input", "cached", "output"] {
            let _there = exchanges.tokens.get_or_create(&Kind { kind });
        }
        let help = "Exchanges that ended, by how; unbilled: the ledger failed at their end";
        registry.register("exchanges", help, exchanges.ended.clone());
        let help = "Answers that were cut since the ledger failed at their end";
        registry.register("unbilled", help, exchanges.unbilled.clone());
        let help = "Exchanges that were refused before any money was set aside";
        registry.register("refusals", help, exchanges.refused.clone());
        let help = "Tokens that were charged; cached ones are among the input";
        registry.register("tokens", help, exchanges.tokens.clone());
        let help = "Fees that were charged, rounded to a float; the ledger has the exact ones";
        registry.register("fees_neuron", help, exchanges.fees.clone());
        let help = "From the arrival of a request to its durable end, refusals left out";
        registry.register("exchange_seconds", help, exchanges.seconds.clone());
        let help = "From the arrival of a request to the first event of its stream";
        let first = exchanges.first_event_seconds.clone();
        registry.register("time_to_first_token_seconds", help, first);
        let help = "From reading of the model server to handing the event on, a sample of streams";
        let delay = exchanges.added_delay_seconds.clone();
        registry.register("added_delay_seconds", help, delay);
        exchanges
    }

    /// An exchange ended, durably, with this receipt.
    pub fn ended(&self, route: &'static str, receipt: &Receipt, visit: &Visit) {
        self.count(route, receipt.outcome.as_str(), receipt.status);
        let usage = &receipt.usage;
        for (kind, tokens) in
            [("input", usage.input), ("cached", usage.cached_input), ("output", usage.output)]
        {
            self.tokens.get_or_create(&Kind { kind }).inc_by(tokens);
        }
        self.fees.inc_by(float(receipt.fee));
        self.seconds.observe(visit.elapsed().as_secs_f64());
    }

    /// The end of an exchange could not be made durable.
    pub fn unbilled(&self, route: &'static str, status: u16) {
        self.count(route, "unbilled", status);
        self.unbilled.inc();
    }

    /// An exchange was refused. `reason` is one of our own words.
    pub fn refused(&self, route: &'static str, status: u16, reason: &'static str) {
        self.count(route, "refused", status);
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    fn count(&self, route: &'static str, outcome: &'static str, status: u16) {
        self.ended.get_or_create(&Ended { route, outcome, class: class(status) }).inc();
    }
}

/// Prometheus knows floats only. The exact amounts are in the ledger.
fn float(amount: Neuron) -> f64 {
    amount.get() as f64
}

const SECONDS: [f64; 14] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
/// Ours are microseconds; a client that takes its time makes seconds of them.
const DELAY_SECONDS: [f64; 11] =
    [0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.01, 0.1, 1.0, 10.0];
