//! vLLM, or any engine that speaks OpenAI's API, over HTTP/1.1.
//!
//! The request's headers are made here from nothing: no header of the client's reaches the engine,
//! its `Authorization` least of all; only the trace that it belongs to goes on.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};

use super::{Post, Reply, Tag, Target, Upstream, UpstreamError, UpstreamFuture};
use crate::config::Limits;
use crate::net;
use crate::signals::Trace;

/// The longest list of models that is read.
const MODELS_BYTES_MAX: usize = 1024 * 1024;
/// How long an idle connection to the engine is kept: vLLM closes its side after five seconds, and
/// a request that meets the closing is lost.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// The engine says which models it has within this time, or is not ready.
const MODELS_TIMEOUT: Duration = Duration::from_secs(5);

/// Pooled clients. Their connections belong to the thread they were made on, so each server thread
/// makes its own.
pub struct Vllm {
    target: Arc<Target>,
    timeouts: Timeouts,
    plain: reqwest::Client,
    /// Made when the engine is first at an https address: it needs the system's authorities.
    tls: OnceLock<Result<reqwest::Client, UpstreamError>>,
}

#[derive(Clone, Copy)]
struct Timeouts {
    connect: Duration,
    idle: Duration,
}

impl Vllm {
    /// A client for the engine at `target`, wherever that is at the time.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(target: Arc<Target>, limits: &Limits) -> Result<Self, UpstreamError> {
        let timeouts = Timeouts {
            connect: Duration::from_secs(limits.upstream_connect_secs),
            idle: Duration::from_secs(limits.upstream_idle_secs),
        };
        let plain = timeouts.client(net::plain_client_builder())?;
        let vllm = Self { target, timeouts, plain, tls: OnceLock::new() };
        vllm.client(&vllm.target.now())?;
        Ok(vllm)
    }

    /// Whether an engine at this address could be reached from this machine at all.
    ///
    /// # Errors
    /// The address asks for TLS, and the system has no authorities.
    pub fn accepts(&self, url: &str) -> Result<(), UpstreamError> {
        self.client(url).map(|_| ())
    }

    fn client(&self, url: &str) -> Result<&reqwest::Client, UpstreamError> {
        if url.starts_with("http://") {
            return Ok(&self.plain);
        }
        let tls = self.tls.get_or_init(|| self.timeouts.client(net::client_builder()));
        tls.as_ref().map_err(Clone::clone)
    }
}

impl Timeouts {
    fn client(self, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, UpstreamError> {
        builder
            .connect_timeout(self.connect)
            .read_timeout(self.idle)
            .pool_idle_timeout(POOL_IDLE)
            .http1_only()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| UpstreamError::Connect(error.to_string()))
    }
}

impl Upstream for Vllm {
    fn post(&self, post: Post<'_>, tag: Tag<'_>, stream: bool) -> UpstreamFuture<'_, Reply> {
        let Post { route, content_type, body } = post;
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let base = self.target.now();
        let request = self.client(&base).map(|client| {
            client
                .post(format!("{base}{}", route.engine_path()))
                .header(CONTENT_TYPE, content_type)
                .header(ACCEPT, accept)
                .header(ACCEPT_ENCODING, "identity")
                .header("x-request-id", tag.id)
                .headers(traced(tag.trace))
                .body(body)
        });
        Box::pin(async move {
            let response = request?.send().await.map_err(explain)?;
            let header = |name| {
                response
                    .headers()
                    .get(name)
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned)
            };
            let encoding = header(CONTENT_ENCODING);
            Ok(Reply {
                status: response.status().as_u16(),
                content_type: header(CONTENT_TYPE),
                encoded: encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity")),
                body: response.bytes_stream().map_err(explain).boxed(),
            })
        })
    }

    fn models(&self) -> UpstreamFuture<'_, Bytes> {
        let base = self.target.now();
        let request = self
            .client(&base)
            .map(|client| client.get(format!("{base}/v1/models")).timeout(MODELS_TIMEOUT));
        Box::pin(async move {
            let response = request?.send().await.map_err(explain)?;
            if !response.status().is_success() {
                return Err(UpstreamError::Broken(format!("status {}", response.status())));
            }
            let mut body = response.bytes_stream().map_err(explain);
            let mut all = Vec::new();
            while let Some(piece) = body.next().await {
                all.extend_from_slice(&piece?);
                if all.len() > MODELS_BYTES_MAX {
                    return Err(UpstreamError::Broken("the list of models is too long".into()));
                }
            }
            Ok(Bytes::from(all))
        })
    }
}

/// The trace as the engine is told it.
fn traced(trace: &Trace) -> HeaderMap {
    let state = trace.state().map(|state| ("tracestate", state.to_owned()));
    let told = [Some(("traceparent", trace.parent())), state].into_iter().flatten();
    let header = |(name, value): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?))
    };
    told.filter_map(header).collect()
}

/// The cause, with the chain of causes below it: reqwest's own text stops at "error sending
/// request".
fn explain(error: reqwest::Error) -> UpstreamError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if error.is_connect() {
        UpstreamError::Connect(text)
    } else if error.is_timeout() {
        UpstreamError::Timeout(text)
    } else {
        UpstreamError::Broken(text)
    }
}
