//! `POST /v1/settle`

use actix_web::{HttpResponse, web};

use super::super::AppState;
use super::network;
use super::refused::Refused;

/// Asks for a pass that collects from everyone who owes: 202, whatever comes of it.
pub(super) async fn settle(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    network(&state, "settle fee")?.settler.ask();
    Ok(HttpResponse::Accepted().finish())
}
