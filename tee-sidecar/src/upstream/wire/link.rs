//! One connection to an engine.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Failure;
use crate::upstream::vllm::Outgoing;

/// A connection, and whoever may ask over it. Nothing is read or written but by whoever polls it.
pub(super) struct Link {
    sender: SendRequest<Outgoing>,
    /// Until it has ended.
    connection: Option<Connection<TokioIo<TcpStream>, Outgoing>>,
}

impl Link {
    /// Takes a connection over.
    ///
    /// # Errors
    /// HTTP cannot be spoken over it.
    pub(super) async fn over(stream: TcpStream) -> Result<Self, Failure> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection: Some(connection) })
    }

    /// Asks, and waits for the head of the answer for so long at most.
    ///
    /// # Errors
    /// There is none.
    pub(super) async fn ask(
        &mut self,
        request: Request<Outgoing>,
        silence: Duration,
    ) -> Result<Response<Incoming>, Failure> {
        let mut answer = pin!(self.sender.send_request(request));
        let connection = &mut self.connection;
        let head = poll_fn(|cx| {
            drive(connection, cx);
            answer.as_mut().poll(cx)
        });
        match timeout(silence, head).await {
            Ok(head) => Ok(head?),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// Reads and writes what there is.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    /// Whether the engine can be asked something new: it has said all and nothing beyond that, and
    /// has not left.
    pub(super) fn is_idle(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_some() && self.sender.is_ready()
    }
}

/// What goes wrong is told to whoever waits for the answer or reads it.
fn drive(connection: &mut Option<Connection<TokioIo<TcpStream>, Outgoing>>, cx: &mut Context<'_>) {
    if let Some(open) = connection
        && Pin::new(open).poll(cx).is_ready()
    {
        *connection = None;
    }
}
