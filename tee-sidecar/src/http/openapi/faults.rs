//! One of each fault, for what an operation may be refused with; statuses, codes and headers are
//! read off the fault itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::fault::{Envelope, Fault};

const TEXT: String = String::new();
const SOON: Duration = Duration::from_secs(1);

pub(super) const BAD_REQUEST: Fault = Fault::BadRequest(TEXT);
pub(super) const BAD_PARAMETER: Fault = Fault::BadParameter { param: "", message: TEXT };
pub(super) const INVALID_REQUEST: Fault = Fault::InvalidRequest { param: None, message: TEXT };
pub(super) const BAD_ALGORITHM: Fault = Fault::InvalidSigningAlgo(TEXT);
pub(super) const UNAUTHORIZED: Fault = Fault::Unauthorized("");
pub(super) const NO_CREDIT: Fault = Fault::InsufficientCredits(TEXT);
pub(super) const FORBIDDEN: Fault = Fault::Forbidden("");
pub(super) const NOT_FOUND: Fault = Fault::NotFound(TEXT);
pub(super) const NO_SIGNATURE: Fault = Fault::NoSignature(Cow::Borrowed(""));
pub(super) const NO_MODEL: Fault = Fault::UnknownModel { asked: TEXT, served: TEXT };
pub(super) const IN_FLIGHT: Fault = Fault::Conflict { message: TEXT, in_flight: true };
pub(super) const ANSWERED: Fault = Fault::Conflict { message: TEXT, in_flight: false };
pub(super) const KEY_REUSED: Fault = Fault::KeyReused;
pub(super) const TOO_LARGE: Fault = Fault::PayloadTooLarge { max: 0 };
pub(super) const ENCODED: Fault = Fault::EncodedRequest;
pub(super) const LATE: Fault = Fault::RequestTimeout;
pub(super) const TOO_OFTEN: Fault = Fault::RateLimited { message: TEXT, retry_after: SOON };
pub(super) const UNAVAILABLE: Fault =
    Fault::Unavailable { message: Cow::Borrowed(""), retry_after: SOON };
pub(super) const BAD_GATEWAY: Fault = Fault::BadGateway("");
pub(super) const GATEWAY_LATE: Fault = Fault::GatewayTimeout;
pub(super) const INTERNAL: Fault = Fault::Internal;

/// Asking who somebody is.
pub(super) const WHO: [Fault; 3] = [UNAUTHORIZED, TOO_OFTEN, UNAVAILABLE];
/// Reading a body.
pub(super) const BODY: [Fault; 4] = [BAD_REQUEST, TOO_LARGE, ENCODED, LATE];
/// What a free route that reads the ledger may say.
pub(super) const FREE: [Fault; 2] = [TOO_OFTEN, INTERNAL];
/// What an exchange may say.
pub(super) const EXCHANGE: [Fault; 10] = [
    BAD_PARAMETER,
    NO_CREDIT,
    FORBIDDEN,
    NO_MODEL,
    IN_FLIGHT,
    ANSWERED,
    KEY_REUSED,
    INTERNAL,
    BAD_GATEWAY,
    GATEWAY_LATE,
];

/// What a fault means to whoever is told so.
const fn meaning(fault: &Fault) -> &'static str {
    match fault {
        Fault::BadRequest(_) => "the request cannot be read",
        Fault::BadParameter { .. } | Fault::InvalidRequest { .. } => {
            "a parameter is missing or outside its rule"
        }
        Fault::InvalidSigningAlgo(_) => "the signing algorithm is not offered",
        Fault::Unauthorized(_) => "no key or token, or one that is not known",
        Fault::InsufficientCredits(_) => {
            "what the account has does not cover what the request may cost"
        }
        Fault::Forbidden(_) => "refused for who asks, or from where",
        Fault::NotFound(_) => "there is no such thing",
        Fault::NoSignature(_) => "no signature is found under this id",
        Fault::NoEndpoint => "nothing is served at this path",
        Fault::UnknownModel { .. } => "this model is not served here",
        Fault::MethodNotAllowed { .. } => "the path takes other methods",
        Fault::Conflict { in_flight: true, .. } => {
            "the request with this Idempotency-Key is still being answered"
        }
        Fault::Conflict { .. } => "the request with this Idempotency-Key was answered",
        Fault::KeyReused => "another body was sent under this Idempotency-Key",
        Fault::PayloadTooLarge { .. } => "the body is longer than the limit",
        Fault::EncodedRequest => "the body has a Content-Encoding",
        Fault::RequestTimeout => "the body did not arrive in time",
        Fault::RateLimited { .. } => "too much at once; come back after Retry-After",
        Fault::Unavailable { .. } => "full, stopping or not ready; come back after Retry-After",
        Fault::BadGateway(_) => "the model server cannot be reached, or its answer has no price",
        Fault::GatewayTimeout => "the model server is silent for too long",
        Fault::Internal => "an error of ours",
    }
}

