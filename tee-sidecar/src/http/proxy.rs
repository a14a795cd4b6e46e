//! Everything that no route takes by its own spelling; among it all that is behind `/v1/proxy`.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, web};

use super::error::{ApiError, Ids};
use super::inference::{self, Seen};
use super::path::{Endpoint, proxied};
use super::{AppState, attestation, signature};
use crate::fault::Fault;

/// Serves what the allow-list has, and refuses the rest.
pub(super) async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<AppState>,
) -> HttpResponse {
    let is_alias = |name: &str| state.network.as_ref().is_some_and(|net| net.is_alias(name));
    let endpoint = match proxied(request.path(), is_alias) {
        None => Err(Fault::NotFound("there is no such route".into())),
        // To 0G's clients what the host has not switched on does not exist.
        Some(Some(Endpoint::Inference(route))) if !state.service.routes.contains(&route) => {
            Err(Fault::NoEndpoint)
        }
        Some(None) => Err(Fault::NoEndpoint),
        Some(Some(endpoint)) => Ok(endpoint),
    };
    let allowed = match &endpoint {
        Ok(Endpoint::Inference(_)) => Method::POST,
        Ok(Endpoint::Report | Endpoint::Signature(_)) => Method::GET,
        Err(_) => request.method().clone(),
    };
    if *request.method() != allowed {
        let allowed = if allowed == Method::POST { "POST" } else { "GET" };
        return refuse(
            &request,
            &state,
            &endpoint,
            Fault::MethodNotAllowed { allowed: allowed.into() },
        );
    }
    let answer = match endpoint {
        Err(fault) => return ApiError::of(&request, fault).error_response(),
        Ok(Endpoint::Inference(route)) => inference::serve(route, request, payload, state).await,
        Ok(Endpoint::Report) => return attestation::report(request, state).await,
        Ok(Endpoint::Signature(id)) => signature::answer(request, id, state).await,
    };
    answer.unwrap_or_else(|error| error.error_response())
}

fn refuse(
    request: &HttpRequest,
    state: &AppState,
    endpoint: &Result<Endpoint, Fault>,
    fault: Fault,
) -> HttpResponse {
    let error = match endpoint {
        Ok(Endpoint::Inference(route)) => {
            Seen::of(*route, request, state).refuse(state, Ids::of_exchange(request, state), fault)
        }
        _ => ApiError::of(request, fault),
    };
    error.error_response()
}
