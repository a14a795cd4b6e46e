//! vLLM, or any engine that speaks OpenAI's API, over HTTP/1.1: one try at one engine.
//!
//! Requests to an engine without TLS take the short way (`wire.rs`); reqwest has those to https
//! addresses and the lists of models.
//!
//! The request's headers are made here from nothing: no header of the client's reaches the engine,
//! its `Authorization` least of all; only the trace that it belongs to goes on.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body::{Body, Frame, SizeHint};
use hyper::{Request, StatusCode};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue,
};

use super::engines::{Engines, Seat};
use super::wire::{self, POOL_IDLE, Patience, Site};
use super::{Post, Reply, Tag, Upstream, UpstreamBody, UpstreamError, UpstreamFuture, tries};
use crate::config::Limits;
use crate::net;
use crate::route::Route;
use crate::signals::{Trace, Watch};

/// The longest list of models that is read.
const MODELS_BYTES_MAX: usize = 1024 * 1024;
/// What the address of an engine without TLS begins with.
const PLAIN: &str = "http://";
/// The engine says which models it has within this time, or is not ready.
const MODELS_TIMEOUT: Duration = Duration::from_secs(5);

/// Pooled clients. Their connections belong to the thread they were made on, so each server thread
/// makes its own.
pub struct Vllm {
    engines: Arc<Engines>,
    timeouts: Timeouts,
    plain: reqwest::Client,
    /// Engines without TLS, by their addresses.
    sites: Mutex<HashMap<String, Arc<Site>>>,
    /// Made when an engine is first at an https address: it needs the system's authorities.
    tls: OnceLock<Result<reqwest::Client, UpstreamError>>,
}

/// A request as every engine gets it, to the byte.
pub(super) struct Letter {
    pub(super) route: Route,
    /// Told which engines are tried.
    pub(super) watch: Option<Arc<Watch>>,
    headers: HeaderMap,
    body: Outgoing,
}

