//! `GET /metrics`: what an operator watches, for Prometheus.
//!
//! What happened is counted where it happens ([`crate::signals`]); how matters stand is looked at
//! here. A scrape answers also where the ledger or the chain does not: then it says so.

use std::fmt;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use broker_core::{Neuron, Timestamp};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::super::{AppState, health};
use super::refused::Refused;
use crate::fault::Fault;
use crate::ledger::End;
use crate::signals::PREFIX;
use crate::signals::process::Process;

mod money;
mod work;

/// How matters stand at this moment, and what happened so far.
pub(super) async fn text(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let signals = &state.exchange.shared.signals;
    let (books, is_readable) = signals.books.look(&state.reader).await;
    let now = state.exchange.shared.clock.now();
    let mut page = Page(Registry::with_prefix(PREFIX));
    of_sidecar(&mut page, &state);
    work::of_exchanges(&mut page, &state);
    work::of_engines(&mut page, &state);
    work::of_attestation(&mut page, &state, now);
    money::of_ledger(&mut page, &state, is_readable);
    if let Some(books) = books {
        money::of_books(&mut page, &books, now);
    }
    if let Some(network) = &state.network {
        money::of_network(&mut page, network, now, signals.started);
    }
    let mut text = String::with_capacity(TEXT_BYTES);
    write(&state, &page, &mut text).map_err(|_| Refused::new(CONTEXT, Fault::Internal))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, FORMAT)).body(text))
}

fn write(state: &AppState, page: &Page, text: &mut String) -> fmt::Result {
    let signals = &state.exchange.shared.signals;
    signals.write(text)?;
    encode_registry(text, &page.0)?;
    encode_registry(text, &of_process(signals.started).0)?;
    encode_eof(text)
}

fn of_sidecar(page: &mut Page, state: &AppState) {
    let simulated = if state.reports.is_simulated() { "true" } else { "false" };
    let version = env!("CARGO_PKG_VERSION");
    let build = Info::new(vec![("version", version), ("simulated", simulated)]);
    page.0.register("build", "What runs here", build);
    let shared = &state.exchange.shared;
    let is_up = shared.catalog.was_up();
    let is_ready = health::reasons(state, is_up).is_empty();
    page.flag("ready", "1 while paid requests are taken; /readyz has the reasons", is_ready);
    page.flag("upstream_up", "1 where the model server told its model when last asked", is_up);
    let last = state.notices.last_end;
    let ends = End::ALL.map(|end| (end.as_str(), last == Some(end)));
    page.marks("last_end", "How the run before this one ended", "kind", &ends);
    let expiry = state.notices.tls.as_ref().and_then(|tls| tls.not_after_secs()).unwrap_or(0);
    let help = "When the served TLS certificate expires, since 1970; 0 for none";
    page.gauge("tls_certificate_expiry_timestamp_seconds", help, expiry as f64);
}

/// The names that Prometheus's own clients use, without a prefix of ours.
fn of_process(started: Timestamp) -> Page {
    let mut page = Page(Registry::default());
    let since = started.0 as f64 / 1000.0;
    page.gauge("process_start_time_seconds", "When the sidecar started, since 1970", since);
    let Some(process) = Process::look() else { return page };
    let help = "Memory of the process";
    page.gauge("process_resident_memory_bytes", help, process.resident_bytes as f64);
    page.gauge("process_open_fds", "Files and sockets that are open", process.open_fds as f64);
    if let Some(max) = process.max_fds {
        page.gauge("process_max_fds", "How many may be open", max as f64);
    }
    let help = "Processor time of the process";
    page.0.register("process_cpu_seconds", help, ConstCounter::new(process.cpu_seconds));
    page
}

/// What is looked at for one scrape.
struct Page(Registry);

/// One label and its value.
type Label = Vec<(&'static str, &'static str)>;

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.0.register(name, help, ConstGauge::new(value));
    }

    fn flag(&mut self, name: &str, help: &str, is_set: bool) {
        self.gauge(name, help, if is_set { 1.0 } else { 0.0 });
    }

    /// Prometheus knows floats only. The exact amounts are at `/v1/user` and in the ledger.
    fn money(&mut self, name: &str, help: &str, amount: Neuron) {
        self.gauge(name, help, amount.get() as f64);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.0.register(name, help, ConstCounter::new(value));
    }

    /// A counter for each value of a label.
    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        counts: [(&'static str, u64); N],
    ) {
        let family = Family::<Label, Counter>::default();
        for (value, count) in counts {
            family.get_or_create(&vec![(label, value)]).inc_by(count);
        }
        self.0.register(name, help, family);
    }

    /// A gauge for each engine.
    fn by_engine(&mut self, name: &str, help: &str, values: impl Iterator<Item = usize>) {
        let family = Family::<EngineLabel, Gauge>::default();
        for (label, value) in (1..).map(engine_label).zip(values) {
            family.get_or_create(&label).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.0.register(name, help, family);
    }

    /// A counter for each engine.
    fn counted_by_engine(&mut self, name: &str, help: &str, values: impl Iterator<Item = u64>) {
        let family = Family::<EngineLabel, Counter>::default();
        for (label, value) in (1..).map(engine_label).zip(values) {
            family.get_or_create(&label).inc_by(value);
        }
        self.0.register(name, help, family);
    }

    /// 1 for each value of a label that holds.
    fn marks(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(&'static str, bool)],
    ) {
        let family = Family::<Label, Gauge>::default();
        for (value, holds) in values {
            family.get_or_create(&vec![(label, *value)]).set(i64::from(*holds));
        }
        self.0.register(name, help, family);
    }
}

/// An engine by its place in the settings; its address is nobody's business who reads metrics.
type EngineLabel = Vec<(&'static str, String)>;

fn engine_label(number: usize) -> EngineLabel {
    vec![("engine", number.to_string())]
}

/// Seconds from `then` to now; 0 where there is no such time.
fn age(now: Timestamp, then: Option<Timestamp>) -> f64 {
    then.map_or(0.0, |then| now.0.saturating_sub(then.0) as f64 / 1000.0)
}

const CONTEXT: &str = "metrics";
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT_BYTES: usize = 32 * 1024;
