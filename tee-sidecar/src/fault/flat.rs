//! Faults in 0G's shape, `{"error":"<text>"}`, as its clients know them.

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::Fault;

/// An error in 0G's shape.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "FlatError")]
pub(super) struct FlatBody<'a> {
    /// What is wrong and how to mend it.
    error: &'a str,
}

impl Fault {
    /// 0G answers 400 to whatever a client does wrong, apart from a few limits.
    pub(super) const fn flat_status(&self) -> u16 {
        match self {
            Self::UnknownModel { .. } => 429,
            _ => match self.status() {
                401..=404 | 415 => 400,
                status => status,
            },
        }
    }

    pub(super) fn flat_body(&self) -> Bytes {
        let text = self.flat_text();
        // A string always serialises.
        Bytes::from(serde_json::to_vec(&FlatBody { error: &text }).unwrap_or_default())
    }

    fn flat_text(&self) -> String {
        match self {
            Self::NoEndpoint => self.to_string(),
            Self::NoSignature(_) => format!("{VALIDATION}{CHAT_ID_NOT_FOUND}"),
            _ => match self.flat_status() {
                500 => "Internal Server Error".to_owned(),
                502 => "Bad Gateway".to_owned(),
                503 => "Service Unavailable".to_owned(),
                504 => "Gateway Timeout".to_owned(),
                400 => format!("{VALIDATION}{self}"),
                _ => self.to_string(),
            },
        }
    }
}

const VALIDATION: &str = "Provider proxy: handle proxied service, validate request: ";
const CHAT_ID_NOT_FOUND: &str = "Chat id not found or expired, chat_id_not_found";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Envelope;
    use super::*;

    #[test]
    fn a_fault_has_0g_s_status_and_its_text_alone() {
        let retry_after = Duration::from_secs(1);
        let model = Fault::UnknownModel { asked: "a".into(), served: "b".into() };
        for (fault, status, text) in [
            (Fault::Unauthorized("x"), 400, format!("{VALIDATION}x")),
            (Fault::InsufficientCredits("x".into()), 400, format!("{VALIDATION}x")),
            (Fault::Forbidden("x"), 400, format!("{VALIDATION}x")),
            (Fault::BadRequest("x \"y\"".into()), 400, format!("{VALIDATION}x \"y\"")),
            (Fault::NoEndpoint, 400, "endpoint not supported".into()),
            (Fault::NoSignature("x".into()), 400, format!("{VALIDATION}{CHAT_ID_NOT_FOUND}")),
            (model, 429, "the model 'a' is not served here; ask for 'b'".into()),
            (Fault::RateLimited { message: "x".into(), retry_after }, 429, "x".into()),
            (Fault::Internal, 500, "Internal Server Error".into()),
            (Fault::BadGateway("secret"), 502, "Bad Gateway".into()),
            (
                Fault::Unavailable { message: "x".into(), retry_after },
                503,
                "Service Unavailable".into(),
            ),
            (Fault::GatewayTimeout, 504, "Gateway Timeout".into()),
        ] {
            let body: serde_json::Value =
                serde_json::from_slice(&fault.body(Envelope::Flat, "r")).unwrap();
            assert_eq!(fault.status_in(Envelope::Flat), status, "{fault:?}");
            assert_eq!(body, serde_json::json!({ "error": text }), "{fault:?}");
        }
        assert_eq!(Fault::PayloadTooLarge { max: 1 }.status_in(Envelope::Flat), 413);
        assert_eq!(Fault::NoEndpoint.status_in(Envelope::OpenAi), 404);
    }
}
