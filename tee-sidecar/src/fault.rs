//! Everything an answer of ours can refuse or fail with, and the one table from it to HTTP.
//!
//! A fault holds what the client is told. What only the operator should know (the engine's error,
//! the database's) is logged where it happens and never gets in here; no body is ever quoted.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;

mod anthropic;
mod flat;

/// The shape of an answer that is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Envelope {
    /// OpenAI's object, with the status that fits.
    #[default]
    OpenAi,
    /// 0G's: the text alone, and 400 for most of what a client does wrong.
    Flat,
    /// Anthropic's object, on its route.
    Anthropic,
}

/// Why a request is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The request is not one we can read.
    #[error("{0}")]
    BadRequest(String),
    /// A parameter has a value outside its rule.
    #[error("{message}")]
    BadParameter {
        /// The parameter's name.
        param: &'static str,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// As [`Self::BadParameter`], on a route of the ACI specification, which has its own word.
    #[error("{message}")]
    InvalidRequest {
        /// The parameter's name.
        param: Option<&'static str>,
        /// What is wrong and how to mend it.
        message: String,
    },
    /// The signing algorithm is unknown.
    #[error("{0}")]
    InvalidSigningAlgo(String),
    /// No or a wrong key.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The account's credit does not reach.
    #[error("{0}")]
    InsufficientCredits(String),
    /// Refused by where it came from.
    #[error("{0}")]
    Forbidden(&'static str),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// No signature is found under an id.
    #[error("{0}")]
    NoSignature(Cow<'static, str>),
    /// There is no such route behind the proxy's.
    #[error("endpoint not supported")]
    NoEndpoint,
    /// No model of this name is served here.
    #[error("the model '{asked}' is not served here; ask for '{served}'")]
    UnknownModel {
        /// What the request named.
        asked: String,
        /// What is served.
        served: String,
    },
    /// Another method is needed.
    #[error("this route takes {allowed} only")]
    MethodNotAllowed {
        /// The methods it takes.
        allowed: Cow<'static, str>,
    },
    /// The request is still being answered or has been answered.
    #[error("{message}")]
    Conflict {
        /// Which of the two, and the receipt to ask for.
        message: String,
        /// Whether asking again later helps.
        in_flight: bool,
    },
    /// Another request was made under the same key.
    #[error("another request body was sent under this Idempotency-Key; take a new key")]
    KeyReused,
    /// The body is too long.
    #[error("the request body is longer than {max} bytes, the limit here")]
    PayloadTooLarge {
        /// The limit.
        max: usize,
    },
    /// The body is in an encoding we do not take.
    #[error("send the request body as it is, without Content-Encoding")]
    EncodedRequest,
    /// The client took too long to send its body.
    #[error("the request body did not arrive in time")]
    RequestTimeout,
    /// The account asks too often or too much at once.
    #[error("{message}")]
    RateLimited {
        /// Which limit.
        message: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// The sidecar can take no more work now.
    #[error("{message}")]
    Unavailable {
        /// What is full or missing.
        message: Cow<'static, str>,
        /// When to come back.
        retry_after: Duration,
    },
    /// The engine cannot be reached or does not speak HTTP as it should.
    #[error("{0}")]
    BadGateway(&'static str),
    /// The engine is silent for too long.
    #[error("the model server did not answer in time; try again")]
    GatewayTimeout,
    /// A fault of ours.
    #[error("an internal error; the operator's log has it under this answer's x-request-id")]
    Internal,
}

impl Fault {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::BadRequest(_)
            | Self::BadParameter { .. }
            | Self::InvalidRequest { .. }
            | Self::InvalidSigningAlgo(_) => 400,
            Self::Unauthorized(_) => 401,
            Self::InsufficientCredits(_) => 402,
            Self::Forbidden(_) => 403,
            Self::NotFound(_)
            | Self::NoSignature(_)
            | Self::NoEndpoint
            | Self::UnknownModel { .. } => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::RequestTimeout => 408,
            Self::Conflict { .. } => 409,
            Self::PayloadTooLarge { .. } => 413,
            Self::EncodedRequest => 415,
            Self::KeyReused => 422,
            Self::RateLimited { .. } => 429,
            Self::Internal => 500,
            Self::BadGateway(_) => 502,
            Self::Unavailable { .. } => 503,
            Self::GatewayTimeout => 504,
        }
    }

    /// OpenAI's `type`.
    pub const fn kind(&self) -> &'static str {
        match self.status() {
            401 => "unauthorized",
            402 => "insufficient_credits",
            403 => "forbidden",
            404 => "not_found",
            409 | 422 => "conflict",
            413 => "payload_too_large",
            429 => "rate_limited",
            500.. => "server_error",
            _ => match self {
                Self::InvalidSigningAlgo(_) => "invalid_signing_algo",
                Self::InvalidRequest { .. } => "invalid_request_error",
                _ => "bad_request",
            },
        }
    }

    /// OpenAI's `code`, for programs; `None` where the type says it all.
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownModel { .. } => "model_not_found",
            Self::NoSignature(_) => "chat_id_not_found",
            Self::Unauthorized(_) => "invalid_api_key",
            Self::Conflict { in_flight: true, .. } => "request_in_flight",
            Self::Conflict { in_flight: false, .. } => "request_already_answered",
            Self::KeyReused => "idempotency_key_reused",
            Self::BadGateway(_) => "upstream_unreachable",
            Self::GatewayTimeout => "upstream_timeout",
            _ => return None,
        })
    }

    /// Why, in a word for operators: the code, or the type.
    pub const fn reason(&self) -> &'static str {
        match self.code() {
            Some(code) => code,
            None => self.kind(),
        }
    }

    /// Seconds for `Retry-After`, where coming back helps.
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                let secs = retry_after.as_secs();
                Some(if secs == 0 { 1 } else { secs })
            }
            Self::Conflict { in_flight: true, .. } => Some(1),
            _ => None,
        }
    }

    /// The HTTP status of an answer in this shape.
    pub const fn status_in(&self, envelope: Envelope) -> u16 {
        match envelope {
            Envelope::OpenAi | Envelope::Anthropic => self.status(),
            Envelope::Flat => self.flat_status(),
        }
    }

    /// The body of an answer in this shape, to the request with this `x-request-id`.
    pub fn body(&self, envelope: Envelope, request_id: &str) -> Bytes {
        match envelope {
            Envelope::OpenAi => self.openai_body(),
            Envelope::Flat => self.flat_body(),
            Envelope::Anthropic => self.anthropic_body(request_id),
        }
    }

    /// The body in OpenAI's shape.
    pub fn openai_body(&self) -> Bytes {
        let param = match self {
            Self::BadParameter { param, .. } => Some(*param),
            Self::InvalidRequest { param, .. } => *param,
            Self::UnknownModel { .. } => Some("model"),
            _ => None,
        };
        let detail =
            ErrorDetail { message: self.to_string(), kind: self.kind(), param, code: self.code() };
        // Strings and nulls always serialise.
        Bytes::from(serde_json::to_vec(&ErrorBody { error: detail }).unwrap_or_default())
    }
}

impl Envelope {
    /// The shapes of errors, each under a name of its own.
    pub(crate) fn shapes(generator: &mut SchemaGenerator) {
        generator.subschema_for::<ErrorBody>();
        generator.subschema_for::<anthropic::Body<'static>>();
        generator.subschema_for::<flat::FlatBody<'static>>();
    }
}

/// An error in OpenAI's shape.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiError")]
struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OpenAiErrorDetail")]
struct ErrorDetail {
    /// What is wrong and how to mend it.
    message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The parameter that it is about.
    param: Option<&'static str>,
    /// For programs, where the kind does not say it all.
    code: Option<&'static str>,
}
