//! `GET /attestation/report`, `GET /v1/quote`

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::time::Duration;

use super::AppState;
use super::error::{ApiError, Ids};
use crate::attest::{ReportError, ReportQuery};
use crate::fault::Fault;

pub(super) async fn report(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let query = web::Query::<ReportQuery>::from_query(request.query_string());
    let report = match query {
        Ok(query) => state.reports.report(&query).await.map_err(fault),
        Err(_) => Err(Fault::BadRequest("the query string cannot be read".into())),
    };
    let report = report.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CONTENT_TYPE, "application/json"));
    Ok(response.body(report))
}

/// 0G's quote of the signing key, whose body is signed to the byte.
pub(super) async fn quote(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let asked = web::Query::<QuoteQuery>::from_query(request.query_string());
    let quote = match asked.map(|asked| asked.into_inner().legacy) {
        Ok(None) => state.reports.legacy_quote().await.map_err(fault),
        Ok(Some(legacy)) if legacy == "true" => state.reports.legacy_quote().await.map_err(fault),
        Ok(Some(legacy)) if legacy == "false" => {
            Err(Fault::NotFound("end-to-end encryption is not offered here".into()))
        }
        _ => Err(Fault::BadParameter {
            param: "legacy",
            message: "legacy is `true` or `false`".into(),
        }),
    };
    let quote = quote.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"));
    response.insert_header(("ZG-Quote-Signature", quote.signature));
    Ok(response.body(quote.body))
}

/// The parameters of `/v1/quote`.
#[derive(Deserialize)]
struct QuoteQuery {
    legacy: Option<String>,
}

fn fault(error: ReportError) -> Fault {
    let text = error.to_string();
    match error {
        ReportError::BadNonce(_) => Fault::BadParameter { param: "nonce", message: text },
        ReportError::UnknownAlgorithm | ReportError::AlgorithmNotOffered => {
            Fault::InvalidSigningAlgo(text)
        }
        ReportError::BadParameter { parameter, .. } => {
            Fault::BadParameter { param: parameter, message: text }
        }
        ReportError::NoTls => {
            Fault::BadParameter { param: "include_tls_fingerprint", message: text }
        }
        ReportError::OtherSigner => Fault::NotFound(text),
        ReportError::Busy => Fault::RateLimited {
            message: "too many attestation reports at once; try again".into(),
            retry_after: Duration::from_secs(1),
        },
        ReportError::NoEvidence(cause) => {
            tracing::error!(%cause, "no evidence");
            Fault::Unavailable { message: text.into(), retry_after: Duration::from_secs(5) }
        }
    }
}
