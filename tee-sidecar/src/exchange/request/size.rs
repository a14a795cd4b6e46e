//! The most tokens a request can use, as far as its body tells. A token is at least a byte, so the
//! body bounds a prompt, unless it holds what becomes tokens otherwise; the context bounds each
//! prompt and each answer.

use std::fmt;

use broker_core::TokenBound;
use memchr::memmem;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{Fields, Given, count};
use crate::fault::Fault;
use crate::route::{Dialect, Route};

/// Tokens that a template may put around a prompt beyond one for each byte of the body.
const TEMPLATE_TOKENS: u64 = 1024;
/// Tokens that mark the beginning and the end of each prompt of a list.
const MARK_TOKENS: u64 = 16;

/// What bounds the tokens of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Prompts, each with a context of its own.
    pub prompts: u64,
    /// Answers asked for to each of them.
    pub answers: u64,
    /// The client's limit of generated tokens for one answer.
    pub max_tokens: Option<u64>,
    /// Tokens of all prompts by the body's bytes; `None` where these bound nothing: images, audio,
    /// a template of the client's.
    pub by_bytes: Option<u64>,
    dialect: Dialect,
}

impl Size {
    pub(super) fn of(route: Route, fields: &Fields<'_>, body: &[u8]) -> Result<Self, Fault> {
        let answers = count("n", fields.n)?.unwrap_or(1).max(1);
        let best_of = count("best_of", fields.best_of)?.unwrap_or(1);
        let limits = [
            count("max_tokens", fields.max_tokens)?,
            count("max_completion_tokens", fields.max_completion_tokens)?,
            count("max_output_tokens", fields.max_output_tokens)?,
        ];
        let prompts = match route {
            Route::Completions => items(fields.prompt).max(items(fields.prompt_embeds)),
            Route::Embeddings => items(fields.input).max(items(fields.messages)),
            Route::Rerank | Route::Score => longest(fields).0,
            _ => 1,
        };
        let by_bytes = match route {
            _ if is_unbounded(route, body) => None,
            Route::Rerank | Route::Score => {
                // What is not in the list stands beside each of its entries.
                let listed = longest(fields).1;
                let rest = (body.len() as u64).saturating_sub(listed);
                let each = rest.saturating_add(TEMPLATE_TOKENS);
                Some(prompts.saturating_mul(each).saturating_add(listed))
            }
            _ => {
                let marks = prompts.saturating_sub(1).saturating_mul(MARK_TOKENS);
                let bytes = (body.len() as u64).saturating_add(TEMPLATE_TOKENS);
                Some(bytes.saturating_add(marks))
            }
        };
        let dialect = route.dialect();
        let max_tokens = limits.into_iter().max().flatten();
        Ok(Self { prompts, answers: answers.max(best_of), max_tokens, by_bytes, dialect })
    }

    /// Of a form with files in it: nothing bounds it but the context.
    pub(super) const fn of_files() -> Self {
        let dialect = Dialect::Media;
        Self { prompts: 1, answers: 1, max_tokens: None, by_bytes: None, dialect }
    }

    /// The most tokens for a model with this context.
    pub fn bound(&self, context: u64) -> TokenBound {
        if self.dialect == Dialect::Uncounted {
            return TokenBound { input: 0, output: 0 };
        }
        let most = context.saturating_mul(self.prompts);
        let input = self.by_bytes.map_or(most, |bytes| bytes.min(most));
        let each = match self.dialect {
            Dialect::Pooling => 0,
            _ => self.max_tokens.unwrap_or(context).min(context),
        };
        let answers = self.prompts.saturating_mul(self.answers);
        TokenBound { input, output: each.saturating_mul(answers) }
    }
}

/// The longest list of a rerank or a score, and its bytes: as many pairs are looked at.
fn longest(fields: &Fields<'_>) -> (u64, u64) {
    let Fields { documents, queries, items: listed, text_1, text_2, data_1, data_2, .. } = fields;
    let lists = [documents, queries, listed, text_1, text_2, data_1, data_2];
    let sized = lists.map(|given| (items(*given), given.text().map_or(0, str::len) as u64));
    sized.into_iter().max().unwrap_or((1, 0))
}

/// How many prompts a member holds. A list of numbers is one prompt, in tokens.
fn items(given: Given<'_>) -> u64 {
    let Some(text) = given.text().filter(|text| text.starts_with('[')) else { return 1 };
    serde_json::Deserializer::from_str(text).deserialize_seq(Counter).unwrap_or(1).max(1)
}

struct Counter;

impl<'de> Visitor<'de> for Counter {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let (mut all, mut numbers) = (0_u64, 0_u64);
        while let Some(item) = list.next_element::<&'de RawValue>()? {
            all = all.saturating_add(1);
            let is_number = item.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
            numbers = numbers.saturating_add(u64::from(is_number));
        }
        Ok(if numbers == all { 1 } else { all })
    }
}

