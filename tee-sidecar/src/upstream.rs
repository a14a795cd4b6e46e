//! The engines behind the sidecar: the promise, apart from how they are reached.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use futures_util::Stream;

use crate::route::Route;
use crate::signals::Trace;

pub mod catalog;
pub mod engines;
mod tries;
pub mod vllm;
mod wire;

pub use catalog::{Catalog, Model};
pub use engines::Engines;
pub use vllm::Vllm;

/// What an engine's call returns.
pub type UpstreamFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, UpstreamError>> + Send + 'a>>;

/// An engine's body as it arrives. Dropping it ends the request: the engine stops generating.
pub type UpstreamBody = Pin<Box<dyn Stream<Item = Result<Bytes, UpstreamError>> + Send>>;

/// The head of an engine's answer, and its body to come.
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, as it was.
    pub content_type: Option<String>,
    /// `Content-Encoding` is something else than identity, although identity was asked for.
    pub encoded: bool,
    /// The body.
    pub body: UpstreamBody,
}

/// Why an engine gave no answer, or only a part of one. The text is for the operator's log; it
/// comes from the HTTP client and holds no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// A connection, and then nothing for too long.
    #[error("silent for too long: {0}")]
    Timeout(String),
    /// The connection ended before an answer began.
    #[error("gone before it answered: {0}")]
    Gone(String),
    /// The connection broke in an answer, or what came over it was not HTTP.
    #[error("broken answer: {0}")]
    Broken(String),
}

impl UpstreamError {
    /// What kind it is, in one word: a label of metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Timeout(_) => "timeout",
            Self::Gone(_) | Self::Broken(_) => "broken",
        }
    }
}

/// A request for an engine.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// What is asked for.
    pub route: Route,
    /// The `Content-Type` of the body.
    pub content_type: &'a str,
    /// The bytes.
    pub body: Bytes,
    /// Set once an engine is given the first of them.
    pub begun: Arc<AtomicBool>,
}

/// What the engine is told of who asks.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'a> {
    /// Its request id.
    pub id: &'a str,
    /// The trace that its part belongs to.
    pub trace: &'a Trace,
}

/// Engines that speak OpenAI's API and serve the same model.
pub trait Upstream: Send + Sync {
    /// Posts a request to one of them.
    fn post(&self, post: Post<'_>, tag: Tag<'_>, stream: bool) -> UpstreamFuture<'_, Reply>;

    /// The list of models of the engine at this address, as its JSON body.
    fn models(&self, engine: &str) -> UpstreamFuture<'_, Bytes>;
}
