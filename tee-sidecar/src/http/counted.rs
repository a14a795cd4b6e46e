//! Every answer is counted, by route and class of status.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use super::AppState;

/// Counts the answer. A route is the pattern that the path fits: never what a client wrote.
pub async fn counted(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let state = request.app_data::<web::Data<AppState>>();
    let signals = state.map(|state| state.exchange.shared.signals.clone());
    let answered = next.call(request).await;
    let Some(signals) = signals else { return answered };
    match &answered {
        Ok(response) => {
            let pattern = response.request().match_pattern();
            let unmatched = || match response.request().path().starts_with("/v1/proxy") {
                true => PROXIED,
                false => OTHER,
            };
            let route = pattern.as_deref().unwrap_or_else(unmatched);
            signals.answers.answered(route, response.status().as_u16());
        }
        Err(error) => {
            signals.answers.answered(OTHER, error.as_response_error().status_code().as_u16());
        }
    }
    answered
}

/// Whatever stands behind 0G's prefix, in any spelling.
const PROXIED: &str = "/v1/proxy";
/// What fits no route.
const OTHER: &str = "other";
