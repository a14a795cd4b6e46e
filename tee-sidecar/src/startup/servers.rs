//! The two HTTP servers: everyone's and the operator's.

use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpServer, rt, web};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::StartError;
use crate::http::{
    AppState, close_behind_errors, cors, name_keyset, no_browsers, operator_routes, routes,
};

/// Connections still open this long after everything has ended are cut.
const SERVER_STOP_SECS: u64 = 2;
/// An idle connection of a client's is kept this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// A client gets this long for the head of a request.
const REQUEST_HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// A server and where it listens.
pub(super) struct Listening {
    pub(super) server: Server,
    pub(super) addr: SocketAddr,
}

/// What both servers are made of.
pub(super) struct Servers<S> {
    /// Bytes that a client does not take for so long end its connection, when all waits of our own
    /// have passed.
    pub(super) silence: Duration,
    /// Called once on each thread.
    pub(super) state: S,
}

/// What both servers are set to.
macro_rules! server {
    ($app:expr, $silence:expr) => {{
        let silence = $silence;
        HttpServer::new($app)
            .tcp_nodelay(true)
            // A client that closes its side has left: nobody pays for an answer it cannot read,
            // and the engine stops at once.
            .h1_allow_half_closed(false)
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(REQUEST_HEAD_TIME)
            .shutdown_timeout(SERVER_STOP_SECS)
            .disable_signals()
            .on_connect(move |connection, _| give_up_on_silence(connection, silence))
    }};
}

impl<S: Fn() -> AppState + Clone + Send + 'static> Servers<S> {
    /// Everyone's.
    pub(super) fn public(
        &self,
        key: &'static str,
        addr: SocketAddr,
    ) -> Result<Listening, StartError> {
        let (listener, addr) = bind(key, addr)?;
        let state = self.state.clone();
        let app = move || {
            let state = state();
            let origins = state.allow_origins.clone();
            let cors = Condition::new(!origins.is_empty(), cors(origins));
            let app = App::new().app_data(web::Data::new(state)).configure(routes).wrap(cors);
            app.wrap(from_fn(name_keyset)).wrap(from_fn(close_behind_errors))
        };
        let server = server!(app, self.silence).listen(listener).map_err(StartError::Server)?;
        Ok(Listening { server: server.run(), addr })
    }

    /// The operator's: every public route too, out of the reach of browsers.
    pub(super) fn admin(
        &self,
        key: &'static str,
        addr: SocketAddr,
    ) -> Result<Listening, StartError> {
        let (listener, addr) = bind(key, addr)?;
        let state = self.state.clone();
        let app = move || {
            let app = App::new().app_data(web::Data::new(state()));
            let app = app.configure(operator_routes).configure(routes).wrap(from_fn(no_browsers));
            app.wrap(from_fn(name_keyset)).wrap(from_fn(close_behind_errors))
        };
        let server = server!(app, self.silence).workers(1);
        let server = server.listen(listener).map_err(StartError::Server)?;
        Ok(Listening { server: server.run(), addr })
    }
}

/// Not `TcpListener::bind`, whose queue of waiting connections is short.
fn bind(key: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    bound().map_err(|cause| StartError::Listen { key, addr, cause })
}

/// Closes connections whose client takes no bytes: the server never stops writing by itself.
fn give_up_on_silence(connection: &dyn Any, silence: Duration) {
    if let Some(stream) = connection.downcast_ref::<rt::net::TcpStream>()
        && let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(silence))
    {
        tracing::debug!(%error, "TCP_USER_TIMEOUT");
    }
}
