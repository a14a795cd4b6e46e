//! `GET /v1/request`: finished exchanges, collected or not.

use actix_web::{HttpResponse, web};
use broker_core::ledger::statement::{RequestQuery, RequestRow};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::AppState;
use super::refused::Refused;
use super::{read, rfc3339};
use crate::fault::Fault;

/// What may be asked for.
#[derive(Deserialize)]
pub(super) struct Query {
    processed: Option<String>,
    user: Option<String>,
    limit: Option<String>,
    offset: Option<String>,
}

/// A page of them; `fee` is the sum over all that match, as a whole number of neuron.
pub(super) async fn list(
    query: web::Query<Query>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Refused> {
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

#[derive(Serialize)]
struct Page {
    metadata: Metadata,
    items: Vec<Value>,
    fee: Box<RawValue>,
}

#[derive(Serialize)]
struct Metadata {
    total: u64,
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

fn shown(row: &RequestRow, service: Option<&str>) -> Value {
    let receipt = &row.receipt;
    let time = rfc3339(receipt.served_at.0);
    // A fee that was cut down to its hold is cut on the side of the prompt.
    let output_fee = row.tariff.output_fee(&receipt.usage).unwrap_or(receipt.fee).min(receipt.fee);
    let input_fee = receipt.fee.checked_sub(output_fee).unwrap_or_default();
    json!({
        "id": receipt.id,
        "createdAt": time,
        "updatedAt": time,
        "userAddress": receipt.user,
        "serviceName": service,
        "nonce": row.voucher.map(|nonce| nonce.to_string()),
        "fee": receipt.fee,
        "inputFee": input_fee,
        "outputFee": output_fee,
        "inputCount": receipt.usage.input,
        "outputCount": receipt.usage.output,
        "requestHash": receipt.request_hash.to_string(),
        "responseHash": receipt.response_hash.to_string(),
        "teeSignature": receipt.signature.to_string(),
        "outcome": receipt.outcome,
        "processed": row.settled,
    })
}

const CONTEXT: &str = "list request";
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1000;
