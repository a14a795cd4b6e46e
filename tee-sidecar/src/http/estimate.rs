//! `POST /v1/estimate`

use actix_web::{HttpRequest, HttpResponse, web};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{ApiError, Ids};
use super::{AppState, body};
use crate::exchange::estimate::Estimate;
use crate::fault::Fault;
use crate::route::Route;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignedEstimate")]
pub(super) struct EstimateBody {
    object: &'static str,
    #[serde(flatten)]
    estimate: Estimate,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

/// What the chat request in the body would cost at most. It counts as a request of the account's.
pub(super) async fn upper_bound(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let estimate = estimate(&request, payload, &state, &ids).await;
    let estimate = estimate.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let simulated = state.reports.is_simulated();
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(EstimateBody { object: "estimate", estimate, simulated }))
}

async fn estimate(
    request: &HttpRequest,
    payload: web::Payload,
    state: &AppState,
    ids: &Ids,
) -> Result<Estimate, Fault> {
    let user = state.auth.account(request).await?;
    state.exchange.greet(user).await?;
    if let Some(network) = &state.network {
        network.gate.pass()?;
    }
    let _permit = state.exchange.enter(user)?;
    let (bytes_max, stop) = (state.limits.body_bytes_max(Route::Chat), &state.exchange.shared.stop);
    let body = body::read(request, payload, bytes_max, stop).await?;
    state.exchange.estimate(body, &ids.request).await
}
