//! `GET /signature/{id}`

use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{Outcome, ReceiptId};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::AppState;
use super::error::{ApiError, Ids};
use super::finding::{self, Found};
use crate::fault::Fault;
use crate::shapes;

/// What a verifier needs; more fields may join, these stay.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnswerSignature")]
pub(super) struct SignatureBody {
    /// What is signed: SHA-256 of the request and of the answer, in hex, with a colon between.
    text: String,
    #[schemars(with = "shapes::Signature")]
    signature: String,
    #[schemars(with = "shapes::Address")]
    signing_address: String,
    signing_algo: &'static str,
    #[schemars(with = "shapes::Outcome")]
    outcome: Outcome,
    #[schemars(with = "shapes::ReceiptId")]
    receipt_id: ReceiptId,
    usage: UsageBody,
    /// Neuron, as a decimal string.
    #[schemars(with = "shapes::Neuron")]
    fee: broker_core::Neuron,
    /// The receipt of `aci/1`; records from before there were such have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Receipt>")]
    receipt: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "is_false")]
    simulated: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Usage")]
struct UsageBody {
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
    #[schemars(with = "shapes::UsageSource")]
    source: broker_core::UsageSource,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

pub(super) async fn by_id(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    answer(request, id.into_inner(), state).await
}

/// The signature of the answer with this id.
pub(super) async fn answer(
    request: HttpRequest,
    id: String,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let found = match algorithm(&request) {
        Ok(()) => finding::find(&request, id, &state).await,
        Err(fault) => Err(fault),
    };
    let Found { ended, document } = found.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let (receipt, _) = &*ended;
    let body = SignatureBody {
        text: receipt.text(),
        signature: receipt.signature.to_string(),
        signing_address: receipt.signing_address.to_string(),
        signing_algo: "ecdsa",
        outcome: receipt.outcome,
        receipt_id: receipt.id,
        usage: UsageBody {
            input_tokens: receipt.usage.input,
            cached_input_tokens: receipt.usage.cached_input,
            output_tokens: receipt.usage.output,
            source: receipt.usage.source,
        },
        fee: receipt.fee,
        receipt: document,
        simulated: state.reports.is_simulated(),
    };
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(body))
}

/// Every signature of ours is ECDSA; asking for another kind is answered, not ignored.
fn algorithm(request: &HttpRequest) -> Result<(), Fault> {
    let query = web::Query::<Algorithm>::from_query(request.query_string());
    match query.map(|query| query.into_inner().signing_algo) {
        Ok(None) => Ok(()),
        Ok(Some(algo)) if algo.eq_ignore_ascii_case("ecdsa") => Ok(()),
        Ok(Some(_)) => Err(Fault::InvalidSigningAlgo("answers are signed with ecdsa only".into())),
        Err(_) => Err(Fault::BadRequest("the query string cannot be read".into())),
    }
}

#[derive(serde::Deserialize, JsonSchema)]
pub(super) struct Algorithm {
    /// `ecdsa`, which is also the default.
    signing_algo: Option<String>,
}
