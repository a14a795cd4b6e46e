//! The request body: kept as it arrived, read only where a decision needs it.
//!
//! Nothing is re-serialised. The one transform is named: a streamed completion is forwarded with
//! `stream_options.include_usage` and `continuous_usage_stats` set, written into the client's own
//! bytes, so that the engine counts every token in every event.

use bytes::Bytes;
use serde_json::Map;

use super::MODEL_BYTES_MAX;
use super::event::Purpose;
use crate::fault::Fault;
use crate::route::{Dialect, Route};

mod fields;
mod form;
mod size;

pub(super) use fields::Given;
use fields::{boolean, fields, shape, string, wrong};
pub use size::Size;

/// A request that has the shape of one.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asks for.
    pub route: Route,
    /// The bytes that arrived; these are hashed.
    pub received: Bytes,
    /// The bytes for the engine.
    pub forwarded: Bytes,
    /// The `Content-Type` of these.
    pub content_type: String,
    /// The model asked for; the engine has a default.
    pub model: Option<String>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Which usage the client asked to see in a stream.
    pub usage_wanted: UsageWanted,
    /// What bounds its tokens.
    pub size: Size,
}

/// Which usage the client asked to see in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageWanted {
    /// The event after the last token (`include_usage`).
    pub at_end: bool,
    /// A running count in every event (`continuous_usage_stats`).
    pub running: bool,
}

impl Request {
    /// Reads what admission needs. `content_type` is the client's, and counts for forms only.
    ///
    /// # Errors
    /// What is wrong with the body and how to mend it. The text never quotes the body.
    pub fn parse(route: Route, received: Bytes, content_type: Option<&str>) -> Result<Self, Fault> {
        if route.is_multipart() {
            return form::parse(route, received, content_type);
        }
        let fields = fields(&received)?;
        let model = string("model", fields.model)?;
        if model.as_ref().is_some_and(|model| model.len() > MODEL_BYTES_MAX) {
            return Err(Fault::BadParameter {
                param: "model",
                message: format!("'model' is a name of at most {MODEL_BYTES_MAX} bytes"),
            });
        }
        shape(route, &fields)?;
        let stream = boolean("stream", fields.stream)?.unwrap_or(false);
        if stream && route.dialect() == Dialect::Media {
            return Err(form::not_streamed());
        }
        let stream = stream && route.streams();
        let asks_usage = stream && route.dialect() == Dialect::Completions;
        let options = if asks_usage { options(fields.stream_options)? } else { None };
        let usage_wanted = if asks_usage { wanted(options.as_ref())? } else { NOT_WANTED };
        let forwarded = if asks_usage && !(usage_wanted.at_end && usage_wanted.running) {
            with_usage(&received, fields.stream_options, options)
        } else {
            received.clone()
        };
        let size = Size::of(route, &fields, &received)?;
        let content_type = JSON.to_owned();
        Ok(Self { route, model, stream, usage_wanted, forwarded, content_type, size, received })
    }

    /// What its stream is read for.
    pub fn purpose(&self) -> Purpose {
        let Size { prompts, choices, .. } = self.size;
        Purpose {
            wanted: self.usage_wanted,
            several: prompts.saturating_mul(choices) > 1,
            prompts,
            per_prompt: choices,
            dialect: self.route.dialect(),
        }
    }
}

type Options = Map<String, serde_json::Value>;

fn options(given: Given<'_>) -> Result<Option<Options>, Fault> {
    let read = given.not_null().map(serde_json::from_str).transpose();
    read.map_err(|_| wrong("stream_options", "an object"))
}

fn wanted(options: Option<&Options>) -> Result<UsageWanted, Fault> {
    let flag = |name: &str| match options.and_then(|o| o.get(name)) {
        None | Some(serde_json::Value::Null) => Ok(false),
        Some(serde_json::Value::Bool(on)) => Ok(*on),
        Some(_) => Err(wrong("stream_options", "an object whose members are true or false")),
    };
    let at_end = flag("include_usage")?;
    // Engines send the running count only together with the final one.
    Ok(UsageWanted { at_end, running: at_end && flag("continuous_usage_stats")? })
}

/// The client's bytes with both usage options on.
fn with_usage(body: &Bytes, given: Given<'_>, options: Option<Options>) -> Bytes {
    let mut options = options.unwrap_or_default();
    for name in ["include_usage", "continuous_usage_stats"] {
        options.insert(name.into(), true.into());
    }
    let options = serde_json::Value::Object(options).to_string();
    let mut out = Vec::with_capacity(body.len() + options.len() + 32);
    match given.text().and_then(|text| span(body, text)) {
        Some((start, end)) => {
            out.extend_from_slice(body.get(..start).unwrap_or_default());
            out.extend_from_slice(options.as_bytes());
            out.extend_from_slice(body.get(end..).unwrap_or_default());
        }
        None => {
            // `stream` is there, so a comma is right.
            let open = memchr::memchr(b'{', body).map_or(0, |at| at + 1);
            out.extend_from_slice(body.get(..open).unwrap_or_default());
            out.extend_from_slice(b"\"stream_options\":");
            out.extend_from_slice(options.as_bytes());
            out.push(b',');
            out.extend_from_slice(body.get(open..).unwrap_or_default());
        }
    }
    Bytes::from(out)
}

/// Where `part`, a slice of `whole`, lies in it.
pub(super) fn span(whole: &[u8], part: &str) -> Option<(usize, usize)> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some((start, end))
}