/// Whether the bytes of the body may not bound the tokens of the prompt: media are counted by their
/// content, templates repeat, tools are written anew with indentation, and what is only named is
/// elsewhere. Spelled-out ASCII (`image\u005furl`) could hide each of them, so it counts too.
fn is_unbounded(route: Route, body: &[u8]) -> bool {
    const HINTS: [&[u8]; 13] = [
        b"image_url",
        b"input_audio",
        b"audio_url",
        b"video_url",
        b"_embeds",
        b"chat_template",
        b"\"tools\"",
        b"\\u002",
        b"\\u003",
        b"\\u004",
        b"\\u005",
        b"\\u006",
        b"\\u007",
    ];
    let own: &[&[u8]] = match route.dialect() {
        Dialect::Completions => &[b"\"documents\""],
        Dialect::Responses => &[b"input_image", b"input_file", b"\"prompt\""],
        Dialect::Messages => &[b"\"image\"", b"\"document\"", b"\"source\""],
        // Each prompt may be filled up to the context.
        Dialect::Pooling => &[b"\"padding\"", b"\"image\""],
        Dialect::Media => return true,
        Dialect::Uncounted => &[],
    };
    HINTS.iter().chain(own).any(|hint| memmem::find(body, hint).is_some())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Request;
    use super::*;

    fn size(route: Route, body: &str) -> Size {
        Request::parse(route, Bytes::copy_from_slice(body.as_bytes()), None).unwrap().size
    }

    fn bound(route: Route, body: &str) -> (u64, u64) {
        let bound = size(route, body).bound(4096);
        (bound.input, bound.output)
    }

    #[test]
    fn limits_are_read_at_their_largest() {
        let body = r#"{"messages":[],"n":2,"best_of":5,"max_tokens":7,"max_completion_tokens":9}"#;
        let read = size(Route::Chat, body);
        assert_eq!((read.answers, read.max_tokens), (5, Some(9)));
        assert!(read.by_bytes.is_some());
        let image = r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
        assert_eq!(size(Route::Chat, image).by_bytes, None);
        for hidden in ["\\u0069mage_url", "image\\u005furl"] {
            let body = format!("{{\"messages\":[{{\"content\":[{{\"type\":\"{hidden}\"}}]}}]}}");
            assert_eq!(size(Route::Chat, &body).by_bytes, None);
        }
    }

    #[test]
    fn each_prompt_of_a_list_has_its_own_answers_and_its_own_context() {
        for (prompt, prompts) in
            [(r#""x""#, 1), (r#"["x","y","z"]"#, 3), ("[1,2,3]", 1), ("[[1,2],[3]]", 2), ("[]", 1)]
        {
            let body = format!("{{\"prompt\":{prompt},\"max_tokens\":10,\"n\":2}}");
            let input = body.len() as u64 + 1024 + 16 * (prompts - 1);
            assert_eq!(bound(Route::Completions, &body), (input, 20 * prompts), "{prompt}");
            let body = format!("{{\"input\":{prompt}}}");
            let input = body.len() as u64 + 1024 + 16 * (prompts - 1);
            assert_eq!(bound(Route::Embeddings, &body), (input, 0), "{prompt}");
        }
        let padded = r#"{"input":["x","y"],"padding":"max_length"}"#;
        assert_eq!(bound(Route::Embeddings, padded), (2 * 4096, 0));
        let embeds = r#"{"prompt_embeds":["x","y"],"max_tokens":1}"#;
        assert_eq!(bound(Route::Completions, embeds), (2 * 4096, 2));
    }

    #[test]
    fn what_stands_beside_a_list_is_counted_for_each_of_its_entries() {
        let body = r#"{"query":"qqqq","documents":["a","b","c"]}"#;
        let listed = r#"["a","b","c"]"#.len() as u64;
        let rest = body.len() as u64 - listed;
        assert_eq!(bound(Route::Rerank, body), (listed + 3 * (rest + 1024), 0));
        for body in [
            r#"{"queries":"q","documents":["a","b","c"]}"#,
            r#"{"queries":"q","items":["a","b","c"]}"#,
            r#"{"text_1":["a","b","c"],"text_2":"q"}"#,
            r#"{"data_1":"q","data_2":["a","b","c"]}"#,
        ] {
            assert_eq!(size(Route::Score, body).prompts, 3, "{body}");
            assert!(size(Route::Score, body).by_bytes.is_some(), "{body}");
        }
    }

    #[test]
    fn what_is_only_named_in_a_body_is_bounded_by_the_context() {
        for (route, body) in [
            (Route::Responses, r#"{"input":"x","prompt":{"id":"p"},"max_output_tokens":3}"#),
            (Route::Responses, r#"{"input":[{"type":"input_file"}],"max_output_tokens":3}"#),
            (
                Route::Messages,
                r#"{"messages":[{"content":[{"type":"image","source":{}}]}],"max_tokens":3}"#,
            ),
        ] {
            assert_eq!(bound(route, body), (4096, 3), "{body}");
        }
        assert_eq!(bound(Route::Tokenize, r#"{"prompt":"x"}"#), (0, 0));
    }
}
