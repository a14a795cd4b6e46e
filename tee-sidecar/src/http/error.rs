//! Faults as HTTP answers: the one place that knows actix's status codes and headers of an error.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError, web};
use broker_core::{Address, ReceiptId};
use uuid::Uuid;

use super::{AppState, path};
use crate::fault::{Envelope, Fault};

/// The longest request id of a client's that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The ids that an answer carries, and the shape it has if it is an error.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    /// Through the logs: the client's own, or one of ours.
    pub request: String,
    /// Of the exchange; `None` off the inference routes.
    pub receipt: Option<ReceiptId>,
    /// The provider's chain address, on the 0G network.
    pub provider: Option<Address>,
    /// The shape of an error.
    pub envelope: Envelope,
}

impl Ids {
    /// The ids of a request that is no exchange.
    pub fn of(request: &HttpRequest) -> Self {
        let state = request.app_data::<web::Data<AppState>>();
        let provider = state.and_then(|state| Some(state.network.as_ref()?.chain.provider()));
        let network = state.and_then(|state| state.network.as_ref());
        let is_alias = |name: &str| network.is_some_and(|network| network.is_alias(name));
        let envelope = envelope(request.path(), provider.is_some(), is_alias);
        let given = request.headers().get("x-request-id").and_then(|value| value.to_str().ok());
        let usable = given.filter(|id| {
            (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let request = usable.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        Self { request, receipt: None, provider, envelope }
    }

    /// The ids of a request that is one.
    pub fn of_exchange(request: &HttpRequest, state: &AppState) -> Self {
        let now = state.exchange.shared.clock.now();
        Self { receipt: Some(ReceiptId::mint(now)), ..Self::of(request) }
    }

    /// Writes the headers.
    pub fn write(&self, response: &mut HttpResponseBuilder) {
        response.insert_header(("x-request-id", self.request.as_str()));
        if let Some(receipt) = self.receipt {
            let receipt = receipt.to_string();
            response.insert_header(("x-receipt-id", receipt.as_str()));
            response.insert_header(("ZG-Res-Key", receipt.as_str()));
            if let Some(provider) = self.provider {
                response.insert_header(("provider", provider.to_string()));
                // Proxies in front of us pass each event on at once.
                response.insert_header(("x-accel-buffering", "no"));
            }
        }
    }
}

/// The shape of an error at this path, on the network or not. `is_alias` knows the names of
/// services that may stand in a path.
pub(super) fn envelope(path: &str, network: bool, is_alias: impl Fn(&str) -> bool) -> Envelope {
    match path {
        path if network && path::is_network_s(path) => Envelope::Flat,
        path if path::is_anthropic_s(path, is_alias) => Envelope::Anthropic,
        _ => Envelope::OpenAi,
    }
}

/// A fault on its way to the client.
#[derive(Clone, Debug)]
pub struct ApiError {
    fault: Fault,
    ids: Ids,
}

impl ApiError {
    /// A fault of a request that is no exchange.
    pub fn of(request: &HttpRequest, fault: Fault) -> Self {
        Self { fault, ids: Ids::of(request) }
    }

    /// A fault under these ids.
    pub const fn new(ids: Ids, fault: Fault) -> Self {
        Self { fault, ids }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        let status = self.fault.status_in(self.ids.envelope);
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        self.ids.write(&mut response);
        response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
        if let Some(secs) = self.fault.retry_after_secs() {
            response.insert_header((RETRY_AFTER, secs));
        }
        match &self.fault {
            Fault::Unauthorized(_) if self.status_code() == StatusCode::UNAUTHORIZED => {
                response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
            }
            Fault::MethodNotAllowed { allowed } => {
                response.insert_header((ALLOW, allowed.as_ref()));
            }
            // What is left of the body is not read, so the connection cannot go on.
            Fault::PayloadTooLarge { .. } | Fault::RequestTimeout => {
                response.force_close();
            }
            _ => {}
        }
        response.body(self.fault.body(self.ids.envelope, &self.ids.request))
    }
}
