//! The operator's routes, on the admin listener only.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, Resource, web};
use broker_core::{Digest32, LedgerError, LedgerReader};
use subtle::ConstantTimeEq;

use super::AppState;
use super::auth::bearer;
use crate::fault::Fault;
use crate::network::{Network, Services};

mod metrics;
mod refused;
mod requests;
mod service;
mod settle;
mod users;
mod wanted;

use refused::Refused;

/// The routes. They belong on the operator's listener and nowhere else.
pub fn routes(config: &mut web::ServiceConfig) {
    serve(config, "/v1/service", "POST, GET", |resource| {
        let post = web::post().to(service::register);
        resource.route(post).route(web::get().to(service::list))
    });
    serve(config, "/v1/service/{name}", "GET, PUT, DELETE", |resource| {
        let (get, put) = (web::get().to(service::by_name), web::put().to(service::change));
        resource.route(get).route(put).route(web::delete().to(service::remove))
    });
    serve(config, "/v1/contract-service", "GET", |resource| {
        resource.route(web::get().to(service::on_contract))
    });
    serve(config, "/v1/sync-service", "POST", |resource| {
        resource.route(web::post().to(service::sync))
    });
    serve(config, "/v1/settle", "POST", |resource| resource.route(web::post().to(settle::settle)));
    serve(config, "/v1/sync-account", "POST", |resource| {
        resource.route(web::post().to(users::sync))
    });
    serve(config, "/v1/user", "GET", |resource| resource.route(web::get().to(users::list)));
    serve(config, "/v1/user/{address}", "GET", |resource| {
        resource.route(web::get().to(users::by_address))
    });
    serve(config, "/v1/request", "GET", |resource| resource.route(web::get().to(requests::list)));
    serve(config, "/metrics", "GET", |resource| resource.route(web::get().to(metrics::text)));
}

fn serve(
    config: &mut web::ServiceConfig,
    path: &str,
    allowed: &'static str,
    with_routes: impl FnOnce(Resource) -> Resource,
) {
    let resource = with_routes(web::resource(path));
    let resource = resource.default_service(web::to(move |_: HttpRequest| async move {
        Err::<String, _>(Refused::new("operator", Fault::MethodNotAllowed { allowed }))
    }));
    config.service(resource.wrap(from_fn(only_the_operator)));
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
