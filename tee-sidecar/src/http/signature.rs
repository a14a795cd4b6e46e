//! `GET /signature/{id}`

use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{
    HoldState, LedgerError, LedgerReader, Outcome, Receipt, ReceiptId, ReleaseReason, UserId,
};
use serde::Serialize;

use super::AppState;
use super::error::{ApiError, Ids};
use crate::fault::Fault;

/// What a verifier needs; more fields may join, these stay.
#[derive(Serialize)]
struct SignatureBody {
    text: String,
    signature: String,
    signing_address: String,
    signing_algo: &'static str,
    outcome: Outcome,
    receipt_id: ReceiptId,
    usage: UsageBody,
    /// Neuron, as a decimal string.
    fee: broker_core::Neuron,
    #[serde(skip_serializing_if = "is_false")]
    simulated: bool,
}

#[derive(Serialize)]
struct UsageBody {
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: u64,
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
    let found = find(&request, id, &state).await;
    let receipt = found.map_err(|fault| ApiError::new(ids.clone(), fault))?;
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
        simulated: state.reports.is_simulated(),
    };
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(body))
}

async fn find(request: &HttpRequest, id: String, state: &AppState) -> Result<Receipt, Fault> {
    algorithm(request)?;
    // Whoever knows our id may have the hashes; only an engine's id needs to be told apart.
    let owner = state.auth.optional_account(request).await;
    let reader = state.reader.clone();
    let found = web::block(move || look_up(&*reader, &id, owner)).await;
    match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::error!(%error, "signature");
            Err(Fault::Internal)
        }
        Err(_cancelled) => Err(Fault::Internal),
    }
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

#[derive(serde::Deserialize)]
struct Algorithm {
    signing_algo: Option<String>,
}

/// By our id in its two spellings, then by the engine's.
fn look_up(
    reader: &dyn LedgerReader,
    id: &str,
    owner: Result<Option<UserId>, Fault>,
) -> Result<Result<Receipt, Fault>, LedgerError> {
    let ours = ReceiptId::parse(id).or_else(|| ReceiptId::parse(id.strip_prefix("chatcmpl-")?));
    if let Some(ours) = ours {
        if let Some(receipt) = reader.receipt(&ours)? {
            return Ok(Ok(receipt));
        }
        match reader.hold_state(&ours)? {
            Some(HoldState::Open) => {
                let text = "the answer is not finished; ask for its signature afterwards";
                return Ok(Err(Fault::NoSignature(text.into())));
            }
            Some(HoldState::Released(why)) => {
                let how = match why {
                    ReleaseReason::Crashed => "its outcome is 'crashed'",
                    ReleaseReason::Expired => "it was given up",
                    ReleaseReason::NotForwarded => "it was not forwarded",
                };
                let text = format!("the exchange has no signature: {how}, and nothing was charged");
                return Ok(Err(Fault::NoSignature(text.into())));
            }
            _ => {}
        }
    }
    let owner = match owner {
        Ok(owner) => owner,
        Err(fault) => return Ok(Err(fault)),
    };
    let by_engine = reader.receipt_by_upstream_id(id, owner.as_ref())?;
    Ok(by_engine.ok_or_else(|| Fault::NoSignature("no signature has this id".into())))
}
