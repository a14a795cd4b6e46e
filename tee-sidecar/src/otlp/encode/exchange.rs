//! The span of an exchange.

use super::{Attributes, PARENT_IS_REMOTE, Span, SpanKind, Told, at, event, status};
use std::time::Duration;

/// The exchange, from its arrival to its durable end.
pub(super) fn span(told: &Told) -> Span {
    let (trace, parent, _, flags) = told.trace.parts();
    let end = &told.end;
    let method = known(&end.method);
    let name = format!("{} {}", method.unwrap_or("HTTP"), end.route);
    let error = error(end.status, end.outcome);
    let [held, answered, first] = told.steps;
    let steps = [("held", held), ("answered", answered), ("first_event", first)];
    let events = steps.map(|(step, time)| event(told, &format!("tee_sidecar.{step}"), time));
    let remote = if parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    Span {
        trace_id: trace.to_vec(),
        span_id: told.span.to_vec(),
        parent_span_id: parent.map(Vec::from).unwrap_or_default(),
        flags: u32::from(flags) | remote,
        name,
        kind: SpanKind::Server.into(),
        start_time_unix_nano: at(told, Duration::ZERO),
        end_time_unix_nano: told.ended,
        attributes: attributes(told, method, error.as_deref()).0,
        events: events.into_iter().flatten().collect(),
        status: status(error.as_deref()),
        ..Span::default()
    }
}

fn attributes(told: &Told, method: Option<&str>, error: Option<&str>) -> Attributes {
    let end = &told.end;
    let mut attributes = Attributes::default();
    attributes.text("http.request.method", method.unwrap_or("_OTHER"));
    attributes.text("http.route", end.route);
    attributes.count("http.response.status_code", end.status.into());
    if let Some(error) = error {
        attributes.text("error.type", error);
    }
    attributes.text("tee_sidecar.request_id", &*end.request_id);
    attributes.text("tee_sidecar.receipt_id", end.receipt.to_string());
    attributes.text("tee_sidecar.outcome", end.outcome);
    if let Some(reason) = end.reason {
        attributes.text("tee_sidecar.reason", reason);
    }
    if let Some(user) = end.user {
        attributes.text("tee_sidecar.user", user.to_string());
    }
    if let Some(bill) = &end.bill {
        attributes.text("tee_sidecar.fee_neuron", bill.fee.to_string());
        attributes.count("tee_sidecar.events", bill.events);
        attributes.count("http.response.body.size", bill.bytes);
    }
    attributes
}

/// A method that is one of HTTP's: others are words of a client's.
fn known(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

/// What the server is to blame for, in a word. A request that was wrong is the client's fault, and
/// one whose client left is nobody's.
fn error(status: u16, outcome: &str) -> Option<String> {
    match outcome {
        "truncated_upstream" | "shutdown" | "unbilled" => Some(outcome.to_owned()),
        "upstream_error" if status < 400 => Some(outcome.to_owned()),
        _ => (status >= 500).then(|| status.to_string()),
    }
}

const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_what_the_server_is_to_blame_for() {
        for (status, outcome, expected) in [
            (200, "complete", None),
            (499, "client_gone", None),
            (200, "client_gone", None),
            (429, "refused", None),
            (503, "refused", Some("503")),
            (400, "upstream_error", None),
            (502, "upstream_error", Some("502")),
            (200, "upstream_error", Some("upstream_error")),
            (200, "truncated_upstream", Some("truncated_upstream")),
            (200, "shutdown", Some("shutdown")),
            (200, "unbilled", Some("unbilled")),
        ] {
            assert_eq!(error(status, outcome).as_deref(), expected, "{status} {outcome}");
        }
    }

    #[test]
    fn a_method_of_a_client_s_own_is_not_repeated() {
        assert_eq!(known("DELETE"), Some("DELETE"));
        assert_eq!((known("CANARY"), known("post")), (None, None));
    }
}
