//! The members of a body that a decision needs, read where they stand, and what no route can do
//! without.

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::fault::Fault;
use crate::route::Route;

/// The members that a decision needs, of all routes.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields<'a> {
    #[serde(borrow)]
    pub(super) model: Given<'a>,
    #[serde(borrow)]
    pub(super) stream: Given<'a>,
    #[serde(borrow)]
    pub(super) stream_options: Given<'a>,
    #[serde(borrow)]
    pub(super) cache_salt: Given<'a>,
    #[serde(borrow)]
    pub(super) background: Given<'a>,
    #[serde(borrow)]
    pub(super) previous_response_id: Given<'a>,
    #[serde(borrow)]
    pub(super) conversation: Given<'a>,
    #[serde(borrow)]
    pub(super) n: Given<'a>,
    #[serde(borrow)]
    pub(super) best_of: Given<'a>,
    #[serde(borrow)]
    pub(super) max_tokens: Given<'a>,
    #[serde(borrow)]
    pub(super) max_completion_tokens: Given<'a>,
    #[serde(borrow)]
    pub(super) max_output_tokens: Given<'a>,
    #[serde(borrow)]
    pub(super) messages: Given<'a>,
    #[serde(borrow)]
    pub(super) prompt: Given<'a>,
    #[serde(borrow)]
    pub(super) prompt_embeds: Given<'a>,
    #[serde(borrow)]
    pub(super) input: Given<'a>,
    #[serde(borrow)]
    pub(super) tokens: Given<'a>,
    #[serde(borrow)]
    pub(super) query: Given<'a>,
    #[serde(borrow)]
    pub(super) documents: Given<'a>,
    #[serde(borrow)]
    pub(super) queries: Given<'a>,
    #[serde(borrow)]
    pub(super) items: Given<'a>,
    #[serde(borrow)]
    pub(super) text_1: Given<'a>,
    #[serde(borrow)]
    pub(super) text_2: Given<'a>,
    #[serde(borrow)]
    pub(super) data_1: Given<'a>,
    #[serde(borrow)]
    pub(super) data_2: Given<'a>,
}

/// A member as it was written; unlike an `Option`, `null` is something that was written.
#[derive(Clone, Copy, Default)]
pub(in super::super) struct Given<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}

impl<'a> Given<'a> {
    pub(in super::super) fn text(self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }

    pub(super) fn not_null(self) -> Option<&'a str> {
        self.text().filter(|text| *text != "null")
    }
}

/// What each route cannot do without.
pub(super) fn shape(route: Route, fields: &Fields<'_>) -> Result<(), Fault> {
    let list = |param, given: Given<'_>, what: &str| match given.text() {
        Some(text) if text.starts_with('[') => Ok(()),
        Some(_) => Err(wrong(param, &format!("an array of {what}"))),
        None => Err(wrong(param, &format!("present: an array of {what}"))),
    };
    let any = |param, rule: &str, given: &[Given<'_>]| {
        let there = given.iter().any(|given| given.not_null().is_some());
        if there { Ok(()) } else { Err(wrong(param, rule)) }
    };
    match route {
        Route::Chat | Route::Messages => list("messages", fields.messages, "messages"),
        Route::Completions => {
            any("prompt", "present: a text or an array", &[fields.prompt, fields.prompt_embeds])
        }
        Route::Embeddings => {
            any("input", "present: a text or an array", &[fields.input, fields.messages])
        }
        Route::Responses => {
            // The engine would work on when the exchange has ended, and nobody would be charged.
            if boolean("background", fields.background)? == Some(true) {
                return Err(wrong("background", "false: answers are given here and now only"));
            }
            // What an engine keeps belongs to nobody there: whoever names an id would read it.
            let kept = [
                ("previous_response_id", fields.previous_response_id),
                ("conversation", fields.conversation),
            ];
            if let Some((param, _)) = kept.into_iter().find(|(_, id)| id.not_null().is_some()) {
                let rule = "left out: nothing is kept here; send the whole conversation";
                return Err(wrong(param, rule));
            }
            any("input", "present: a text or an array", &[fields.input, fields.prompt])
        }
        Route::Rerank => any("query", "present", &[fields.query])
            .and_then(|()| list("documents", fields.documents, "documents")),
        Route::Score => {
            let (queries, texts) = (fields.queries, fields.text_1);
            any("queries", "present, with 'documents'", &[queries, texts, fields.data_1])
        }
        Route::Tokenize => {
            any("prompt", "present, or 'messages'", &[fields.prompt, fields.messages])
        }
        Route::Detokenize => list("tokens", fields.tokens, "tokens"),
        Route::ImageGenerations => any("prompt", "present: a text", &[fields.prompt]),
        Route::Transcriptions | Route::ImageEdits | Route::ImageVariations => Ok(()),
    }
}

pub(super) fn fields(body: &[u8]) -> Result<Fields<'_>, Fault> {
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

pub(super) fn wrong(param: &'static str, rule: &str) -> Fault {
    Fault::BadParameter { param, message: format!("'{param}' must be {rule}") }
}

pub(super) fn string(param: &'static str, given: Given<'_>) -> Result<Option<String>, Fault> {
    let read = given.not_null().map(serde_json::from_str).transpose();
    read.map_err(|_| wrong(param, "a string"))
}

pub(super) fn boolean(param: &'static str, given: Given<'_>) -> Result<Option<bool>, Fault> {
    let read = given.not_null().map(serde_json::from_str).transpose();
    read.map_err(|_| wrong(param, "true or false"))
}

pub(super) fn count(param: &'static str, given: Given<'_>) -> Result<Option<u64>, Fault> {
    let read = given.not_null().map(serde_json::from_str::<u32>).transpose();
    let read = read.map_err(|_| wrong(param, "a whole number from 0 to 4294967295"))?;
    Ok(read.map(u64::from))
}
