//! Work in flight, what the limits turn away, and the evidence that is shown.

use broker_core::Timestamp;

use super::super::super::AppState;
use super::{Page, age};
use crate::exchange::admission::Limit;
use crate::upstream::engines::Standing;

pub(super) fn of_exchanges(page: &mut Page, state: &AppState) {
    let shared = &state.exchange.shared;
    let admission = &shared.admission;
    let in_flight = admission.in_flight() as f64;
    page.gauge("exchanges_in_flight", "Paid requests that are being answered", in_flight);
    let places = admission.places() as f64;
    page.gauge("exchanges_in_flight_max", "How many may be: limits.concurrentMax", places);
    let counts = Limit::ALL.map(|limit| (limit.as_str(), admission.refused(limit)));
    let help = "Requests that a limit turned away before they were read";
    page.counters("admission_refusals", help, "limit", counts);
    let (open, held) = shared.live.sum();
    let help = "Holds of requests that this sidecar answers now";
    page.gauge("holds_open", help, open as f64);
    page.money("holds_open_neuron", "What these have set aside", held);
}

pub(super) fn of_engines(page: &mut Page, state: &AppState) {
    let engines = state.exchange.shared.catalog.engines().all();
    let help = "1 where this model server, by its place in the settings, gets requests";
    let is_well = |standing| matches!(standing, Standing::Well | Standing::Faltered);
    let well = engines.iter().map(|engine| usize::from(is_well(engine.standing())));
    page.by_engine("upstream_engine_up", help, well);
    let help = "Requests that this model server works on";
    let in_flight = engines.iter().map(|engine| engine.in_flight());
    page.by_engine("upstream_engine_in_flight", help, in_flight);
    let help = "Requests that this model server failed before an answer began; another one may \
                have answered them";
    let failures = engines.iter().map(|engine| engine.failures());
    page.counted_by_engine("upstream_engine_failures", help, failures);
}

pub(super) fn of_attestation(page: &mut Page, state: &AppState, now: Timestamp) {
    let making = state.reports.making();
    let counts = [("made", making.made), ("kept", making.kept), ("failed", making.failed)];
    let help = "Attestation reports: made with a quote, answered from those kept, not to be had";
    page.counters("attestation_reports", help, "outcome", counts);
    let help = "Since when the last quote was made; it is renewed when a report is asked for";
    page.gauge("attestation_quote_age_seconds", help, age(now, making.last_made));
    let help = "For how long no report could be made, tried each minute; 0 while they can";
    page.gauge("attestation_failing_seconds", help, age(now, making.failing_since));
}
