//! `tracing.*`: the collector, and how much it is told.

use super::super::Tracing;
use super::super::raw::RawTracing;
use super::super::tracing::headers;
use super::access::secret;
use super::values::{self, Check};

/// Reads the section.
pub(super) fn tracing(check: &mut Check, raw: &RawTracing) -> Tracing {
    let rule = "must be http:// or https:// with a host, as http://127.0.0.1:4318, and no \
                credentials, query or fragment; what a collector wants to know goes into \
                tracing.otlpHeaders";
    let (key, given) = ("tracing.otlpEndpoint", raw.otlp_endpoint.as_ref());
    let endpoint = check.parsed(key, given, None, rule, |text| {
        values::web_address(text).map(|_| Some(base(text).to_owned()))
    });
    let (text, file) = (raw.otlp_headers.as_ref(), raw.otlp_headers_file.as_ref());
    let given = secret(check, HEADERS, text, HEADERS_FILE, file, 1).into_option();
    let given = given.filter(|given| {
        let is_list = headers(given.expose()).is_some();
        if !is_list {
            let rule = "must be name=value,name=value, each value percent-encoded, and no header \
                        that makes the request, as Content-Type";
            let from_environment = text.is_some_and(|text| text.is_from_environment());
            let key = if file.is_some() { HEADERS_FILE } else { HEADERS };
            check.refuse_secret(key, rule, from_environment);
        }
        is_list
    });
    let whole = Tracing::default().ratio;
    let ratio = check.ratio("tracing.sampleRatio", raw.sample_ratio.as_ref(), whole);
    Tracing { endpoint, headers: given, ratio }
}

/// Hosts may copy the address with the path of traces, which we add ourselves.
fn base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/v1/traces").unwrap_or(url).trim_end_matches('/')
}

const HEADERS: &str = "tracing.otlpHeaders";
const HEADERS_FILE: &str = "tracing.otlpHeadersFile";