impl Letter {
    /// The request for an engine there.
    fn to(&self, site: &Site) -> Result<Request<Outgoing>, UpstreamError> {
        let target = format!("{}{}", site.prefix, self.route.engine_path());
        let request = Request::post(target).header(HOST, &site.authority);
        let request = request.body(self.body.clone());
        let mut request = request.map_err(|error| UpstreamError::Connect(error.to_string()))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

/// The body of a request. It is asked for over a connection only: the first time is when an engine
/// may know of the request.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) bytes: Bytes,
    pub(super) begun: Arc<AtomicBool>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.begun.store(true, Ordering::Relaxed);
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

#[derive(Clone, Copy)]
struct Timeouts {
    connect: Duration,
    idle: Duration,
}

impl Vllm {
    /// A client for these engines, whichever they are at the time.
    ///
    /// # Errors
    /// The HTTP client cannot be built.
    pub fn new(engines: Arc<Engines>, limits: &Limits) -> Result<Self, UpstreamError> {
        let timeouts = Timeouts {
            connect: Duration::from_secs(limits.upstream_connect_secs),
            idle: Duration::from_secs(limits.upstream_idle_secs),
        };
        let plain = timeouts.client(net::plain_client_builder())?;
        let vllm = Self { engines, timeouts, plain, sites: Mutex::default(), tls: OnceLock::new() };
        vllm.engines.all().iter().try_for_each(|engine| vllm.accepts(engine.url()))?;
        Ok(vllm)
    }

    /// Whether an engine at this address could be reached from this machine at all.
    ///
    /// # Errors
    /// The address asks for TLS, and the system has no authorities.
    pub fn accepts(&self, url: &str) -> Result<(), UpstreamError> {
        self.client(url).map(|_| ())
    }

    /// How long an engine may take to the head of an answer.
    pub(super) const fn patience(&self) -> Duration {
        self.timeouts.connect.saturating_add(self.timeouts.idle)
    }

    /// Posts to one engine. Its place is given back with the body of the answer.
    pub(super) async fn post_to(
        &self,
        seat: Seat,
        letter: &Letter,
    ) -> Result<Reply, UpstreamError> {
        if seat.engine().url().starts_with(PLAIN) {
            return self.post_plainly(seat, letter).await;
        }
        let url = format!("{}{}", seat.engine().url(), letter.route.engine_path());
        let request = self.client(seat.engine().url())?.post(url);
        let request =
            request.headers(letter.headers.clone()).body(reqwest::Body::wrap(letter.body.clone()));
        let response = request.send().await.map_err(before_answer)?;
        let told = Told::by(response.status(), response.headers());
        let body = response.bytes_stream().map_err(move |error| {
            seat.engine().faltered();
            explain(error)
        });
        Ok(told.with(body.boxed()))
    }

    async fn post_plainly(&self, seat: Seat, letter: &Letter) -> Result<Reply, UpstreamError> {
        let site = self.site(seat.engine().url())?;
        let patience = Patience { connect: self.timeouts.connect, silence: self.timeouts.idle };
        let response = wire::post(&site, letter.to(&site)?, patience).await?;
        let told = Told::by(response.status(), response.headers());
        let body = response.into_body().inspect_err(move |_| seat.engine().faltered());
        Ok(told.with(body.boxed()))
    }

    /// The engine without TLS at this address.
    fn site(&self, url: &str) -> Result<Arc<Site>, UpstreamError> {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = sites.get(url) {
            return Ok(site.clone());
        }
        let site = Arc::new(Site::at(url)?);
        sites.insert(url.to_owned(), site.clone());
        Ok(site)
    }

    fn client(&self, url: &str) -> Result<&reqwest::Client, UpstreamError> {
        if url.starts_with(PLAIN) {
            return Ok(&self.plain);
        }
        let tls = self.tls.get_or_init(|| self.timeouts.client(net::client_builder()));
        tls.as_ref().map_err(Clone::clone)
    }
}

/// What the head of an answer tells.
struct Told {
    status: u16,
    content_type: Option<String>,
    encoded: bool,
}

impl Told {
    fn by(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let encoded = text(CONTENT_ENCODING).is_some_and(|e| !e.eq_ignore_ascii_case("identity"));
        Self {
            status: status.as_u16(),
            content_type: text(CONTENT_TYPE).map(str::to_owned),
            encoded,
        }
    }

    fn with(self, body: UpstreamBody) -> Reply {
        let Self { status, content_type, encoded } = self;
        Reply { status, content_type, encoded, body }
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
        let Post { route, content_type, body: bytes, begun } = post;
        let accept = if stream { "text/event-stream" } else { "application/json" };
        let mut headers = traced(tag.trace);
        for (name, text) in [
            (CONTENT_TYPE, content_type),
            (ACCEPT, accept),
            (ACCEPT_ENCODING, "identity"),
            (HeaderName::from_static("x-request-id"), tag.id),
        ] {
            headers.extend(HeaderValue::from_str(text).map(|value| (name, value)));
        }
        let watch = tag.trace.watch().cloned();
        let letter = Letter { route, watch, headers, body: Outgoing { bytes, begun } };
        Box::pin(tries::deliver(self, &self.engines, letter))
    }

    fn models(&self, engine: &str) -> UpstreamFuture<'_, Bytes> {
        let request = self
            .client(engine)
            .map(|client| client.get(format!("{engine}/v1/models")).timeout(MODELS_TIMEOUT));
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

/// What went wrong before the head of an answer was there.
fn before_answer(error: reqwest::Error) -> UpstreamError {
    let is_gone = !error.is_timeout() && wire::is_end_of_connection(&error);
    match explain(error) {
        UpstreamError::Broken(text) if is_gone => UpstreamError::Gone(text),
        other => other,
    }
}

/// The error with the chain of causes below it: reqwest's own text stops at "error sending
/// request".
fn explain(error: reqwest::Error) -> UpstreamError {
    let text: Vec<_> = wire::causes(&error).map(ToString::to_string).collect();
    let text = text.join(": ");
    if error.is_connect() {
        UpstreamError::Connect(text)
    } else if error.is_timeout() {
        UpstreamError::Timeout(text)
    } else {
        UpstreamError::Broken(text)
    }
}
