//! The prices: `GET /v1/tariff` and, by the digest that receipts cite, `/v1/tariff/{digest}`.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::jcs::Json;
use broker_core::{Digest32, KeptKind};

use super::AppState;
use super::error::{ApiError, Ids};
use super::finding::read;
use crate::exchange::prices::tariff_statement;
use crate::fault::Fault;

/// What new requests are charged by, signed.
pub(super) async fn current(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let made = async {
        state.pace.step(&request)?;
        let shared = &state.exchange.shared;
        let (tariff, at) = (shared.prices.now(), shared.clock.now());
        Ok(tariff_statement(&tariff, at, shared.identities.signing().author()))
    };
    respond(&request, made.await)
}

/// The terms that have this digest.
pub(super) async fn by_digest(
    request: HttpRequest,
    digest: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let made = async {
        state.pace.step(&request)?;
        let missing = || Fault::NotFound("no tariff has this digest".into());
        let name = parse(&digest).ok_or_else(missing)?;
        let tariff = state.exchange.shared.prices.now();
        if tariff.digest() == name {
            return Ok(tariff.terms());
        }
        let reader = state.reader.clone();
        let kept = read(move || reader.kept(KeptKind::Tariff, &name)).await?;
        let body = kept.ok_or_else(missing)?.body;
        let terms = Json::parse(&body).map_err(|_| Fault::Internal)?;
        Ok(terms.canonical())
    };
    respond(&request, made.await)
}

fn respond(request: &HttpRequest, made: Result<String, Fault>) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(request);
    let text = made.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CONTENT_TYPE, "application/json"));
    Ok(response.body(text))
}

/// `sha256:` and 64 hex digits, the word left out if so wanted.
pub(super) fn parse(digest: &str) -> Option<Digest32> {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    let mut bytes = [0; 32];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(Digest32(bytes))
}
