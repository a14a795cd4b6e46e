//! Errors in the shape of vLLM's: `{"error":{"message","type","param","code"}}`.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;

/// Why a request is not answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    error: Error,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Error {
    message: String,
    r#type: &'static str,
    param: Option<String>,
    code: u16,
}

impl Refusal {
    /// A request that does not have the form of a chat request. Unlike vLLM, the demo does not
    /// repeat the caller's input.
    pub(crate) fn invalid(kind: &str, place: &str, rule: &str) -> Self {
        let message = format!(
            "1 validation error:\n  {{'type': '{kind}', 'loc': '{place}', 'msg': '{rule}'}}"
        );
        Self::new(400, message, "Bad Request", Some(place))
    }

    /// A request whose values cannot be served.
    pub(crate) fn bad_request(message: &str) -> Self {
        Self::new(400, message.to_owned(), "BadRequestError", None)
    }

    /// As `bad_request`, with the parameter that is at fault.
    pub(crate) fn named(message: &str, param: &str) -> Self {
        Self::new(400, message.to_owned(), "BadRequestError", Some(param))
    }

    /// A model that is not served.
    pub(crate) fn unknown_model(asked: &str, served: &str) -> Self {
        let message = format!("The model `{asked}` does not exist. Valid aliases: {served}.");
        Self::new(404, message, "NotFoundError", Some("model"))
    }

    /// The answer.
    pub(crate) fn respond(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.error.code).unwrap_or(StatusCode::BAD_REQUEST);
        HttpResponse::build(status).json(self)
    }

    fn new(code: u16, message: String, r#type: &'static str, param: Option<&str>) -> Self {
        Self { error: Error { message, r#type, param: param.map(str::to_owned), code } }
    }
}

#[cfg(test)]
impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        self.error.code
    }

    pub(crate) fn param(&self) -> Option<&str> {
        self.error.param.as_deref()
    }
}
