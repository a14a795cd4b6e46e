//! HTTP/1.1 without TLS to an engine: a request, the head of its answer, and its body, read by the
//! task that hands it on.
//!
//! reqwest gives each connection a task of its own, with a channel to it, and a timer to each read:
//! more than all the rest of a forwarded request. Here hyper's connection is driven by whoever
//! waits for the answer. What an engine says is read by hyper; an answer that ends too early is an
//! error, never an end.

use std::error::Error;
use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};

mod link;
mod site;
mod watch;

pub(super) use site::{POOL_IDLE, Site};

use super::UpstreamError;
use super::vllm::Outgoing;
use link::Link;
use watch::Watch;

/// Pieces that have arrived together are handed on together, up to about this length.
const PIECE_BYTES: usize = 16 * 1024;

/// How long an engine may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// To take a connection.
    pub(super) connect: Duration,
    /// To the head of an answer, and from then on to each next piece of it.
    pub(super) silence: Duration,
}

/// What goes wrong on a connection.
#[derive(Debug)]
enum Failure {
    /// hyper says so.
    Http(hyper::Error),
    /// The engine said nothing for too long.
    Silent,
    /// Another protocol, which nobody asked for.
    Switched,
}

/// Posts to an engine.
///
/// # Errors
/// There is no head of an answer.
pub(super) async fn post(
    site: &Arc<Site>,
    request: Request<Outgoing>,
    patience: Patience,
) -> Result<Response<Body>, UpstreamError> {
    let mut link = match site.take() {
        Some(link) => link,
        None => site.connect(patience.connect).await?,
    };
    let answer = link.ask(request, patience.silence).await;
    let answer = answer.and_then(|answer| match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => Err(Failure::Switched),
        _ => Ok(answer),
    });
    let answer = answer.map_err(|failure| failure.before_answer(site))?;
    // Who says both may mean either: what follows such an answer is not trusted to be the next one.
    let is_twofold =
        [TRANSFER_ENCODING, CONTENT_LENGTH].iter().all(|n| answer.headers().contains_key(n));
    let watch = Watch::of(patience.silence);
    Ok(answer.map(|incoming| {
        let reading = Some((link, incoming));
        let keeps = !is_twofold;
        let mut body = Body { reading, behind: None, keeps, watch, site: site.clone() };
        body.ended();
        body
    }))
}

/// The body of an answer. Dropped before its end it closes the connection: the engine stops.
pub(super) struct Body {
    /// Until the body has ended.
    reading: Option<(Link, Incoming)>,
    /// What came behind the last piece, and was no piece.
    behind: Option<Option<Failure>>,
    /// The connection may be used on.
    keeps: bool,
    watch: Watch,
    site: Arc<Site>,
}

impl Body {
    /// Gives the connection back where the body is known to have ended: one with a length behind
    /// its last byte, one in chunks behind the last of them.
    fn ended(&mut self) {
        let has_ended = |incoming: &Incoming| incoming.is_end_stream();
        let was_told = matches!(self.behind, Some(None));
        if let Some((link, _)) = self.reading.take_if(|(_, body)| was_told || has_ended(body)) {
            self.keep(link);
        }
    }

    /// Keeps a connection whose answer has ended, if nothing came behind that and it may be used
    /// on.
    fn keep(&self, mut link: Link) {
        if self.keeps && link.is_idle() {
            self.site.keep(link);
        }
    }

    /// The next piece, with what has arrived behind it; `None` at the end.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind.map(Err));
        }
        let Some((link, incoming)) = &mut self.reading else { return Poll::Ready(None) };
        let first = match poll_data(link, incoming, cx) {
            Poll::Ready(Some(Ok(first))) => first,
            Poll::Ready(other) => return Poll::Ready(other),
            Poll::Pending => return self.watch.poll(cx).map(|()| Some(Err(Failure::Silent))),
        };
        self.watch.came();
        let mut joined = BytesMut::new();
        while first.len().max(joined.len()) < PIECE_BYTES {
            match poll_data(link, incoming, cx) {
                Poll::Ready(Some(Ok(more))) => {
                    if joined.is_empty() {
                        joined.extend_from_slice(&first);
                    }
                    joined.extend_from_slice(&more);
                }
                Poll::Ready(other) => {
                    self.behind = Some(other.and_then(Result::err));
                    break;
                }
                Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(if joined.is_empty() { first } else { joined.freeze() })))
    }
}

/// The data of the next frame: what hyper has ready, or what it gets from the connection.
fn poll_data(
    link: &mut Link,
    incoming: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Failure>>> {
    loop {
        let mut frame = Pin::new(&mut *incoming).poll_frame(cx);
        if frame.is_pending() {
            link.drive(cx);
            frame = Pin::new(&mut *incoming).poll_frame(cx);
        }
        match std::task::ready!(frame) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Failure::Http(error)))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(data))),
                // Trailers, of which there is nothing to tell.
                Err(_) => {}
            },
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let piece = std::task::ready!(self.poll_piece(cx));
        // Where the end is known already the connection need not wait to be asked for it.
        self.ended();
        match piece {
            Some(Ok(piece)) => Poll::Ready(Some(Ok(piece))),
            None => {
                if let Some((link, _)) = self.reading.take() {
                    self.keep(link);
                }
                Poll::Ready(None)
            }
            Some(Err(failure)) => {
                self.reading = None;
                Poll::Ready(Some(Err(failure.in_answer(&self.site))))
            }
        }
    }
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl Failure {
    /// What it means where there is no head of an answer.
    fn before_answer(self, site: &Site) -> UpstreamError {
        let is_gone = match &self {
            Self::Http(error) => is_end_of_connection(error),
            Self::Silent | Self::Switched => false,
        };
        match self.in_answer(site) {
            UpstreamError::Broken(text) if is_gone => UpstreamError::Gone(text),
            other => other,
        }
    }

    /// What it means in the middle of an answer.
    fn in_answer(self, site: &Site) -> UpstreamError {
        let text = |why: &str| format!("{}: {why}", site.authority);
        match self {
            Self::Silent => UpstreamError::Timeout(text("nothing came")),
            Self::Switched => {
                UpstreamError::Broken(text("another protocol, which nobody asked for"))
            }
            Self::Http(error) => {
                let why: Vec<_> = causes(&error).map(ToString::to_string).collect();
                match causes(&error).filter_map(|cause| cause.downcast_ref::<io::Error>()).next() {
                    Some(io) if io.kind() == TimedOut => {
                        UpstreamError::Timeout(text(&why.join(": ")))
                    }
                    _ => UpstreamError::Broken(text(&why.join(": "))),
                }
            }
        }
    }
}

/// An error and what caused it.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| cause.source())
}

/// The engine closed the connection, or its machine says that nobody is there any more. What came
/// over it and was no HTTP is something else.
pub(super) fn is_end_of_connection(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let ended = cause.downcast_ref::<hyper::Error>();
        let broke = cause.downcast_ref::<io::Error>();
        ended.is_some_and(|e| e.is_incomplete_message() || e.is_closed() || e.is_canceled())
            || broke.is_some_and(|e| {
                matches!(e.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected)
            })
    })
}

#[cfg(test)]
mod tests;
