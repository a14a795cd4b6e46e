//! What a request asks for, and what is refused.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::{Demo, MODEL_LEN_MAX, prompt_tokens};

/// A request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) stream: bool,
    /// The last event of a stream carries the usage.
    pub(crate) include_usage: bool,
    /// Every event of a stream carries the usage so far.
    pub(crate) continuous_usage: bool,
    /// Answers to one prompt.
    pub(crate) choices: usize,
    pub(crate) prompt_tokens: usize,
    /// Tokens of each answer.
    pub(crate) tokens: usize,
    /// `stop` or `length`.
    pub(crate) finish_reason: &'static str,
}

impl Wish {
    /// Reads the body of a request. Fields that the demo has no use for are ignored.
    pub(crate) fn read(body: &[u8], demo: &Demo) -> Result<Self, Refusal> {
        let fields = object(body)?;
        let messages = messages(&fields)?;
        let stream = flag(&fields, "stream", "body.stream")?;
        let limit = whole(&fields, "max_tokens")?;
        let limit = whole(&fields, "max_completion_tokens")?.or(limit);
        let choices = whole(&fields, "n")?.unwrap_or(1);
        let ignore_eos = flag(&fields, "ignore_eos", "body.ignore_eos")?;
        let options = fields.get("stream_options").and_then(Value::as_object);
        // An empty object counts as none.
        let options = options.filter(|options| !options.is_empty());
        let option = |name: &str| match options {
            Some(options) => flag(options, name, &format!("body.stream_options.{name}")),
            None => Ok(false),
        };
        let (include_usage, continuous_usage) =
            (option("include_usage")?, option("continuous_usage_stats")?);

        known_model(&fields, &demo.model)?;
        if options.is_some() && !stream {
            return Err(Refusal::named(
                "Stream options can only be defined when `stream=True`. (parameter=stream_options)",
                "stream_options",
            ));
        }
        if messages.is_empty() {
            return Err(Refusal::bad_request(
                "Cannot apply chat template to an empty conversation. \
                 Provide at least one message.",
            ));
        }
        let prompt_tokens = prompt_tokens(messages);
        let room = room(prompt_tokens)?;
        let limit = match limit {
            Some(limit) => token_limit(limit)?.min(room),
            None => room,
        };
        let tokens = if ignore_eos { limit } else { limit.min(demo.script.tokens()) };
        let ended = !ignore_eos && tokens == demo.script.tokens();
        Ok(Self {
            stream,
            include_usage,
            continuous_usage: include_usage && continuous_usage,
            choices: choice_count(choices)?,
            prompt_tokens,
            tokens,
            finish_reason: if ended { "stop" } else { "length" },
        })
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    if body.is_empty() {
        return Err(Refusal::invalid("missing", "body", "Field required"));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => {
            let rule = "Input should be a valid dictionary or object to extract fields from";
            Err(Refusal::invalid("model_attributes_type", "body", rule))
        }
        Err(error) => {
            let place = format!("body.{}", error.column());
            Err(Refusal::invalid("json_invalid", &place, "JSON decode error"))
        }
    }
}

fn messages(fields: &Map<String, Value>) -> Result<&[Value], Refusal> {
    match fields.get("messages") {
        Some(Value::Array(messages)) => Ok(messages),
        Some(_) => {
            Err(Refusal::invalid("list_type", "body.messages", "Input should be a valid list"))
        }
        None => Err(Refusal::invalid("missing", "body.messages", "Field required")),
    }
}

fn flag(fields: &Map<String, Value>, name: &str, place: &str) -> Result<bool, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => {
            let rule = "Input should be a valid boolean, unable to interpret input";
            Err(Refusal::invalid("bool_parsing", place, rule))
        }
    }
}

fn whole(fields: &Map<String, Value>, name: &str) -> Result<Option<i64>, Refusal> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| {
            let rule = "Input should be a valid integer";
            Refusal::invalid("int_type", &format!("body.{name}"), rule)
        }),
    }
}

fn known_model(fields: &Map<String, Value>, model: &str) -> Result<(), Refusal> {
    match fields.get("model") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(asked)) if asked == model => Ok(()),
        Some(Value::String(asked)) => Err(Refusal::unknown_model(asked, model)),
        Some(_) => {
            Err(Refusal::invalid("string_type", "body.model", "Input should be a valid string"))
        }
    }
}

