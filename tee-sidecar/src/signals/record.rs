//! One record of the log for each exchange, from which its story can be told: never with a body, a
//! key or a name of the client's choosing but its request id.

use std::time::Duration;

use broker_core::Receipt;

use super::{Step, Visit};
use crate::exchange::refusals::Refused;

/// An exchange ended with this receipt. Times are milliseconds since its arrival.
pub fn ended(request_id: &str, route: &str, receipt: &Receipt, visit: &Visit) {
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
}

fn millis(time: Duration) -> f64 {
    // Whole microseconds: more digits say nothing.
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).as_secs_f64() * 1e3
}
