//! The operator's routes, on the admin listener only.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, web};
use broker_core::{Digest32, LedgerError, LedgerReader};
use schemars::JsonSchema;
use serde::Serialize;
use subtle::ConstantTimeEq;

use super::AppState;
use super::auth::bearer;
use super::openapi::{OperatorsListener, operator as about};
use super::table::{Operation, Serve, Tell, Verb, resources};
use crate::fault::Fault;
use crate::network::{Network, Services};

mod metrics;
mod refused;
pub(super) mod requests;
pub(super) mod service;
mod settle;
pub(super) mod users;
mod wanted;

use refused::Refused;

/// The routes. They belong on the operator's listener and nowhere else.
pub fn routes(config: &mut web::ServiceConfig) {
    config.app_data(OperatorsListener);
    for (resource, allowed) in resources(TABLE) {
        let resource = resource.default_service(web::to(move |_: HttpRequest| {
            let fault = Fault::MethodNotAllowed { allowed: allowed.clone().into() };
            async move { Err::<String, _>(Refused::new("operator", fault)) }
        }));
        let unreadable = web::PathConfig::default().error_handler(|_, _| {
            Refused::new("operator", Fault::NotFound("there is no such route".into())).into()
        });
        config.service(resource.app_data(unreadable).wrap(from_fn(only_the_operator)));
    }
}

/// The routes. The OpenAPI document is made of them too.
pub(super) const TABLE: &[Operation] = &[
    row(Verb::Post, "/v1/service", || web::post().to(service::register), about::register),
    row(Verb::Get, "/v1/service", || web::get().to(service::list), about::list_service),
    row(Verb::Get, "/v1/service/{name}", || web::get().to(service::by_name), about::service),
    row(Verb::Put, "/v1/service/{name}", || web::put().to(service::change), about::change),
    row(Verb::Delete, "/v1/service/{name}", || web::delete().to(service::remove), about::remove),
    row(
        Verb::Get,
        "/v1/contract-service",
        || web::get().to(service::on_contract),
        about::on_contract,
    ),
    row(Verb::Post, "/v1/sync-service", || web::post().to(service::sync), about::sync_service),
    row(Verb::Post, "/v1/settle", || web::post().to(settle::settle), about::settle),
    row(Verb::Post, "/v1/sync-account", || web::post().to(users::sync), about::sync_account),
    row(Verb::Get, "/v1/user", || web::get().to(users::list), about::users),
    row(Verb::Get, "/v1/user/{address}", || web::get().to(users::by_address), about::user),
    row(Verb::Get, "/v1/request", || web::get().to(requests::list), about::requests),
    row(Verb::Get, "/metrics", || web::get().to(metrics::text), about::metrics),
];

const fn row(verb: Verb, path: &'static str, serve: Serve, about: Tell) -> Operation {
    Operation::new(verb, path, serve, about)
}

/// Everything there is of a kind.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(super) struct List<T> {
    metadata: Metadata,
    items: Vec<T>,
}

/// How many there are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListMetadata")]
struct Metadata {
    total: u64,
}

impl<T> List<T> {
    fn new(items: Vec<T>) -> Self {
        let total = u64::try_from(items.len()).unwrap_or(u64::MAX);
        Self { metadata: Metadata { total }, items }
    }
}

/// Whoever reaches a loopback port is on the machine already; elsewhere the token is asked for.
async fn only_the_operator(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let local = request.app_config().local_addr().ip().to_canonical().is_loopback();
    if !local && !has_token(request.request()) {
        let why = "the operator's token is needed: send 'Authorization: Bearer <admin.token>'";
        return Err(Refused::new("operator", Fault::Unauthorized(why)).into());
    }
    next.call(request).await
}

fn has_token(request: &HttpRequest) -> bool {
    let state = request.app_data::<web::Data<AppState>>();
    let Some(token) = state.and_then(|state| state.admin_token.as_ref()) else { return false };
    let Some(presented) = bearer(request) else { return false };
    // Hashes have one length, so the comparison does not tell that of the token.
    let (token, presented) =
        (Digest32::sha256(token.expose().as_bytes()), Digest32::sha256(presented));
    token.0.ct_eq(&presented.0).into()
}

/// The chain's part of the state.
fn network(state: &AppState, context: &'static str) -> Result<Arc<Network>, Refused> {
    let why = "this sidecar is on no chain; configure network and restart";
    state.network.clone().ok_or_else(|| Refused::bad(context, why))
}

fn services(network: &Network, context: &'static str) -> Result<Arc<Services>, Refused> {
    network.services.get().cloned().ok_or_else(|| Refused::new(context, Fault::Internal))
}

/// Reads the ledger off the server's threads.
async fn read<T: Send + 'static>(
    state: &AppState,
    context: &'static str,
    ask: impl FnOnce(&dyn LedgerReader) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, Refused> {
    let reader = state.reader.clone();
    match web::block(move || ask(&*reader)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, context, "the ledger cannot be read");
            Err(Refused::new(context, Fault::Internal))
        }
        Err(_cancelled) => Err(Refused::new(context, Fault::Internal)),
    }
}

/// Milliseconds since 1970 as RFC 3339 has them.
fn rfc3339(millis: u64) -> String {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
