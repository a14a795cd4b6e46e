//! Receipts: `GET /v1/aci/receipts/{id}`, `/v1/receipts/{id}` and one's own at `/v1/receipts`.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{LedgerError, LedgerReader, LogTiles, ReceiptId, log};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::AppState;
use super::error::{ApiError, Ids};
use super::finding::{self, Found, read};
use super::log::{Inclusion, head};
use crate::fault::Fault;
use crate::shapes;

/// The signed document alone, in its canonical form.
pub(super) async fn document(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let found = proved(&request, id.into_inner(), &state).await;
    let (_, document) = found.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CONTENT_TYPE, "application/json"));
    Ok(response.body(document.get().to_owned()))
}

/// A receipt, and that it stands in the log.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReceiptWithProof")]
pub(super) struct WithProof {
    #[schemars(with = "shapes::Receipt")]
    receipt: Box<RawValue>,
    /// `null` until the log has it, which takes about a second, and for what no log promises.
    inclusion: Option<Inclusion>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

pub(super) async fn with_proof(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let answer = async {
        let (id, receipt) = proved(&request, id.into_inner(), &state).await?;
        let head = head(&state).await?;
        let reader = state.reader.clone();
        let inclusion = read(move || include(&*reader, &id, head)).await?;
        Ok(WithProof { receipt, inclusion, simulated: state.reports.is_simulated() })
    };
    let answer = answer.await.map_err(|fault: Fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(answer))
}

fn include(
    reader: &dyn LedgerReader,
    id: &ReceiptId,
    (size, head): (u64, Box<RawValue>),
) -> Result<Option<Inclusion>, LedgerError> {
    let Some(index) = reader.log_index(id)?.filter(|index| *index < size) else { return Ok(None) };
    let path = log::inclusion(&LogTiles(reader), index, size)?;
    Ok(Some(Inclusion::new(index, size, &path, Some(head))))
}

async fn proved(
    request: &HttpRequest,
    id: String,
    state: &AppState,
) -> Result<(ReceiptId, Box<RawValue>), Fault> {
    state.pace.step(request)?;
    let Found { ended, document } = finding::find(request, id, state).await?;
    let old = "this exchange is older than receipts that prove themselves; its signature is at \
               /v1/signature";
    Ok((ended.0.id, document.ok_or_else(|| Fault::NotFound(old.into()))?))
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "ReceiptsQuery")]
pub(super) struct Page {
    /// What `next` was on the page before.
    from: Option<String>,
    /// From 1 to 500, which is also the default.
    limit: Option<u64>,
}

/// One's own receipts, the oldest first.
#[derive(Serialize, JsonSchema)]
pub(super) struct Receipts {
    /// `list`
    object: &'static str,
    #[schemars(with = "Vec<shapes::Receipt>")]
    data: Vec<Box<RawValue>>,
    has_more: bool,
    /// What `from` is for the next page, also for one that does not exist yet.
    next: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    simulated: bool,
}

pub(super) async fn own(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let page = page(&request, &state).await.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CACHE_CONTROL, "private, no-store"));
    Ok(response.json(page))
}

async fn page(request: &HttpRequest, state: &AppState) -> Result<Receipts, Fault> {
    state.pace.step(request)?;
    let user = state.auth.account(request).await?;
    let query = web::Query::<Page>::from_query(request.query_string());
    let Page { from, limit } = query
        .map(web::Query::into_inner)
        .map_err(|_| Fault::BadRequest("'from' is what 'next' was, and 'limit' a number".into()))?;
    let limit = limit.unwrap_or(PAGE_RECEIPTS).clamp(1, PAGE_RECEIPTS);
    let behind = match from.as_deref() {
        None | Some("") => 0,
        Some(from) => from.parse().map_err(|_| Fault::BadParameter {
            param: "from",
            message: "'from' is what 'next' was on the page before, or is left out".into(),
        })?,
    };
    let reader = state.reader.clone();
    let read = read(move || {
        let mut found = reader.charged_to(&user, behind, limit + 1)?;
        let has_more = found.len() as u64 > limit;
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().map(|last| last.entry.to_string());
        let documents =
            found.iter().filter_map(|charged| finding::document(&charged.receipt, &charged.tariff));
        Ok((documents.collect(), has_more, next))
    });
    let (data, has_more, next) = read.await?;
    Ok(Receipts { object: "list", data, has_more, next, simulated: state.reports.is_simulated() })
}

/// Receipts of a page.
const PAGE_RECEIPTS: u64 = 500;
