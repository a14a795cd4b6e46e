//! `GET /openapi.json` and `/docs`: every operation, told from the tables that serve it.
//!
//! Paths and methods come from the tables of routes, errors from [`Fault`],
//! bodies from the types that are written. What is said beside stands in the files below.

use std::sync::OnceLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::Value;

use super::error::{ApiError, Ids};
use super::table::Verb;
use super::{AppState, PUBLIC};
use crate::fault::Fault;
use crate::route::Route;
use about::About;

pub(super) mod about;
mod faults;
pub(super) mod inference;
pub(super) mod operator;
mod page;
pub(super) mod public;
mod write;

/// What of it all is served.
#[derive(Clone, Debug)]
pub struct View {
    /// The inference routes.
    pub routes: Vec<Route>,
    /// The sidecar is on the 0G network.
    pub network: bool,
    /// Everyone may ask.
    pub is_open: bool,
    /// The operator's routes too.
    pub operator: bool,
}

impl View {
    /// Everything there is.
    pub fn all() -> Self {
        Self { routes: Route::ALL.to_vec(), network: true, is_open: false, operator: true }
    }

    /// The document.
    pub fn document(&self) -> Value {
        write::document(self, operations(self))
    }
}

/// An operation, where it is served.
struct Told {
    path: String,
    verb: Verb,
    about: About,
}

fn operations(view: &View) -> Vec<Told> {
    let mut all = Vec::new();
    let mut told = |path: String, verb, about| all.push(Told { path, verb, about });
    for route in &view.routes {
        told(route.path().to_owned(), Verb::Post, inference::about(*route));
    }
    for route in &view.routes {
        told(format!("/v1/proxy/{}", route.name()), Verb::Post, inference::proxied(*route));
    }
    told("/v1/proxy/attestation/report".to_owned(), Verb::Get, public::proxied_report());
    told("/v1/proxy/signature/{id}".to_owned(), Verb::Get, public::proxied_signature());
    for operation in PUBLIC {
        let about = (operation.about)();
        if view.network || !about.on_network_only {
            told(operation.path.to_owned(), operation.verb, about);
        }
    }
    for operation in super::operator::TABLE.iter().filter(|_| view.operator) {
        told(operation.path.to_owned(), operation.verb, (operation.about)());
    }
    all
}

/// Marks the operator's listener.
#[derive(Clone, Copy)]
pub(super) struct OperatorsListener;

/// The documents of both listeners, as they are served: made when they are first asked for.
#[derive(Default)]
pub struct Documents {
    public: OnceLock<Served>,
    operator: OnceLock<Served>,
}

struct Served {
    json: Bytes,
    page: Bytes,
}

impl Documents {
    fn get(&self, state: &AppState, request: &HttpRequest) -> &Served {
        let operator = request.app_data::<OperatorsListener>().is_some();
        let kept = if operator { &self.operator } else { &self.public };
        kept.get_or_init(|| {
            let view = View {
                routes: state.service.routes.clone(),
                network: state.network.is_some(),
                is_open: state.auth.is_open(),
                operator,
            };
            let document = view.document();
            // What was made of values always serialises.
            let json = serde_json::to_vec(&document).unwrap_or_default();
            Served { json: json.into(), page: page::html(&document).into() }
        })
    }
}

/// The document.
pub(super) async fn document(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&request, &state, "application/json", |served| served.json.clone())
}

/// The same for people.
pub(super) async fn page(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(&request, &state, "text/html; charset=utf-8", |served| served.page.clone())
}

fn answer(
    request: &HttpRequest,
    state: &AppState,
    content_type: &'static str,
    body: impl FnOnce(&Served) -> Bytes,
) -> Result<HttpResponse, ApiError> {
    let paced: Result<(), Fault> = state.pace.step(request);
    paced.map_err(|fault| ApiError::of(request, fault))?;
    let mut response = HttpResponse::Ok();
    Ids::of(request).write(&mut response);
    response.insert_header((CONTENT_TYPE, content_type));
    response.insert_header((CACHE_CONTROL, "no-cache"));
    response.insert_header((CONTENT_SECURITY_POLICY, page::POLICY.as_str()));
    response.insert_header(("x-content-type-options", "nosniff"));
    Ok(response.body(body(state.documents.get(state, request))))
}

#[cfg(test)]
mod tests;
