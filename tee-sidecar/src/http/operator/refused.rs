//! What an operator is told instead: the network's flat envelope.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use crate::fault::Fault;
use crate::network::service::ServiceError;

/// A fault, and what the operator wanted.
#[derive(Debug)]
pub(super) struct Refused {
    context: &'static str,
    fault: Fault,
}

impl Refused {
    pub(super) const fn new(context: &'static str, fault: Fault) -> Self {
        Self { context, fault }
    }

    /// The request cannot be done as it is.
    pub(super) fn bad(context: &'static str, why: impl Into<String>) -> Self {
        Self::new(context, Fault::BadRequest(why.into()))
    }

    /// The service could not be changed.
    pub(super) fn service(context: &'static str, error: &ServiceError) -> Self {
        match error {
            ServiceError::Unknown => Self::new(context, Fault::NotFound(error.to_string())),
            ServiceError::Internal => Self::new(context, Fault::Internal),
            _ => Self::bad(context, error.to_string()),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider: {}: {}", self.context, self.fault)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.fault.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(secs) = self.fault.retry_after_secs() {
            response.insert_header((RETRY_AFTER, secs));
        }
        match &self.fault {
            Fault::Unauthorized(_) => {
                response.insert_header((WWW_AUTHENTICATE, "Bearer"));
            }
            Fault::MethodNotAllowed { allowed } => {
                response.insert_header((ALLOW, allowed.as_ref()));
            }
            Fault::PayloadTooLarge { .. } | Fault::RequestTimeout => {
                response.force_close();
            }
            _ => {}
        }
        response.json(json!({ "error": self.to_string() }))
    }
}
