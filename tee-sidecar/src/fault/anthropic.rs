//! Faults in Anthropic's shape, for clients of its Messages.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::Fault;

/// An error in Anthropic's shape.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicError")]
pub(super) struct Body<'a> {
    /// `error`
    #[serde(rename = "type")]
    kind: &'static str,
    error: Detail,
    /// The answer's `x-request-id`.
    request_id: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AnthropicErrorDetail")]
struct Detail {
    /// The kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What is wrong and how to mend it.
    message: String,
}

impl Fault {
    pub(super) fn anthropic_body(&self, request_id: &str) -> Bytes {
        let error = Detail { kind: self.anthropic_kind(), message: self.to_string() };
        // Strings always serialise.
        let body = serde_json::to_vec(&Body { kind: "error", error, request_id });
        Bytes::from(body.unwrap_or_default())
    }

    /// The word that its clients make their exceptions of.
    const fn anthropic_kind(&self) -> &'static str {
        match self.status() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            408 | 504 => "timeout_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Envelope;
    use super::*;

    #[test]
    fn a_fault_has_anthropic_s_word_its_status_and_the_request_s_id() {
        let retry_after = Duration::from_secs(1);
        for (fault, status, kind) in [
            (Fault::BadRequest("x".into()), 400, "invalid_request_error"),
            (Fault::Unauthorized("x"), 401, "authentication_error"),
            (Fault::InsufficientCredits("x".into()), 402, "billing_error"),
            (Fault::NotFound("x".into()), 404, "not_found_error"),
            (Fault::RateLimited { message: "x".into(), retry_after }, 429, "rate_limit_error"),
            (Fault::Unavailable { message: "x".into(), retry_after }, 503, "overloaded_error"),
            (Fault::GatewayTimeout, 504, "timeout_error"),
            (Fault::BadGateway("x"), 502, "api_error"),
        ] {
            let body = fault.body(Envelope::Anthropic, "r-1");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(fault.status_in(Envelope::Anthropic), status);
            let message = fault.to_string();
            let error = serde_json::json!({ "type": kind, "message": message });
            let want = serde_json::json!({ "type": "error", "error": error, "request_id": "r-1" });
            assert_eq!(body, want, "{fault:?}");
        }
    }
}