/// Tokens that the context still holds after the prompt.
fn room(prompt_tokens: usize) -> Result<usize, Refusal> {
    match MODEL_LEN_MAX.checked_sub(prompt_tokens) {
        Some(room) if room > 0 => Ok(room),
        _ => Err(Refusal::named(
            &format!(
                "This model's maximum context length is {MODEL_LEN_MAX} tokens. However, your \
                 prompt contains at least {prompt_tokens} input tokens. \
                 (parameter=input_tokens, value={prompt_tokens})"
            ),
            "input_tokens",
        )),
    }
}

fn token_limit(limit: i64) -> Result<usize, Refusal> {
    let rule = match usize::try_from(limit) {
        Ok(limit) if limit > MODEL_LEN_MAX => format!(
            "max_tokens={limit} cannot be greater than max_model_len={MODEL_LEN_MAX}. Please \
             request fewer output tokens. (parameter=max_tokens, value={limit})"
        ),
        Ok(limit) if limit > 0 => return Ok(limit),
        _ => format!(
            "max_tokens must be at least 1, got {limit}. (parameter=max_tokens, value={limit})"
        ),
    };
    Err(Refusal::named(&rule, "max_tokens"))
}

fn choice_count(n: i64) -> Result<usize, Refusal> {
    match usize::try_from(n) {
        Ok(n) if (1..=CHOICES_MAX).contains(&n) => Ok(n),
        Ok(n) if n > 0 => {
            Err(Refusal::bad_request(&format!("n must be at most {CHOICES_MAX}, got {n}.")))
        }
        _ => Err(Refusal::bad_request(&format!("n must be at least 1, got {n}."))),
    }
}

const CHOICES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Script;

    fn demo() -> Demo {
        Demo { script: Script::new("one two three"), ..Demo::default() }
    }

    fn read(more: &str) -> Result<Wish, Refusal> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}]{more}}}"#);
        Wish::read(body.as_bytes(), &demo())
    }

    #[test]
    fn an_answer_ends_where_the_text_or_the_limit_does() {
        let end = |more| read(more).map(|wish| (wish.tokens, wish.finish_reason)).unwrap();
        assert_eq!(end(""), (4, "stop"));
        assert_eq!(end(r#","max_tokens":4"#), (4, "stop"));
        assert_eq!(end(r#","max_tokens":3"#), (3, "length"));
        assert_eq!(end(r#","max_tokens":3,"max_completion_tokens":2"#), (2, "length"));
        assert_eq!(end(r#","max_tokens":9,"ignore_eos":true"#), (9, "length"));
        assert_eq!(end(r#","ignore_eos":true"#), (MODEL_LEN_MAX - 8, "length"));
    }

    #[test]
    fn running_usage_needs_the_final_one() {
        let with = |options: &str| {
            let wish = read(&format!(r#","stream":true,"stream_options":{options}"#)).unwrap();
            (wish.include_usage, wish.continuous_usage)
        };
        assert_eq!(with(r#"{"continuous_usage_stats":true}"#), (false, false));
        assert_eq!(with(r#"{"include_usage":true}"#), (true, false));
        assert_eq!(with(r#"{"include_usage":true,"continuous_usage_stats":true}"#), (true, true));
        assert_eq!(with("null"), (false, false));
    }

    #[test]
    fn bad_requests_are_refused_as_vllm_does() {
        let refused = |more: &str| {
            let refusal = read(more).unwrap_err();
            (refusal.status(), refusal.param().map(str::to_owned))
        };
        let param = |name: &str| Some(name.to_owned());
        assert_eq!(refused(r#","model":"other""#), (404, param("model")));
        assert_eq!(refused(r#","max_tokens":0"#), (400, param("max_tokens")));
        assert_eq!(refused(r#","max_tokens":5000"#), (400, param("max_tokens")));
        assert_eq!(refused(r#","max_tokens":"x""#), (400, param("body.max_tokens")));
        assert_eq!(refused(r#","n":0"#), (400, None));
        assert_eq!(refused(r#","stream":"yes""#), (400, param("body.stream")));
        let options = r#","stream_options":{"include_usage":true}"#;
        assert_eq!(refused(options), (400, param("stream_options")));
        assert!(read(r#","stream_options":{}"#).is_ok());
        for body in ["", "{", "[]", "{}", r#"{"messages":7}"#, r#"{"messages":[]}"#] {
            assert_eq!(Wish::read(body.as_bytes(), &demo()).unwrap_err().status(), 400, "{body}");
        }
    }
}
