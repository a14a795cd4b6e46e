//! The request body: kept as it arrived, read only where a decision needs it.
//!
//! Nothing is re-serialised. The one transform is named: a streamed request is forwarded with
//! `stream_options.include_usage` and `continuous_usage_stats` set, written into the client's own
//! bytes, so that the engine counts every token in every event.

use bytes::Bytes;
use memchr::memmem;
use serde::{Deserialize, Deserializer};
use serde_json::Map;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::MODEL_BYTES_MAX;
use crate::fault::Fault;

/// A chat request that has the shape of one.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The bytes that arrived; these are hashed.
    pub received: Bytes,
    /// The bytes for the engine.
    pub forwarded: Bytes,
    /// The model asked for; the engine has a default.
    pub model: Option<String>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Which usage the client asked to see in a stream.
    pub usage_wanted: UsageWanted,
    /// How many answers, each of `max_tokens`.
    pub answers: u64,
    /// The client's limit of generated tokens for one answer.
    pub max_tokens: Option<u64>,
    /// The prompt may hold more tokens than bytes: images, audio, a template of the client's.
    pub unbounded_prompt: bool,
}

/// Which usage the client asked to see in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageWanted {
    /// The event after the last token (`include_usage`).
    pub at_end: bool,
    /// A running count in every event (`continuous_usage_stats`).
    pub running: bool,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    model: Given<'a>,
    #[serde(borrow, default)]
    messages: Given<'a>,
    #[serde(borrow, default)]
    stream: Given<'a>,
    #[serde(borrow, default)]
    stream_options: Given<'a>,
    #[serde(borrow, default)]
    n: Given<'a>,
    #[serde(borrow, default)]
    best_of: Given<'a>,
    #[serde(borrow, default)]
    max_tokens: Given<'a>,
    #[serde(borrow, default)]
    max_completion_tokens: Given<'a>,
}

/// A member as it was written; unlike an `Option`, `null` is something that was written.
#[derive(Clone, Copy, Default)]
pub(super) struct Given<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'a> Given<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }

    fn not_null(self) -> Option<&'a str> {
        self.text().filter(|text| *text != "null")
    }
}

impl ChatRequest {
    /// Reads what admission needs.
    ///
    /// # Errors
    /// What is wrong with the body and how to mend it. The text never quotes the body.
    pub fn parse(received: Bytes) -> Result<Self, Fault> {
        let fields = fields(&received)?;
        let model = string("model", fields.model)?;
        if model.as_ref().is_some_and(|model| model.len() > MODEL_BYTES_MAX) {
            return Err(Fault::BadParameter {
                param: "model",
                message: format!("'model' is a name of at most {MODEL_BYTES_MAX} bytes"),
            });
        }
        match fields.messages.text() {
            Some(text) if text.starts_with('[') => {}
            Some(_) => return Err(wrong("messages", "an array of messages")),
            None => return Err(wrong("messages", "present: an array of messages")),
        }
        let stream = boolean("stream", fields.stream)?.unwrap_or(false);
        let options = options(fields.stream_options)?;
        let answers = count("n", fields.n)?.unwrap_or(1).max(1);
        let best_of = count("best_of", fields.best_of)?.unwrap_or(1);
        let max_tokens = count("max_tokens", fields.max_tokens)?;
        let max_completion = count("max_completion_tokens", fields.max_completion_tokens)?;
        let usage_wanted = if stream { wanted(options.as_ref())? } else { UsageWanted::default() };
        let forwarded = if stream && !(usage_wanted.at_end && usage_wanted.running) {
            with_usage(&received, fields.stream_options, options)
        } else {
            received.clone()
        };
        Ok(Self {
            model,
            stream,
            usage_wanted,
            forwarded,
            answers: answers.max(best_of),
            max_tokens: max_tokens.max(max_completion),
            unbounded_prompt: unbounded_prompt(&received),
            received,
        })
    }
}

fn fields(body: &[u8]) -> Result<Fields<'_>, Fault> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Fault::BadRequest("the request body must be a JSON object".into()));
    }
    serde_json::from_slice(body).map_err(|error| {
        // serde's text for a syntax error holds a position and no content; for anything else of an
        // object whose members are read raw, only a name of ours that stands twice is left.
        let text = match error.classify() {
            Category::Syntax | Category::Eof | Category::Io => format!(
                "the request body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
            Category::Data => format!(
                "the request body is ambiguous (line {}, column {}): a member stands twice",
                error.line(),
                error.column()
            ),
        };
        Fault::BadRequest(text)
    })
}

fn wrong(param: &'static str, rule: &str) -> Fault {
    Fault::BadParameter { param, message: format!("'{param}' must be {rule}") }
}

fn string(param: &'static str, given: Given<'_>) -> Result<Option<String>, Fault> {
    let read = given.not_null().map(serde_json::from_str).transpose();
    read.map_err(|_| wrong(param, "a string"))
}

fn boolean(param: &'static str, given: Given<'_>) -> Result<Option<bool>, Fault> {
    let read = given.not_null().map(serde_json::from_str).transpose();
    read.map_err(|_| wrong(param, "true or false"))
}

fn count(param: &'static str, given: Given<'_>) -> Result<Option<u64>, Fault> {
    let read = given.not_null().map(serde_json::from_str::<u32>).transpose();
    let read = read.map_err(|_| wrong(param, "a whole number from 0 to 4294967295"))?;
    Ok(read.map(u64::from))
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
            // `messages` is there, so a comma is right.
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

/// Whether the bytes of the body may not bound the tokens of the prompt: media are counted by their
/// content, templates repeat, and tools are written anew with indentation. Spelled-out ASCII
/// (`image\u005furl`) could hide each of them, so it counts as unbounded too.
fn unbounded_prompt(body: &[u8]) -> bool {
    const HINTS: [&[u8]; 14] = [
        b"image_url",
        b"input_audio",
        b"audio_url",
        b"video_url",
        b"_embeds",
        b"chat_template",
        b"\"documents\"",
        b"\"tools\"",
        b"\\u002",
        b"\\u003",
        b"\\u004",
        b"\\u005",
        b"\\u006",
        b"\\u007",
    ];
    HINTS.iter().any(|hint| memmem::find(body, hint).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<ChatRequest, Fault> {
        ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()))
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
    fn limits_are_read_at_their_largest() {
        let request =
            parse(r#"{"messages":[],"n":2,"best_of":5,"max_tokens":7,"max_completion_tokens":9}"#);
        let request = request.unwrap();
        assert_eq!((request.answers, request.max_tokens), (5, Some(9)));
        assert!(!request.unbounded_prompt);
        let image = r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
        assert!(parse(image).unwrap().unbounded_prompt);
        for hidden in ["\\u0069mage_url", "image\\u005furl"] {
            let body = format!("{{\"messages\":[{{\"content\":[{{\"type\":\"{hidden}\"}}]}}]}}");
            assert!(parse(&body).unwrap().unbounded_prompt);
        }
    }
}
