//! How the model server does.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Step, Visit, class};
use crate::upstream::{Reply, UpstreamError};

/// Counts what the engine is asked and how it answers.
#[derive(Debug)]
pub struct Engine {
    requests: Counter,
    answers: Family<Class, Counter>,
    failures: Family<Kind, Counter>,
    head_seconds: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Class {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

impl Engine {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let engine = Self {
            requests: Counter::default(),
            answers: Family::default(),
            failures: Family::default(),
            head_seconds: Histogram::new(HEAD_SECONDS),
        };
        for kind in KINDS {
            let _there = engine.failures.get_or_create(&Kind { kind });
        }
        let help = "Requests sent to the model server";
        registry.register("upstream_requests", help, engine.requests.clone());
        let help = "Heads of answers that the model server sent";
        registry.register("upstream_answers", help, engine.answers.clone());
        let help = "Requests to the model server that failed, also in the middle of an answer";
        registry.register("upstream_failures", help, engine.failures.clone());
        let help = "From asking the model server to the head of its answer";
        registry.register("upstream_head_seconds", help, engine.head_seconds.clone());
        engine
    }

    /// Waits for the engine's answer to the request of `visit`, and takes the time.
    pub async fn timed(
        &self,
        visit: &Visit,
        call: impl Future<Output = Result<Reply, UpstreamError>>,
    ) -> Result<Reply, UpstreamError> {
        self.requests.inc();
        let asked = Instant::now();
        let watch = visit.trace.watch();
        if let Some(watch) = watch {
            watch.asked(visit.elapsed());
        }
        let reply = call.await;
        if let Some(watch) = watch {
            watch.answered(reply.as_ref().map(|reply| reply.status), visit.elapsed());
        }
        if let Ok(reply) = &reply {
            visit.reached(Step::Answered);
            self.head_seconds.observe(asked.elapsed().as_secs_f64());
            self.answers.get_or_create(&Class { class: class(reply.status) }).inc();
        }
        reply
    }

    /// The engine failed a request.
    pub fn failed(&self, error: &UpstreamError) {
        self.failures.get_or_create(&Kind { kind: error.kind() }).inc();
    }
}

const KINDS: [&str; 3] = ["connect", "timeout", "broken"];
/// A short prompt's head comes in milliseconds, a long one's after minutes.
const HEAD_SECONDS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];
