//! The HTTP edge: every route on one screen. A handler extracts, calls one function and answers.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HOST, ORIGIN};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, web};

use broker_core::LedgerReader;

use crate::attest::report::ReportService;
use crate::config::{Limits, Secret};
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::ledger::Lead;
use crate::network::Network;
use crate::route::Route;

mod aci;
mod attestation;
pub mod auth;
mod body;
mod cors;
mod counted;
pub mod error;
mod estimate;
mod finding;
mod health;
mod inference;
mod log;
mod models;
pub mod openapi;
mod operator;
mod outgoing;
mod pace;
mod path;
mod proxy;
mod receipts;
mod signature;
mod table;
mod tariff;
mod unread;
mod user;

pub use aci::name_keyset;
pub use cors::cors;
pub use counted::counted;
pub use health::Notices;
pub use pace::Pace;
pub use unread::close_behind_errors;

use auth::Authenticator;
use error::ApiError;
use openapi::public;
use table::{Operation, Serve, Tell, Verb, resources};

pub use operator::routes as operator_routes;

/// What the handlers share.
#[derive(Clone)]
pub struct AppState {
    /// Runs exchanges.
    pub exchange: Exchange,
    /// Who asks.
    pub auth: Arc<Authenticator>,
    /// Finished exchanges.
    pub reader: Arc<dyn LedgerReader>,
    /// How the sidecar stands with others on the same ledger.
    pub lead: Lead,
    /// Evidence.
    pub reports: ReportService,
    /// The 0G network; `None` without a chain.
    pub network: Option<Arc<Network>>,
    /// The longest request bodies.
    pub limits: Arc<Limits>,
    /// How often one client may ask for what costs nothing.
    pub pace: Arc<Pace>,
    /// The service as it is advertised.
    pub service: Arc<crate::config::Service>,
    /// What is told of the routes.
    pub documents: Arc<openapi::Documents>,
    /// What operators have to know.
    pub notices: Arc<Notices>,
    /// The origins of web pages that may call the public routes.
    pub allow_origins: Vec<String>,
    /// What the operator's routes ask for where they are not on loopback.
    pub admin_token: Option<Arc<Secret<String>>>,
}

type State = web::Data<AppState>;

/// The routes that everyone may reach, on every listener. A route is taken by its one spelling;
/// behind `/v1/proxy` by any that means the same.
pub fn routes(config: &mut web::ServiceConfig) {
    for route in Route::ALL {
        let serve = move |request: HttpRequest, payload: web::Payload, state: State| {
            inference::serve(route, request, payload, state)
        };
        let other = move |request: HttpRequest, state: State| {
            inference::method_not_allowed(route, request, state)
        };
        let resource = web::resource(route.path()).route(web::post().to(serve));
        config.service(resource.default_service(web::to(other)));
    }
    for (resource, allowed) in resources(PUBLIC) {
        config.service(only(resource, allowed));
    }
    // A path whose escapes are no text names nothing.
    let unreadable = web::PathConfig::default().error_handler(|_, request| {
        ApiError::of(request, Fault::NotFound("there is no such route".into())).into()
    });
    config.app_data(unreadable);
    config.default_service(web::to(proxy::serve));
}

/// The public routes that are no exchanges. The OpenAPI document is made of them too.
const PUBLIC: &[Operation] = &[
    post("/v1/estimate", || web::post().to(estimate::upper_bound), public::estimate),
    get("/attestation/report", || web::get().to(attestation::report), public::report),
    get("/v1/attestation/report", || web::get().to(attestation::report), public::report),
    get("/signature/{id}", || web::get().to(signature::by_id), public::signature),
    get("/v1/signature/{id}", || web::get().to(signature::by_id), public::signature),
    get("/v1/quote", || web::get().to(attestation::quote), public::quote),
    get("/v1/aci/attestation", || web::get().to(aci::attestation), public::aci_attestation),
    get("/v1/aci/keysets/{digest}", || web::get().to(aci::keyset), public::aci_keyset),
    get("/v1/aci/receipts/{id}", || web::get().to(receipts::document), public::aci_receipt),
    get("/v1/receipts", || web::get().to(receipts::own), public::own_receipts),
    get("/v1/receipts/{id}", || web::get().to(receipts::with_proof), public::receipt),
    get("/v1/log/head", || web::get().to(log::current), public::log_head),
    get("/v1/log/proof/inclusion", || web::get().to(log::inclusion), public::inclusion),
    get("/v1/log/proof/consistency", || web::get().to(log::consistency), public::consistency),
    get("/v1/log/tile/{path:.*}", || web::get().to(log::tile), public::tile),
    get("/v1/tariff", || web::get().to(tariff::current), public::tariff),
    get("/v1/tariff/{digest}", || web::get().to(tariff::by_digest), public::tariff_by_digest),
    get("/v1/models", || web::get().to(models::list), public::models),
    get(
        "/v1/user/{address}/unsettledfee",
        || web::get().to(user::unsettled_fee),
        public::unsettled_fee,
    ),
    get("/healthz", || web::get().to(health::live), public::live),
    get("/readyz", || web::get().to(health::ready), public::ready),
    get("/openapi.json", || web::get().to(openapi::document), public::document),
    get("/docs", || web::get().to(openapi::page), public::page),
];

const fn get(path: &'static str, serve: Serve, about: Tell) -> Operation {
    Operation::new(Verb::Get, path, serve, about)
}

const fn post(path: &'static str, serve: Serve, about: Tell) -> Operation {
    Operation::new(Verb::Post, path, serve, about)
}

fn only(resource: actix_web::Resource, allowed: String) -> actix_web::Resource {
    resource.default_service(web::to(move |request: HttpRequest| {
        let fault = Fault::MethodNotAllowed { allowed: allowed.clone().into() };
        async move { Err::<String, _>(ApiError::of(&request, fault)) }
    }))
}

/// A page in the operator's browser can reach a loopback port. It cannot hide its `Origin`, and a
/// name that it rebinds to loopback shows in `Host`.
pub async fn no_browsers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let local = request.app_config().local_addr().ip().to_canonical().is_loopback();
    if local {
        let headers = request.headers();
        // Only what the browser itself writes: a page can set `Forwarded` as it likes.
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if headers.contains_key(ORIGIN) || !is_loopback_host(host) {
            let why = "the operator's port takes no requests of web pages; ask 127.0.0.1 directly";
            return Err(ApiError::of(request.request(), Fault::Forbidden(why)).into());
        }
    }
    next.call(request).await
}

fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback_host;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for good in ["localhost", "LOCALHOST:3080", "127.0.0.1", "127.0.0.1:3080", "[::1]:3080"] {
            assert!(is_loopback_host(good), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example:3080", "10.0.0.1", "", "localhost.x"] {
            assert!(!is_loopback_host(bad), "{bad}");
        }
    }
}
