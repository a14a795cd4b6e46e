//! `tracing.*`: whether spans are exported, which, and where to.

use broker_core::Fraction;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Secret;

/// `tracing.*`
#[derive(Clone, Debug)]
pub struct Tracing {
    /// The base address of a collector that takes OTLP over HTTP, without a slash at its end;
    /// `None` exports nothing.
    pub endpoint: Option<String>,
    /// What the collector wants to be sent in headers, as `name=value,name=value` with values
    /// percent-encoded.
    pub headers: Option<Secret<String>>,
    /// Of the traces that begin here this part is exported.
    pub ratio: Fraction,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { endpoint: None, headers: None, ratio: Fraction { numerator: 1, denominator: 1 } }
    }
}

impl Tracing {
    /// The collector's headers, none of which is ever printed.
    pub fn header_map(&self) -> HeaderMap {
        let headers = self.headers.as_ref().and_then(|text| headers(text.expose()));
        headers.unwrap_or_default()
    }
}

/// Reads a list of headers; `None` where it is none, or names one that is ours to set.
pub(super) fn headers(text: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for entry in text.split(',') {
        let (name, value) = entry.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value).ok()?;
        value.set_sensitive(true);
        if OURS.contains(&name.as_str()) {
            return None;
        }
        headers.append(name, value);
    }
    Some(headers)
}

/// Another value of these would make no request of it.
const OURS: [&str; 5] =
    ["content-type", "content-length", "host", "transfer-encoding", "connection"];
