//! `limits.*`: how much, how many and how long, each within what can be meant.

use std::ops::RangeInclusive;

use super::super::Limits;
use super::super::raw::RawLimits;
use super::routes;
use super::values::Check;

/// Reads the section.
pub(super) fn limits(check: &mut Check, raw: &RawLimits) -> Limits {
    let mut size = |key: &str, given: &Option<_>, range, default| {
        let number = check.number(key, given.as_ref(), range, default);
        // Every range below fits into 32 bits, so nothing is cut off on any machine.
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let request_bytes_max =
        size("limits.requestBytesMax", &raw.request_bytes_max, BODY, REQUEST_BYTES_MAX);
    let concurrent_max =
        size("limits.concurrentMax", &raw.concurrent_max, 1..=EXCHANGES, CONCURRENT_MAX);
    let concurrent_per_account_max = size(
        "limits.concurrentPerAccountMax",
        &raw.concurrent_per_account_max,
        1..=EXCHANGES,
        CONCURRENT_PER_ACCOUNT_MAX,
    );
    let route_bytes_max = routes::bytes_max(check, raw.route_bytes_max.as_ref(), &BODY);
    let given = raw.requests_per_minute.as_ref();
    let requests_per_minute = check.limit("limits.requestsPerMinute", given, 1..=BILLION);
    let given = raw.tokens_per_minute.as_ref();
    let tokens_per_minute = check.limit("limits.tokensPerMinute", given, 1..=1_000 * BILLION);
    let mut secs = |key: &str, given: &Option<_>, most, default| {
        check.number(key, given.as_ref(), 1..=most, default)
    };
    Limits {
        request_bytes_max,
        route_bytes_max,
        concurrent_max,
        concurrent_per_account_max,
        requests_per_minute,
        tokens_per_minute,
        upstream_connect_secs: secs(
            "limits.upstreamConnectSecs",
            &raw.upstream_connect_secs,
            FIVE_MINUTES,
            UPSTREAM_CONNECT_SECS,
        ),
        upstream_idle_secs: secs(
            "limits.upstreamIdleSecs",
            &raw.upstream_idle_secs,
            DAY,
            UPSTREAM_IDLE_SECS,
        ),
        client_idle_secs: secs(
            "limits.clientIdleSecs",
            &raw.client_idle_secs,
            DAY,
            CLIENT_IDLE_SECS,
        ),
    }
}

const REQUEST_BYTES_MAX: u64 = 32 << 20;
const CONCURRENT_MAX: u64 = 2_000;
const CONCURRENT_PER_ACCOUNT_MAX: u64 = 1_000;
const UPSTREAM_CONNECT_SECS: u64 = 5;
const UPSTREAM_IDLE_SECS: u64 = 300;
const CLIENT_IDLE_SECS: u64 = 60;

/// The bodies that can be meant, in bytes.
const BODY: RangeInclusive<u64> = 64..=1 << 30;
/// More exchanges in flight than one machine has ports for.
const EXCHANGES: u64 = 100_000;
const BILLION: u64 = 1_000_000_000;
const FIVE_MINUTES: u64 = 300;
const DAY: u64 = 86_400;
