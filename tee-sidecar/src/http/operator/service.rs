//! `/v1/service`: what this provider serves, on the chain first and then on the route.

use std::sync::Arc;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::chain::{Service, ServiceParams};
use broker_core::{Address, Neuron};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::{AppState, body};
use super::refused::Refused;
use super::settle::only_the_leader;
use super::wanted::wanted;
use super::{List, network, rfc3339, services};
use crate::fault::Fault;
use crate::network::book::Registered;
use crate::network::service::ServiceError;
use crate::network::{Network, Services};
use crate::shapes;

/// `POST /v1/service`: 204.
pub(super) async fn register(
    request: HttpRequest,
    state: web::Data<AppState>,
    payload: web::Payload,
) -> Result<HttpResponse, Refused> {
    let context = "register service";
    let body = json_body(&request, payload, &state, context).await?;
    let wanted = wanted(&body, None).map_err(|why| Refused::bad(context, why))?;
    put(&state, wanted, context).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `PUT /v1/service/{name}`: 202.
pub(super) async fn change(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<AppState>,
    payload: web::Payload,
) -> Result<HttpResponse, Refused> {
    let context = "update service";
    let body = json_body(&request, payload, &state, context).await?;
    let network = network(&state, context)?;
    if services(&network, context)?.current().is_none_or(|current| current.name != *name) {
        return Err(Refused::service(context, &ServiceError::Unknown));
    }
    let wanted = wanted(&body, Some(&name)).map_err(|why| Refused::bad(context, why))?;
    put(&state, wanted, context).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// `DELETE /v1/service/{name}`: 202.
pub(super) async fn remove(
    name: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Refused> {
    let context = "delete service";
    let network = network(&state, context)?;
    only_the_leader(&network, context)?;
    let services = services(&network, context)?;
    // Whoever asked may leave; what has begun on the chain is seen to its end.
    let removing = tokio::spawn(async move { services.remove(&name, &network).await });
    let removed = removing.await.unwrap_or(Err(ServiceError::Internal));
    removed.map_err(|error| Refused::service(context, &error))?;
    Ok(HttpResponse::Accepted().finish())
}

async fn put(state: &AppState, wanted: Registered, context: &'static str) -> Result<(), Refused> {
    let network = network(state, context)?;
    only_the_leader(&network, context)?;
    let services = services(&network, context)?;
    let registering = tokio::spawn(async move {
        services.register(wanted, &network).await?;
        // The gate opens as soon as there is nothing in the way any more.
        network.settler.check().await;
        Ok(())
    });
    let registered = registering.await.unwrap_or(Err(ServiceError::Internal));
    registered.map_err(|error| {
        tracing::warn!(%error, "the service is not registered; the route is what it was");
        Refused::service(context, &error)
    })
}

/// `GET /v1/service`
pub(super) async fn list(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let context = "list service";
    let network = network(&state, context)?;
    let current = services(&network, context)?.current();
    Ok(HttpResponse::Ok().json(List::new(current.iter().map(shown).collect())))
}

/// `GET /v1/service/{name}`
pub(super) async fn by_name(
    name: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Refused> {
    let context = "get service";
    let network = network(&state, context)?;
    let current = services(&network, context)?.current();
    let current = current.filter(|current| current.name == *name);
    let current = current.ok_or_else(|| Refused::service(context, &ServiceError::Unknown))?;
    Ok(HttpResponse::Ok().json(shown(&current)))
}

/// `GET /v1/contract-service`: what the chain has of this provider.
pub(super) async fn on_contract(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let context = "list service in contract";
    let (network, services) = parts(&state, context)?;
    let service = network.chain.service().await;
    let service = service.map_err(|error| Refused::bad(context, error.to_string()))?;
    let name = services.current().map(|current| current.name);
    let items = service.iter().map(|service| on_chain(&network, name.as_deref(), service));
    Ok(HttpResponse::Ok().json(List::new(items.collect())))
}

/// `POST /v1/sync-service`: 202, with the chain's prices in force.
pub(super) async fn sync(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let context = "sync service";
    let (network, services) = parts(&state, context)?;
    let compared = services.reconcile().await;
    compared.map_err(|error| Refused::service(context, &error))?;
    network.settler.check().await;
    Ok(HttpResponse::Accepted().finish())
}

fn parts(
    state: &AppState,
    context: &'static str,
) -> Result<(Arc<Network>, Arc<Services>), Refused> {
    let network = network(state, context)?;
    let services = services(&network, context)?;
    Ok((network, services))
}

/// A page on a web site cannot send this type without asking first.
async fn json_body(
    request: &HttpRequest,
    payload: web::Payload,
    state: &AppState,
    context: &'static str,
) -> Result<Bytes, Refused> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refused::bad(context, "send the header 'Content-Type: application/json'"));
    }
    let stop = &state.exchange.shared.stop;
    let read = body::read(request, payload, BODY_BYTES_MAX, stop).await;
    read.map_err(|fault: Fault| Refused::new(context, fault))
}

/// The registered service.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Service")]
pub(crate) struct Shown {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// The model server's address.
    url: String,
    model: String,
    verifiability: String,
    /// For one token.
    #[schemars(with = "shapes::Neuron")]
    input_price: Neuron,
    /// For one token.
    #[schemars(with = "shapes::Neuron")]
    output_price: Neuron,
    #[schemars(with = "shapes::Time")]
    created_at: String,
    #[schemars(with = "shapes::Time")]
    updated_at: String,
}

/// What the chain has of this provider.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ContractService")]
pub(crate) struct OnChain {
    #[schemars(with = "shapes::Address")]
    provider: Address,
    /// The name that it is registered under here.
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    /// Where clients go.
    url: String,
    model: String,
    verifiability: String,
    /// For one token.
    #[schemars(with = "shapes::Neuron")]
    input_price: Neuron,
    /// For one token.
    #[schemars(with = "shapes::Neuron")]
    output_price: Neuron,
    /// JSON in a string.
    additional_info: String,
    /// The key that signs answers and vouchers.
    #[schemars(with = "shapes::Address")]
    tee_signer_address: Address,
    /// The contract's owner has acknowledged that key.
    tee_signer_acknowledged: bool,
}

fn shown(service: &Registered) -> Shown {
    Shown {
        name: service.name.clone(),
        kind: service.kind.clone(),
        url: service.url.clone(),
        model: service.model.clone(),
        verifiability: service.verifiability.clone(),
        input_price: service.input_price,
        output_price: service.output_price,
        created_at: rfc3339(service.created_at),
        updated_at: rfc3339(service.updated_at),
    }
}

fn on_chain(network: &Network, name: Option<&str>, service: &Service) -> OnChain {
    let ServiceParams {
        kind,
        url,
        model,
        verifiability,
        input_price,
        output_price,
        additional_info,
        tee_signer,
    } = service.params.clone();
    OnChain {
        provider: network.chain.provider(),
        name: name.map(str::to_owned),
        kind,
        url,
        model,
        verifiability,
        input_price,
        output_price,
        additional_info,
        tee_signer_address: tee_signer,
        tee_signer_acknowledged: service.tee_signer_acknowledged,
    }
}

/// A registration is far shorter.
const BODY_BYTES_MAX: usize = 64 * 1024;
