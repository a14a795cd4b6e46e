//! `GET /v1/models`

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::AppState;
use super::error::ApiError;
use crate::fault::Fault;

/// The one model that is served, in OpenAI's shape.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let shared = &state.exchange.shared;
    let model = shared.catalog.model(&*state.exchange.engine).await.map_err(|error| {
        tracing::warn!(%error, "engine not ready");
        let fault = Fault::BadGateway("the model server cannot be reached; try again");
        ApiError::of(&request, fault)
    })?;
    Ok(HttpResponse::Ok().json(json!({
        "object": "list",
        "data": [{
            "id": model.name,
            "object": "model",
            "owned_by": "tee-sidecar",
            "max_model_len": model.context_tokens,
        }],
    })))
}
