//! Where an engine is, and the connections to it that wait for a request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Url;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};

use super::super::UpstreamError;
use super::link::Link;

/// How long an idle connection to the engine is kept: vLLM closes its side after five seconds, and
/// a request that meets the closing is lost.
pub(in super::super) const POOL_IDLE: Duration = Duration::from_secs(4);
/// An engine's machine that says nothing is asked whether it is there: after this time, and so
/// often. What it does not take for longer than this all in all ends the connection.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_TRIES: u32 = 3;
const UNTAKEN_MAX: Duration = Duration::from_secs(30);

/// An engine's address, and connections to it, which belong to the thread they were made on.
pub(in super::super) struct Site {
    /// For the system: a name or an IP address, and a port.
    host: String,
    port: u16,
    /// What `Host` says.
    pub(in super::super) authority: String,
    /// What stands before every route.
    pub(in super::super) prefix: String,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Since when, the longest first.
    links: VecDeque<(Instant, Link)>,
    /// Somebody will close those that wait for too long.
    is_watched: bool,
}

impl Site {
    /// The engine at this address.
    ///
    /// # Errors
    /// That is no address with `http://`.
    pub(in super::super) fn at(url: &str) -> Result<Self, UpstreamError> {
        let no_address = || UpstreamError::Connect(format!("no address of an engine: {url}"));
        let read = Url::parse(url).ok().filter(|url| url.scheme() == "http");
        let read = read.ok_or_else(no_address)?;
        let name = read.host_str().ok_or_else(no_address)?;
        let host = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let authority = match read.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let prefix = read.path().trim_end_matches('/').to_owned();
        let port = read.port().unwrap_or(80);
        Ok(Self { host, port, authority, prefix, waiting: Mutex::default() })
    }

    /// A connection that waits, the last one used first.
    pub(super) fn take(&self) -> Option<Link> {
        let mut waiting = self.waiting();
        loop {
            let (since, mut link) = waiting.links.pop_back()?;
            if since.elapsed() >= POOL_IDLE {
                // Those that are left have waited for longer.
                waiting.links.clear();
                return None;
            }
            if link.is_idle() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(self: &Arc<Self>, link: Link) {
        let mut waiting = self.waiting();
        waiting.links.push_back((Instant::now(), link));
        if !std::mem::replace(&mut waiting.is_watched, true) {
            let site = Arc::downgrade(self);
            tokio::spawn(async move {
                loop {
                    sleep(POOL_IDLE).await;
                    let Some(site) = site.upgrade() else { return };
                    if !site.close_old() {
                        return;
                    }
                }
            });
        }
    }

    /// Closes those that have waited for too long; true where others wait.
    fn close_old(&self) -> bool {
        let mut waiting = self.waiting();
        while waiting.links.front().is_some_and(|(since, _)| since.elapsed() >= POOL_IDLE) {
            waiting.links.pop_front();
        }
        waiting.is_watched = !waiting.links.is_empty();
        waiting.is_watched
    }

    /// A new connection.
    ///
    /// # Errors
    /// There is none within this time.
    pub(super) async fn connect(&self, within: Duration) -> Result<Link, UpstreamError> {
        let to = || format!("{}:{}", self.host, self.port);
        let connected = timeout(within, self.try_each(within)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(UpstreamError::Connect(format!("{}: {error}", to()))),
            Err(_) => return Err(UpstreamError::Connect(format!("{}: no answer in time", to()))),
        };
        if let Err(error) = settle(&stream) {
            tracing::debug!(%error, "options of a connection to an engine");
        }
        Link::over(stream).await.map_err(|failure| failure.in_answer(self))
    }

    /// To the first of the host's addresses that takes it. Each gets its share of the time, so that
    /// one behind which nothing is does not keep the others from being tried.
    async fn try_each(&self, within: Duration) -> std::io::Result<TcpStream> {
        let addresses: Vec<_> = lookup_host((self.host.as_str(), self.port)).await?.collect();
        let share = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = std::io::Error::other("the name has no address");
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = std::io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What reqwest sets too.
fn settle(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_TRIES))?;
    socket.set_tcp_user_timeout(Some(UNTAKEN_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_a_client_would_and_no_other_scheme_is() {
        for (url, host, port, authority, prefix) in [
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, "127.0.0.1:8000", ""),
            ("http://LocalHost", "localhost", 80, "localhost", ""),
            ("http://engine:80/a/b", "engine", 80, "engine", "/a/b"),
            ("http://[::1]:8000/", "::1", 8000, "[::1]:8000", ""),
        ] {
            let site = Site::at(url).unwrap();
            assert_eq!((site.host.as_str(), site.port), (host, port), "{url}");
            assert_eq!((site.authority.as_str(), site.prefix.as_str()), (authority, prefix));
        }
        for url in ["https://engine", "engine:8000", "http://", ""] {
            assert!(matches!(Site::at(url), Err(UpstreamError::Connect(_))), "{url}");
        }
    }
}
