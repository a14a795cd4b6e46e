//! `POST /v1/chat/completions`

use std::num::NonZeroU64;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};

use super::AppState;
use super::body;
use super::error::{ApiError, Ids};
use crate::exchange::{Answer, AnswerBody, Ask};
use crate::fault::Fault;

/// The longest `Idempotency-Key`.
const CLIENT_KEY_BYTES_MAX: usize = 255;

/// How a client asks for checkpoints.
const CHECKPOINTS: &str = "x-receipt-checkpoints";

/// Every checkpoint is a signature: no more of them than this.
const CHECKPOINT_EVENTS_MIN: u64 = 8;

pub(super) async fn completions(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of_exchange(&request);
    let answer = answer(&request, payload, &state, &ids).await;
    answer.map(|answer| respond(answer, &ids)).map_err(|fault| ApiError::new(ids, fault))
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    state: &AppState,
    ids: &Ids,
) -> Result<Answer, Fault> {
    let user = state.auth.account(request).await?;
    let client_key = client_key(request)?;
    state.exchange.greet(user).await?;
    // Before the body is read: what is in memory is bounded by the places.
    let permit = state.exchange.enter(user)?;
    let body = body::read(request, payload, state.request_bytes_max).await?;
    let id = ids.receipt.ok_or(Fault::Internal)?;
    let (request_id, envelope) = (ids.request.clone(), ids.envelope);
    let checkpoint_events = checkpoint_events(request)?;
    let endpoint = "/v1/chat/completions";
    let ask = Ask {
        id,
        user,
        endpoint,
        body,
        permit,
        client_key,
        request_id,
        envelope,
        checkpoint_events,
    };
    state.exchange.chat(ask).await
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

fn respond(answer: Answer, ids: &Ids) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    ids.write(&mut response);
    let content_type = answer.content_type.and_then(|text| HeaderValue::from_str(&text).ok());
    if let Some(content_type) = content_type {
        response.insert_header((CONTENT_TYPE, content_type));
    }
    match answer.body {
        AnswerBody::Whole(bytes) => response.body(bytes),
        AnswerBody::Stream(pieces) => {
            response.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
            // Proxies in front of us pass each event on at once.
            response.insert_header(("x-accel-buffering", "no"));
            response.streaming(pieces)
        }
    }
}
