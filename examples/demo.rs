//! A small server that answers in the bytes of vLLM, to try a sidecar without a model.
//!
//! It is a script: every question gets the same text, one piece per pause. What it does take from
//! vLLM 0.32 is the wire: order of the fields, the events of a stream in each mode of
//! `stream_options`, counted tokens, ids made from `X-Request-Id`, and the shape of errors.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};

mod answer;
mod chat;
mod events;
mod refusal;
mod script;
#[cfg(test)]
mod tests;
mod wish;

pub use script::{Script, prompt_tokens};

/// How the demo answers.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The served model's name.
    pub model: String,
    /// The pause before each token.
    pub pause: Duration,
    /// What it says.
    pub script: Script,
}

impl Default for Demo {
    fn default() -> Self {
        Self { model: "demo".to_owned(), pause: PAUSE, script: Script::default() }
    }
}

impl Demo {
    /// Serves on `listener` until the returned server is stopped. Signals are the caller's affair.
    pub fn serve(self, listener: TcpListener) -> std::io::Result<Server> {
        let server = HttpServer::new(move || App::new().configure(|app| self.routes(app)))
            .workers(WORKERS)
            .tcp_nodelay(true)
            .disable_signals()
            .shutdown_timeout(SHUTDOWN_SECS)
            .listen(listener)?;
        Ok(server.run())
    }

    /// The routes, for a server made elsewhere.
    pub fn routes(&self, app: &mut web::ServiceConfig) {
        app.app_data(web::Data::new(self.clone()))
            .app_data(web::PayloadConfig::new(REQUEST_BYTES_MAX))
            .service(only(web::resource("/health").route(web::get().to(HttpResponse::Ok))))
            .service(only(web::resource("/v1/models").route(web::get().to(chat::models))))
            .service(only(
                web::resource("/v1/chat/completions").route(web::post().to(chat::completions)),
            ))
            .default_service(web::to(|| async { detail(HttpResponse::NotFound(), "Not Found") }));
    }
}

/// vLLM's answer to another method.
fn only(resource: actix_web::Resource) -> actix_web::Resource {
    resource.default_service(web::to(|| async {
        detail(HttpResponse::MethodNotAllowed(), "Method Not Allowed")
    }))
}

fn detail(mut status: actix_web::HttpResponseBuilder, text: &str) -> HttpResponse {
    status.json(serde_json::json!({ "detail": text }))
}

/// Tokens of prompt and answer together.
pub const MODEL_LEN_MAX: usize = 4096;
const PAUSE: Duration = Duration::from_millis(20);
const REQUEST_BYTES_MAX: usize = 4 << 20;
const SHUTDOWN_SECS: u64 = 1;
const WORKERS: usize = 2;