/// What is not asked for.
const NOT_WANTED: UsageWanted = UsageWanted { at_end: false, running: false };
/// The type of every body but forms.
const JSON: &str = "application/json";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Request, Fault> {
        of(Route::Chat, body)
    }

    fn of(route: Route, body: &str) -> Result<Request, Fault> {
        Request::parse(route, Bytes::copy_from_slice(body.as_bytes()), None)
    }

    fn forwarded(body: &str) -> String {
        String::from_utf8(parse(body).unwrap().forwarded.to_vec()).unwrap()
    }

    #[test]
    fn a_buffered_request_is_forwarded_byte_for_byte() {
        let body = "{ \"messages\" : [ ], \"temperature\":1.0e-2, \"x\":\"\\u00e9\" }\n";
        assert_eq!(forwarded(body), body);
    }

    #[test]
    fn usage_is_asked_for_within_the_clients_own_bytes() {
        let both = r#"{"include_usage":true,"continuous_usage_stats":true}"#;
        for (body, want) in [
            (
                r#"{"messages":[],"stream":true}"#,
                format!(r#"{{"stream_options":{both},"messages":[],"stream":true}}"#),
            ),
            (
                r#"{"stream_options": {"include_usage":false} ,"messages":[],"stream":true}"#,
                format!(r#"{{"stream_options": {both} ,"messages":[],"stream":true}}"#),
            ),
            (
                r#"{"stream_options":null,"messages":[],"stream":true}"#,
                format!(r#"{{"stream_options":{both},"messages":[],"stream":true}}"#),
            ),
            (
                r#"{"stream":true,"messages":[],"stream_options":{"x":[1]}}"#,
                r#"{"stream":true,"messages":[],"stream_options":{"x":[1],"#.to_owned()
                    + &both[1..]
                    + "}",
            ),
        ] {
            assert_eq!(forwarded(body), want);
            assert_eq!(forwarded(&want), want, "asked for already");
        }
    }

    #[test]
    fn a_wrong_shape_is_named_by_its_parameter_and_never_quoted() {
        for (body, param) in [
            (r#"{"messages":"canary"}"#, Some("messages")),
            (r#"{"model":"m"}"#, Some("messages")),
            (r#"{"messages":[],"model":["canary"]}"#, Some("model")),
            (r#"{"messages":[],"stream":"canary"}"#, Some("stream")),
            (r#"{"messages":[],"stream":1}"#, Some("stream")),
            (r#"{"messages":[],"stream_options":"canary","stream":true}"#, Some("stream_options")),
            (
                r#"{"messages":[],"stream_options":{"include_usage":"canary"},"stream":true}"#,
                Some("stream_options"),
            ),
            (r#"{"messages":[],"n":-1}"#, Some("n")),
            (r#"{"messages":[],"max_tokens":1.5}"#, Some("max_tokens")),
            (r#"{"messages":[],"max_tokens":99999999999999999999}"#, Some("max_tokens")),
            (r#"{"messages":[],"max_completion_tokens":"canary"}"#, Some("max_completion_tokens")),
            (r#"{"messages":[],"messages":["canary"]}"#, None),
            (r#""canary""#, None),
            (r#"["canary"]"#, None),
            (r#"{"messages":["canary"#, None),
            ("{'canary':1}", None),
            ("", None),
        ] {
            let fault = parse(body).unwrap_err();
            assert_eq!(fault.status(), 400, "{body}");
            let text = String::from_utf8(fault.openai_body().to_vec()).unwrap();
            assert!(!text.contains("canary"), "{text}");
            let found = match fault {
                Fault::BadParameter { param, .. } => Some(param),
                _ => None,
            };
            assert_eq!(found, param, "{body}");
        }
    }

    #[test]
    fn what_a_route_cannot_do_without_is_named() {
        for (route, body, param) in [
            (Route::Completions, r#"{"messages":[]}"#, "prompt"),
            (Route::Embeddings, r#"{"input":null}"#, "input"),
            (Route::Responses, r#"{"prompt":null}"#, "input"),
            (Route::Responses, r#"{"input":"x","background":true}"#, "background"),
            (
                Route::Responses,
                r#"{"input":"x","previous_response_id":"resp_1"}"#,
                "previous_response_id",
            ),
            (Route::Responses, r#"{"input":"x","conversation":{}}"#, "conversation"),
            (Route::Messages, r#"{"messages":"x"}"#, "messages"),
            (Route::Rerank, r#"{"documents":[]}"#, "query"),
            (Route::Rerank, r#"{"query":"x"}"#, "documents"),
            (Route::Score, "{}", "queries"),
            (Route::Tokenize, "{}", "prompt"),
            (Route::Detokenize, r#"{"tokens":"x"}"#, "tokens"),
            (Route::ImageGenerations, "{}", "prompt"),
            (Route::ImageGenerations, r#"{"prompt":"x","stream":true}"#, "stream"),
        ] {
            let fault = of(route, body).unwrap_err();
            let named = matches!(fault, Fault::BadParameter { param: p, .. } if p == param);
            assert!(named, "{body}: {fault:?}");
        }
    }

    // Only streams of chunks know the option; elsewhere it is none of our business.
    #[test]
    fn usage_is_asked_for_where_that_is_an_option_and_nowhere_else() {
        for (route, body) in [
            (Route::Responses, r#"{"input":"x","stream":true,"stream_options":{"x":1}}"#),
            (Route::Messages, r#"{"messages":[],"stream":true}"#),
            (Route::Embeddings, r#"{"input":"x","stream":true}"#),
            (Route::Rerank, r#"{"query":"x","documents":[],"stream":true}"#),
        ] {
            let request = of(route, body).unwrap();
            assert_eq!(request.forwarded, body, "{route:?}");
            assert_eq!(request.stream, route.streams(), "{route:?}");
        }
        let request = of(Route::Completions, r#"{"prompt":"x","stream":true}"#).unwrap();
        assert!(request.forwarded.starts_with(b"{\"stream_options\":{\"include_usage\":true"));
    }
}
