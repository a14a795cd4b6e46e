//! Work in flight, what the limits turn away, and the evidence that is shown.

use broker_core::Timestamp;

use super::super::super::AppState;
use super::{Page, age};
use crate::exchange::admission::Limit;

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
