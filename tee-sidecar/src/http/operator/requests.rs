//! `GET /v1/request`: finished exchanges, collected or not.

use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::ledger::statement::{RequestQuery, RequestRow};
use broker_core::{Neuron, Outcome, ReceiptId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::AppState;
use super::refused::Refused;
use super::{Metadata, read, rfc3339};
use crate::fault::Fault;
use crate::shapes;

/// What may be asked for.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "RequestsQuery")]
pub(crate) struct Query {
    /// `true` for those that the chain has paid, `false` for the others.
    processed: Option<String>,
    /// The account's address.
    user: Option<String>,
    /// From 0 to 1000; 100 unless given.
    limit: Option<String>,
    /// How many are left out at the beginning.
    offset: Option<String>,
}

/// A page of them.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Refused> {
    let query = web::Query::<Query>::from_query(request.query_string());
    let query = query.map_err(|_| Refused::bad(CONTEXT, "the query string cannot be read"))?;
    let asked = read_query(&query).map_err(|why| Refused::bad(CONTEXT, why))?;
    let page = read(&state, CONTEXT, move |reader| reader.requests(&asked)).await?;
    let services = state.network.as_ref().and_then(|network| network.services.get());
    let name = services.and_then(|services| services.current()).map(|current| current.name);
    // A float would round it: the digits go out as they are.
    let fee = RawValue::from_string(page.fee.to_string());
    let fee = fee.map_err(|_| Refused::new(CONTEXT, Fault::Internal))?;
    let items = page.items.iter().map(|row| shown(row, name.as_deref())).collect();
    Ok(HttpResponse::Ok().json(Page { metadata: Metadata { total: page.total }, items, fee }))
}

/// Finished exchanges.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RequestsPage")]
pub(crate) struct Page {
    metadata: Metadata,
    items: Vec<Item>,
    /// The sum of the fees of all that match, in neuron: a whole number, which may be larger than
    /// those that a float holds.
    #[schemars(with = "u128")]
    fee: Box<RawValue>,
}

/// A finished exchange.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Request")]
struct Item {
    #[schemars(with = "shapes::ReceiptId")]
    id: ReceiptId,
    #[schemars(with = "shapes::Time")]
    created_at: String,
    #[schemars(with = "shapes::Time")]
    updated_at: String,
    #[schemars(with = "shapes::Address")]
    user_address: UserId,
    service_name: Option<String>,
    /// The number of the voucher that its fee is under.
    nonce: Option<String>,
    #[schemars(with = "shapes::Neuron")]
    fee: Neuron,
    #[schemars(with = "shapes::Neuron")]
    input_fee: Neuron,
    #[schemars(with = "shapes::Neuron")]
    output_fee: Neuron,
    /// Tokens of the prompt.
    input_count: u64,
    /// Tokens that were generated.
    output_count: u64,
    #[schemars(with = "shapes::Hash")]
    request_hash: String,
    #[schemars(with = "shapes::Hash")]
    response_hash: String,
    #[schemars(with = "shapes::Signature")]
    tee_signature: String,
    #[schemars(with = "shapes::Outcome")]
    outcome: Outcome,
    /// The chain has paid it.
    processed: bool,
}

fn read_query(query: &Query) -> Result<RequestQuery, String> {
    let processed = match query.processed.as_deref() {
        None | Some("") => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err("processed must be true or false".into()),
    };
    let number = |name: &str, text: &Option<String>, most: u64, default: u64| match text {
        None => Ok(default),
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| *number <= most && text.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(|| format!("{name} must be a whole number up to {most}")),
    };
    let user = query.user.as_deref().map(str::parse).transpose();
    Ok(RequestQuery {
        processed,
        user: user.map_err(|error| format!("user: {error}"))?,
        limit: number("limit", &query.limit, LIMIT_MAX, LIMIT)?,
        offset: number("offset", &query.offset, u64::from(u32::MAX), 0)?,
    })
}

fn shown(row: &RequestRow, service: Option<&str>) -> Item {
    let receipt = &row.receipt;
    let time = rfc3339(receipt.served_at.0);
    // A fee that was cut down to its hold is cut on the side of the prompt.
    let output_fee = row.tariff.output_fee(&receipt.usage).unwrap_or(receipt.fee).min(receipt.fee);
    Item {
        id: receipt.id,
        created_at: time.clone(),
        updated_at: time,
        user_address: receipt.user,
        service_name: service.map(str::to_owned),
        nonce: row.voucher.map(|nonce| nonce.to_string()),
        fee: receipt.fee,
        input_fee: receipt.fee.checked_sub(output_fee).unwrap_or_default(),
        output_fee,
        input_count: receipt.usage.input,
        output_count: receipt.usage.output,
        request_hash: receipt.request_hash.to_string(),
        response_hash: receipt.response_hash.to_string(),
        tee_signature: receipt.signature.to_string(),
        outcome: receipt.outcome,
        processed: row.settled,
    }
}

const CONTEXT: &str = "list request";
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1000;
