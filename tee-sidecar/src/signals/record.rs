//! One record of the log for each exchange, from which its story can be told: never with a body, a
//! key or a name of the client's choosing but its request id. Where spans are exported they say the
//! same, but for the refusals of strangers, which could fill any queue.

use std::fmt::Display;
use std::time::Duration;

use broker_core::{Receipt, ReceiptId};

use super::{Bill, End, Step, Visit};
use crate::exchange::refusals::Refused;

/// An exchange ended with this receipt. Times are milliseconds since its arrival.
pub fn ended(request_id: &str, route: &'static str, receipt: &Receipt, visit: &Visit) {
    let (usage, at) = (&receipt.usage, |step| visit.at(step).map(millis));
    tracing::info!(
        request_id,
        trace_id = visit.trace.id(),
        receipt = %receipt.id,
        user = %receipt.user,
        route,
        outcome = receipt.outcome.as_str(),
        status = receipt.status,
        input = usage.input,
        cached = usage.cached_input,
        output = usage.output,
        fee = %receipt.fee,
        bytes = receipt.bytes,
        events = receipt.events,
        held_ms = at(Step::Held),
        answered_ms = at(Step::Answered),
        first_ms = at(Step::First),
        total_ms = millis(visit.elapsed()),
        "exchange"
    );
    if let Some(watch) = visit.trace.watch() {
        let claims = receipt.proof.as_ref().map(|proof| &proof.claims);
        let bill = Bill {
            model: claims.and_then(|claims| claims.model.clone()),
            usage: *usage,
            fee: receipt.fee,
            bytes: receipt.bytes,
            events: receipt.events,
        };
        let end = End {
            user: Some(receipt.user),
            bill: Some(bill),
            ..End::of(request_id, receipt.id, route, receipt.outcome.as_str(), receipt.status)
        };
        watch.told(visit, end);
    }
}

/// The end of an exchange could not be made durable.
pub fn unbilled(
    (request_id, receipt): (&str, ReceiptId),
    route: &'static str,
    status: u16,
    error: &impl Display,
    visit: &Visit,
) {
    tracing::error!(request_id, trace_id = visit.trace.id(), %receipt, %error, "unbilled");
    if let Some(watch) = visit.trace.watch() {
        watch.told(visit, End::of(request_id, receipt, route, "unbilled", status));
    }
}

/// An exchange was refused. Those of strangers, whom nothing slows down, are told at `debug`.
pub fn refused(request_id: &str, refused: &Refused, visit: &Visit) {
    macro_rules! told {
        ($level:ident $(, $user:expr)?) => {
            tracing::$level!(
                request_id,
                trace_id = visit.trace.id(),
                receipt = %refused.id,
                $(user = %$user,)?
                route = refused.endpoint,
                outcome = "refused",
                status = refused.status,
                reason = refused.reason,
                bytes = refused.bytes,
                total_ms = millis(visit.elapsed()),
                "exchange"
            )
        };
    }
    match refused.user {
        Some(user) => told!(info, user),
        None => told!(debug),
    }
    if let (Some(watch), Some(_)) = (visit.trace.watch(), refused.user) {
        let of = End::of(request_id, refused.id, refused.endpoint, "refused", refused.status);
        let method = refused.method.clone();
        watch.told(visit, End { method, reason: Some(refused.reason), user: refused.user, ..of });
    }
}

impl End {
    /// A `POST` of which no more is known.
    fn of(
        request_id: &str,
        receipt: ReceiptId,
        route: &'static str,
        outcome: &'static str,
        status: u16,
    ) -> Self {
        let (request_id, method) = (request_id.to_owned(), "POST".to_owned());
        let (reason, bill, user) = (None, None, None);
        Self { request_id, receipt, method, route, outcome, reason, status, bill, user }
    }
}

fn millis(time: Duration) -> f64 {
    // Whole microseconds: more digits say nothing.
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).as_secs_f64() * 1e3
}
