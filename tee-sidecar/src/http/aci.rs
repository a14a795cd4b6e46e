//! `GET /v1/aci/attestation`, `GET /v1/aci/keysets/{digest}`, and what every answer says of
//! Attested Confidential Inference.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{Digest32, Kept, KeptKind, LedgerError, LedgerReader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::AppState;
use super::attestation::{Sliced, bad, fault, good};
use super::error::{ApiError, Ids};
use super::finding::read;
use crate::attest::ReportError;
use crate::fault::Fault;
use crate::shapes;

/// The parameters of `/v1/aci/attestation`; others are ignored.
#[derive(Deserialize, JsonSchema)]
pub(super) struct AciQuery {
    /// 64 hex digits in lower case; without one, any report of the last minutes.
    nonce: Option<String>,
}

pub(super) async fn attestation(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let ids = Ids::of(&request);
    let peer = request.peer_addr().map(|peer| peer.ip());
    let query = web::Query::<AciQuery>::from_query(request.query_string());
    let invalid = |message: String| Fault::InvalidRequest { param: Some("nonce"), message };
    let report = match query {
        Ok(query) => match state.reports.aci_report_for(query.nonce.as_deref(), peer).await {
            Ok(report) => Ok(report),
            Err(error @ ReportError::BadNonce(_)) => {
                Err(invalid(format!("{error}, in lower case")))
            }
            Err(error) => Err(fault(error)),
        },
        Err(_) => Err(invalid("the query string cannot be read; give one nonce at most".into())),
    };
    match report {
        Ok(report) => {
            let mut response = good(&ids);
            response.insert_header((CONTENT_TYPE, "application/json"));
            response.body(Sliced(report))
        }
        Err(fault) => bad(ids, fault),
    }
}

/// A keyset of this ledger's receipts, with the report that attested it in its time.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AciKeyset")]
pub(super) struct KeysetBody {
    #[schemars(with = "shapes::AciDocument")]
    workload_keyset: Box<RawValue>,
    #[schemars(with = "shapes::AciDocument")]
    report: Box<RawValue>,
    #[schemars(with = "Option<shapes::AciDocument>")]
    lineage: Option<Box<RawValue>>,
}

pub(super) async fn keyset(
    request: HttpRequest,
    digest: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let found = find(&request, &digest, &state).await;
    let body = found.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(body))
}

async fn find(request: &HttpRequest, digest: &str, state: &AppState) -> Result<KeysetBody, Fault> {
    state.pace.step(request)?;
    let unknown = || Fault::NotFound("no keyset of this digest has signed receipts here".into());
    let mut bytes = [0; 32];
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| unknown())?;
    let reader = state.reader.clone();
    read(move || look_up(&*reader, &Digest32(bytes))).await?.ok_or_else(unknown)
}

/// Whole, or not there.
fn look_up(
    reader: &dyn LedgerReader,
    digest: &Digest32,
) -> Result<Option<KeysetBody>, LedgerError> {
    let raw = |kept: Kept| {
        let text = String::from_utf8(kept.body).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
        RawValue::from_string(text).map_err(|e| LedgerError::Corrupt(e.to_string()))
    };
    let document = |kind| reader.kept(kind, digest)?.map(raw).transpose();
    let Some(workload_keyset) = document(KeptKind::Keyset)? else { return Ok(None) };
    let Some(report) = document(KeptKind::Report)? else { return Ok(None) };
    let lineage = document(KeptKind::Lineage)?;
    Ok(Some(KeysetBody { workload_keyset, report, lineage }))
}

/// Names the protocol and the keyset that signs now in every answer, errors included.
pub async fn name_keyset(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let digest = request.app_data::<web::Data<AppState>>().and_then(|state| {
        let shared = &state.exchange.shared;
        HeaderValue::from_str(shared.identities.signing().label()).ok()
    });
    match next.call(request).await {
        Ok(mut response) => {
            write(response.headers_mut(), digest);
            Ok(response)
        }
        Err(error) => {
            let mut response = error.error_response();
            write(response.headers_mut(), digest);
            Err(InternalError::from_response(error, response).into())
        }
    }
}

fn write(headers: &mut HeaderMap, digest: Option<HeaderValue>) {
    headers.insert(ACI_VERSION, HeaderValue::from_static("aci/1"));
    if let Some(digest) = digest {
        headers.insert(ACI_KEYSET_DIGEST, digest);
    }
}

const ACI_VERSION: HeaderName = HeaderName::from_static("x-aci-version");
const ACI_KEYSET_DIGEST: HeaderName = HeaderName::from_static("x-aci-keyset-digest");
