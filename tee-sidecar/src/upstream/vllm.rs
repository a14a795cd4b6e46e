//! vLLM, or any engine that speaks OpenAI's API, over HTTP/1.1.
//!
//! The request's headers are made here from nothing: no header of the client's reaches the engine,
//! its `Authorization` least of all.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};

use super::{Reply, Upstream, UpstreamError, UpstreamFuture};
use crate::config::{Limits, Upstream as Settings};
use crate::net;

/// The longest list of models that is read.
const MODELS_BYTES_MAX: usize = 1024 * 1024;
/// How long an idle connection to the engine is kept: vLLM closes its side after five seconds, and
/// a request that meets the closing is lost.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// The engine says which models it has within this time, or is not ready.
const MODELS_TIMEOUT: Duration = Duration::from_secs(5);

/// One pooled client. Its connections belong to the thread it was made on, so each server thread
/// makes its own.
pub struct Vllm {
    client: reqwest::Client,
    chat: String,
    models: String,
}

impl Vllm {
    /// A client for the engine of the settings.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(settings: &Settings, limits: &Limits) -> Result<Self, UpstreamError> {
        let is_plain = settings.url.starts_with("http://");
        let builder = if is_plain { net::plain_client_builder() } else { net::client_builder() };
        let client = builder
            .connect_timeout(Duration::from_secs(limits.upstream_connect_secs))
            .read_timeout(Duration::from_secs(limits.upstream_idle_secs))
            .pool_idle_timeout(POOL_IDLE)
            .http1_only()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| UpstreamError::Connect(error.to_string()))?;
        let base = settings.url.trim_end_matches('/');
        Ok(Self {
            client,
            chat: format!("{base}/v1/chat/completions"),
            models: format!("{base}/v1/models"),
        })
    }
}

impl Upstream for Vllm {
    fn chat(&self, body: Bytes, id: &str, stream: bool) -> UpstreamFuture<'_, Reply> {
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let request = self
            .client
            .post(&self.chat)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, accept)
            .header(ACCEPT_ENCODING, "identity")
            .header("x-request-id", id)
            .body(body);
        Box::pin(async move {
            let response = request.send().await.map_err(explain)?;
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
        let request = self.client.get(&self.models).timeout(MODELS_TIMEOUT);
        Box::pin(async move {
            let response = request.send().await.map_err(explain)?;
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
