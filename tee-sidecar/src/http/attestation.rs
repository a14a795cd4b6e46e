//! `GET /attestation/report`

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};
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
            let message = "the TEE gives no evidence now; try again";
            Fault::Unavailable { message, retry_after: Duration::from_secs(5) }
        }
    }
}
