//! The collector: one request to it, what its answer means, and what the operator is told of it.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Response, Url};

use crate::net;

/// A connection takes no longer.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// A request takes no longer: what OTLP's exporters have by default.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// The pause before a batch is sent again; each one after it is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// A collector that asks for a longer pause gets this one.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// No answer of a collector's is longer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A collector that comes and goes is told of so often.
const WARNING_EVERY: Duration = Duration::from_secs(60);

/// Where spans go.
pub(super) struct Collector {
    client: reqwest::Client,
    url: String,
    /// The address without its path, for the log.
    name: String,
    headers: HeaderMap,
    outage: Option<Outage>,
}

/// A time in which it took nothing, from the first fault on.
struct Outage {
    warned: Instant,
    is_over: bool,
}

/// Why it did not take all of a batch.
#[derive(Debug)]
pub(super) enum Fault {
    /// No answer.
    Unreachable(String),
    /// It will not, or not now.
    Refused { status: u16, retry_after: Option<Duration> },
    /// It took the others.
    Partial { rejected: u64 },
}

impl Collector {
    /// The collector at this base address.
    pub(super) fn at(endpoint: &str, mut headers: HeaderMap) -> Result<Self, String> {
        let is_plain = Url::parse(endpoint).is_ok_and(|url| url.scheme() == "http");
        let builder = if is_plain { net::plain_client_builder() } else { net::client_builder() };
        let builder = builder.connect_timeout(CONNECT_TIME).timeout(REQUEST_TIME);
        let client = builder.build().map_err(|error| told(&error))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let agent = concat!("tee-sidecar/", env!("CARGO_PKG_VERSION"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(agent));
        let name = Url::parse(endpoint).map(|url| url.origin().ascii_serialization());
        let name = name.unwrap_or_default();
        Ok(Self { client, url: format!("{endpoint}/v1/traces"), name, headers, outage: None })
    }

    /// Sends a batch once. The operator is told of the first fault, and when it is over.
    pub(super) async fn send(&mut self, body: Bytes) -> Result<(), Fault> {
        let sent = self.post(body).await;
        match &sent {
            Ok(()) => self.is_well(),
            Err(fault) => self.is_ill(fault),
        }
        sent
    }

    async fn post(&self, body: Bytes) -> Result<(), Fault> {
        let request = self.client.post(&self.url).headers(self.headers.clone()).body(body);
        let unreachable = |error: reqwest::Error| Fault::Unreachable(told(&error.without_url()));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if !status.is_success() {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let retry_after = after.and_then(|text| text.trim().parse().ok());
            let retry_after = retry_after.map(Duration::from_secs);
            return Err(Fault::Refused { status: status.as_u16(), retry_after });
        }
        match rejected(response).await {
            0 => Ok(()),
            rejected => Err(Fault::Partial { rejected }),
        }
    }

    fn is_well(&mut self) {
        if let Some(outage) = self.outage.as_mut().filter(|outage| !outage.is_over) {
            outage.is_over = true;
            tracing::info!(collector = self.name, "the collector takes spans again");
        }
    }

    fn is_ill(&mut self, fault: &Fault) {
        match &mut self.outage {
            Some(outage) if !outage.is_over => return,
            // It is told of when it lasts, or comes again later.
            Some(outage) if outage.warned.elapsed() < WARNING_EVERY => return,
            _ => {}
        }
        self.outage = Some(Outage { warned: Instant::now(), is_over: false });
        let collector = &self.name;
        match fault {
            Fault::Unreachable(error) => {
                tracing::warn!(collector, error, "the collector cannot be reached");
            }
            Fault::Refused { status, .. } => tracing::warn!(
                collector,
                status,
                "the collector refuses spans: tracing.otlpEndpoint is the base address of an \
                 OTLP/HTTP receiver, port 4318 as a rule, and tracing.otlpHeaders what it asks for"
            ),
            Fault::Partial { rejected } => {
                tracing::warn!(collector, rejected, "the collector rejects some spans");
            }
        }
    }
}

impl Fault {
    /// How long to wait before the batch is sent again after so many tries; `None` where that has
    /// no sense.
    pub(super) fn pause(&self, tries: u32) -> Option<Duration> {
        let asked = match self {
            Self::Unreachable(_) => Duration::ZERO,
            Self::Refused { status: 429 | 502 | 503 | 504, retry_after } => {
                retry_after.unwrap_or_default()
            }
            Self::Refused { .. } | Self::Partial { .. } => return None,
        };
        let doubled = PAUSE.saturating_mul(1_u32.checked_shl(tries.saturating_sub(1))?);
        // Between half of it and all of it: sidecars that lost one collector do not come in step.
        let part = getrandom::u32().map_or(u64::from(u32::MAX), u64::from);
        let millis = u64::try_from(doubled.as_millis()).unwrap_or(u64::MAX) / 2;
        let drawn = millis.saturating_mul(part) >> u32::BITS;
        let own = Duration::from_millis(millis.saturating_add(drawn));
        Some(own.max(asked).min(PAUSE_MAX))
    }
}

/// How many spans a collector rejected that took the rest. What cannot be read says nothing of it.
async fn rejected(mut response: Response) -> u64 {
    let mut body = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return 0;
        }
    }
    let answer = ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default();
    answer.partial_success.map_or(0, |told| u64::try_from(told.rejected_spans).unwrap_or(0))
}

/// An error with its causes.
fn told(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_will_not_be_taken_is_not_sent_again_and_what_may_be_waits_longer_each_time() {
        let refused = |status, secs: Option<u64>| Fault::Refused {
            status,
            retry_after: secs.map(Duration::from_secs),
        };
        for status in [400, 401, 404, 413, 500, 501] {
            assert_eq!(refused(status, Some(1)).pause(1), None, "{status}");
        }
        assert_eq!(Fault::Partial { rejected: 1 }.pause(1), None);
        for fault in [429, 502, 503, 504].map(|status| refused(status, None)) {
            for (tries, least, most) in [(1, 250, 500), (2, 500, 1000), (4, 2000, 4000)] {
                let millis = fault.pause(tries).unwrap().as_millis();
                assert!((least..=most).contains(&millis), "{fault:?} {tries}: {millis}");
            }
        }
        let gone = Fault::Unreachable(String::new());
        assert!(gone.pause(1).unwrap() <= PAUSE);
        assert_eq!(refused(503, Some(7)).pause(1), Some(Duration::from_secs(7)));
        assert_eq!(refused(429, Some(86_400)).pause(1), Some(PAUSE_MAX));
    }
}
