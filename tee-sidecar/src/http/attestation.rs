//! `GET /attestation/report`, `GET /v1/quote`

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError as _, web};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;

use super::AppState;
use super::error::{ApiError, Ids};
use crate::attest::{ReportError, ReportQuery};
use crate::fault::Fault;

pub(super) async fn report(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let ids = Ids::of(&request);
    let peer = request.peer_addr().map(|peer| peer.ip());
    let query = web::Query::<ReportQuery>::from_query(request.query_string());
    let report = match query {
        Ok(query) => state.reports.report_for(&query, peer).await.map_err(fault),
        Err(_) => Err(Fault::BadRequest("the query string cannot be read".into())),
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

/// 0G's quote of the signing key, whose body is signed to the byte.
pub(super) async fn quote(request: HttpRequest, state: web::Data<AppState>) -> HttpResponse {
    let ids = Ids::of(&request);
    if let Err(fault) = state.pace.step(&request) {
        return bad(ids, fault);
    }
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
    match quote {
        Ok(quote) => {
            let mut response = good(&ids);
            response.insert_header((CONTENT_TYPE, "text/plain; charset=utf-8"));
            response.insert_header(("ZG-Quote-Signature", quote.signature));
            response.body(Sliced(quote.body))
        }
        Err(fault) => bad(ids, fault),
    }
}

/// The parameters of `/v1/quote`.
#[derive(Deserialize, JsonSchema)]
pub(super) struct QuoteQuery {
    /// `true`; `false` is 404 until there is end-to-end encryption.
    legacy: Option<String>,
}

pub(super) fn good(ids: &Ids) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    response.insert_header((CACHE_CONTROL, NO_STORE));
    response
}

pub(super) fn bad(ids: Ids, fault: Fault) -> HttpResponse {
    let mut response = ApiError::new(ids, fault).error_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    response
}

pub(super) fn fault(error: ReportError) -> Fault {
    let text = error.public_text();
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
        ReportError::CheckFailed | ReportError::NoEvidence(_) => {
            Fault::Unavailable { message: text.into(), retry_after: Duration::from_secs(5) }
        }
    }
}

/// A shared document, sent piece by piece: the server copies what it is given into the connection's
/// own buffer, so that a slow reader would cost a copy of the whole.
pub(super) struct Sliced(pub(super) Bytes);

impl MessageBody for Sliced {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(SLICE_BYTES_MAX);
        Poll::Ready(Some(Ok(self.0.split_to(length))))
    }
}

/// A report is evidence of now, not of when a cache got it.
const NO_STORE: &str = "no-store";

/// What is handed to the server at a time.
const SLICE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn a_document_is_sent_in_small_slices_with_its_whole_length_known() {
        for length in [0, 1, SLICE_BYTES_MAX, SLICE_BYTES_MAX + 1, 300_000] {
            let whole: Vec<u8> = (0..=255).cycle().take(length).collect();
            let mut body = Sliced(Bytes::from(whole.clone()));
            assert_eq!(body.size(), BodySize::Sized(length as u64));
            let mut sent = Vec::new();
            while let Some(slice) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
                let slice = slice.unwrap();
                assert!(slice.len() <= SLICE_BYTES_MAX);
                sent.extend_from_slice(&slice);
            }
            assert_eq!(sent, whole);
        }
    }

    #[test]
    fn no_cache_keeps_an_answer_or_an_error() {
        let ids = Ids { request: "1".to_owned(), ..Ids::default() };
        for response in [good(&ids).finish(), bad(ids, fault(ReportError::Busy))] {
            assert_eq!(response.headers().get(CACHE_CONTROL).unwrap(), "no-store");
        }
    }

    #[test]
    fn what_only_the_operator_should_know_is_not_told() {
        use crate::attest::{AttestError, GpuError};
        let secret = || "/run/secret/agent said".to_owned();
        let driver = GpuError::Driver { gpu: Some(0), call: "call", cause: secret() };
        let spoiled = GpuError::SelfCheck { index: 1, cause: secret() };
        let agent = AttestError::Dstack { socket: secret().into(), call: "c", cause: secret() };
        let arch = GpuError::UnknownArchitecture { gpu: 1, architecture: secret() };
        for cause in [
            agent,
            AttestError::TsmMissing(secret().into()),
            AttestError::TsmProvider(secret()),
            AttestError::NoQuote(secret()),
            AttestError::SelfCheck(secret()),
            GpuError::MixedArchitectures(secret()).into(),
            GpuError::BadLibrary(secret()).into(),
            arch.into(),
            driver.into(),
            spoiled.into(),
        ] {
            let told = fault(cause.into());
            assert_eq!(told.status(), 503);
            assert!(!told.to_string().contains("secret"), "{told}");
        }
        for mode in [GpuError::ConfidentialComputingOff, GpuError::DevTools, GpuError::NotReady] {
            let told = fault(AttestError::from(mode.clone()).into());
            assert!(told.to_string().contains(&mode.to_string()), "{told}");
        }
    }
}