/// The answers that these faults are in this shape, by status.
pub(super) fn answers(faults: &[Fault], envelope: Envelope) -> BTreeMap<u16, Value> {
    grouped(faults, envelope, |fault| fault.status_in(envelope))
}

/// The same where the model server's own error may come instead, with any status and body.
pub(super) fn or_passed_on(faults: &[Fault], envelope: Envelope) -> BTreeMap<u16, Value> {
    let mut answers = answers(faults, envelope);
    for answer in answers.values_mut() {
        let ours = schema(name(envelope));
        let foreign = schema("EngineError");
        // The model server need not name them.
        let headers = answer.get_mut("headers").and_then(Value::as_object_mut);
        for header in headers.into_iter().flat_map(Map::values_mut) {
            if let Value::Object(header) = header {
                header.insert("required".to_owned(), false.into());
            }
        }
        if let Some(content) = answer.get_mut("content") {
            *content = json!({
                "application/json": { "schema": { "anyOf": [ours, foreign] } },
                "*/*": { "schema": foreign },
            });
        }
    }
    answers
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The same on the operator's routes: 0G's shape, with the status that fits.
pub(super) fn of_operator(faults: &[Fault]) -> BTreeMap<u16, Value> {
    grouped(faults, Envelope::Flat, Fault::status)
}

fn grouped(
    faults: &[Fault],
    envelope: Envelope,
    status: impl Fn(&Fault) -> u16,
) -> BTreeMap<u16, Value> {
    let mut by_status: BTreeMap<u16, Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        by_status.entry(status(fault)).or_default().push(fault);
    }
    let told =
        |(status, faults): (u16, Vec<&Fault>)| (status, answer(&faults, envelope, status == 401));
    by_status.into_iter().map(told).collect()
}

fn answer(faults: &[&Fault], envelope: Envelope, names_scheme: bool) -> Value {
    let mut says: Vec<String> = Vec::new();
    for fault in faults {
        let told = match (envelope, fault.code()) {
            (Envelope::OpenAi, Some(code)) => format!("`{code}`: {}", meaning(fault)),
            (Envelope::OpenAi, None) => format!("`{}`: {}", fault.kind(), meaning(fault)),
            _ => meaning(fault).to_owned(),
        };
        if !says.contains(&told) {
            says.push(told);
        }
    }
    let mut headers = Map::new();
    if faults.iter().any(|fault| fault.retry_after_secs().is_some()) {
        let always = faults.iter().all(|fault| fault.retry_after_secs().is_some());
        headers.insert("Retry-After".to_owned(), retry_after(always));
    }
    if names_scheme {
        headers.insert(
            "WWW-Authenticate".to_owned(),
            json!({
                "description": "`Bearer`", "required": true, "schema": { "type": "string" }
            }),
        );
    }
    json!({
        "description": says.join("; "),
        "headers": headers,
        "content": { "application/json": { "schema": schema(name(envelope)) } },
    })
}

fn retry_after(required: bool) -> Value {
    json!({
        "description": "Seconds after which asking again may help.",
        "required": required,
        "schema": { "type": "integer", "minimum": 1 },
    })
}

/// The component that has this shape.
const fn name(envelope: Envelope) -> &'static str {
    match envelope {
        Envelope::OpenAi => "OpenAiError",
        Envelope::Flat => "FlatError",
        Envelope::Anthropic => "AnthropicError",
    }
}
