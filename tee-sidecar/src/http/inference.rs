//! `POST` to an inference route: each of them is the same exchange.

use std::num::NonZeroU64;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{Digest32, UserId};

use super::AppState;
use super::body;
use super::error::{ApiError, Ids};
use super::outgoing::{Placed, Whole};
use crate::exchange::refusals::Refused;
use crate::exchange::{Answer, AnswerBody, Ask, Failed, Permit};
use crate::fault::Fault;
use crate::route::Route;
use crate::signals::{Trace, Visit};

/// The longest `Idempotency-Key`.
const CLIENT_KEY_BYTES_MAX: usize = 255;

/// What a receipt quotes of a method.
const METHOD_CHARS_MAX: usize = 16;

/// How a client asks for checkpoints.
const CHECKPOINTS: &str = "x-receipt-checkpoints";

/// Every checkpoint is a signature: between two of them are so many events at least.
const CHECKPOINT_EVENTS_MIN: u64 = 8;

/// What is answered where a host does not serve a route.
pub(super) fn not_served(route: Route) -> Fault {
    let path = route.path();
    Fault::NotFound(format!("{path} is not served here; the host has not switched it on"))
}

/// Serves a route.
pub(super) async fn serve(
    route: Route,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    if !state.service.routes.contains(&route) {
        return Err(ApiError::of(&request, not_served(route)));
    }
    let ids = Ids::of_exchange(&request, &state);
    let mut seen = Seen::of(route, &request, &state);
    match answer(&request, payload, &state, &ids, &mut seen).await {
        Ok((answer, place)) => Ok(respond(answer, place, &ids)),
        Err(Failed { fault, has_ended: true }) => Err(ApiError::new(ids, fault)),
        Err(Failed { fault, .. }) => Err(seen.refuse(&state, ids, fault)),
    }
}

/// Another method than POST.
pub(super) async fn method_not_allowed(
    route: Route,
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    if !state.service.routes.contains(&route) {
        return Err(ApiError::of(&request, not_served(route)));
    }
    let fault = Fault::MethodNotAllowed { allowed: "POST".into() };
    Err(Seen::of(route, &request, &state).refuse(&state, Ids::of_exchange(&request, &state), fault))
}

/// What was seen of a request by the time it was refused.
pub(super) struct Seen {
    route: Route,
    user: Option<UserId>,
    request_hash: Option<Digest32>,
    method: String,
    visit: Arc<Visit>,
}

impl Seen {
    pub(super) fn of(route: Route, request: &HttpRequest, state: &AppState) -> Self {
        let all = |name| request.headers().get_all(name).map(HeaderValue::as_bytes);
        let trace = Trace::of(all("traceparent"), all("tracestate"));
        let visit = Visit::new(state.exchange.shared.signals.spans.place(trace));
        // A method may be a word of the client's: no more of it than a receipt should quote.
        let method = request.method().as_str().chars().take(METHOD_CHARS_MAX).collect();
        Self { route, user: None, request_hash: None, method, visit: Arc::new(visit) }
    }

    /// Refuses, and sees to it that there is a receipt of that.
    pub(super) fn refuse(self, state: &AppState, ids: Ids, fault: Fault) -> ApiError {
        if let Some(id) = ids.receipt {
            let model = match &fault {
                Fault::UnknownModel { asked, .. } => Some(asked.clone()),
                _ => None,
            };
            // An answer to HEAD has no body, whatever it says of one.
            let body = match self.method.as_str() {
                "HEAD" => bytes::Bytes::new(),
                _ => fault.body(ids.envelope, &ids.request),
            };
            let refused = Refused {
                id,
                user: self.user,
                endpoint: self.route.path(),
                model,
                unread: self.request_hash.is_none(),
                request_hash: self.request_hash.unwrap_or_else(|| Digest32::sha256(b"")),
                status: fault.status_in(ids.envelope),
                reason: fault.reason(),
                response_hash: Digest32::sha256(&body),
                bytes: body.len() as u64,
                method: self.method,
            };
            state.exchange.refuse(refused, &ids.request, &self.visit);
        }
        ApiError::new(ids, fault)
    }
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    state: &AppState,
    ids: &Ids,
    seen: &mut Seen,
) -> Result<(Answer, Arc<Permit>), Failed> {
    let user = state.auth.account_on(seen.route, request).await?;
    state.exchange.greet(user).await?;
    seen.user = Some(user);
    let client_key = client_key(request)?;
    // Before the body is read: what is in memory is bounded by the places.
    let place = Arc::new(state.exchange.enter(user)?);
    let (bytes_max, stop) = (state.limits.body_bytes_max(seen.route), &state.exchange.shared.stop);
    let body = body::read(request, payload, bytes_max, stop).await?;
    let request_hash = Digest32::sha256(&body);
    seen.request_hash = Some(request_hash);
    let id = ids.receipt.ok_or(Fault::Internal)?;
    let (request_id, envelope) = (ids.request.clone(), ids.envelope);
    let checkpoint_events = checkpoint_events(request)?;
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|text| text.to_str().ok());
    let ask = Ask {
        id,
        user,
        route: seen.route,
        body,
        content_type: content_type.map(str::to_owned),
        request_hash,
        permit: Arc::clone(&place),
        client_key,
        request_id,
        envelope,
        checkpoint_events,
        visit: Arc::clone(&seen.visit),
    };
    Ok((state.exchange.answer(ask).await?, place))
}

fn client_key(request: &HttpRequest) -> Result<Option<Vec<u8>>, Fault> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    if (1..=CLIENT_KEY_BYTES_MAX).contains(&value.len()) {
        return Ok(Some(value.as_bytes().to_vec()));
    }
    let rule = format!("'Idempotency-Key' must have 1 to {CLIENT_KEY_BYTES_MAX} bytes");
    Err(Fault::BadParameter { param: "Idempotency-Key", message: rule })
}

/// After how many events of a stream the client wants a checkpoint.
fn checkpoint_events(request: &HttpRequest) -> Result<Option<NonZeroU64>, Fault> {
    let Some(value) = request.headers().get(CHECKPOINTS) else { return Ok(None) };
    let events = value.to_str().ok().and_then(|text| text.parse::<NonZeroU64>().ok());
    let events = events.filter(|events| events.get() >= CHECKPOINT_EVENTS_MIN);
    events.map(Some).ok_or_else(|| Fault::BadParameter {
        param: CHECKPOINTS,
        message: format!(
            "'X-Receipt-Checkpoints' is a number of events, {CHECKPOINT_EVENTS_MIN} at least: a \
             signed checkpoint follows so many of a stream"
        ),
    })
}

fn respond(answer: Answer, place: Arc<Permit>, ids: &Ids) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    ids.write(&mut response);
    let content_type = answer.content_type.and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(content_type) = content_type {
        response.insert_header((CONTENT_TYPE, content_type));
    }
    match answer.body {
        AnswerBody::Whole(bytes) => response.body(Whole::new(bytes, place)).map_into_boxed_body(),
        AnswerBody::Stream(pieces) => {
            response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
            // Proxies in front of us pass each event on at once.
            response.insert_header(("x-accel-buffering", "no"));
            response.streaming(Placed { pieces, _place: place })
        }
    }
}
