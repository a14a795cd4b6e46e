//! The most tokens a request can use, as far as its body tells. A token is at least a byte, so the
//! body bounds a prompt, unless it holds what becomes tokens otherwise; the context bounds each
//! prompt and each answer.

use std::fmt;
use std::sync::LazyLock;

use aho_corasick::packed::{Config, Searcher};
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
    /// Answers to each of them that are handed over.
    pub choices: u64,
    /// Answers to each of them that may be generated.
    pub answers: u64,
    /// The client's limit of generated tokens for one answer, as this route's engine reads it.
    pub max_tokens: Option<u64>,
    /// Bytes of all prompts: of the body, and of what a list of it repeats.
    pub prompt_bytes: u64,
    /// Tokens of all prompts by the body's bytes; `None` where these bound nothing: images, audio,
    /// a template of the client's.
    pub by_bytes: Option<u64>,
    /// What its bytes do not even name the size of may be in it: pictures, files, stored prompts.
    pub unseen: bool,
    dialect: Dialect,
}

impl Size {
    pub(super) fn of(route: Route, fields: &Fields<'_>, body: &[u8]) -> Result<Self, Fault> {
        let choices = count("n", fields.n)?.unwrap_or(1).max(1);
        let best_of = count("best_of", fields.best_of)?.unwrap_or(1);
        let max_tokens = limit(route, fields)?;
        let prompts = match route {
            // An engine answers both lists, one after the other.
            Route::Completions => both(fields.prompt, fields.prompt_embeds),
            Route::Embeddings => both(fields.input, fields.messages),
            Route::Rerank | Route::Score => longest(fields).0,
            _ => 1,
        };
        let whole = body.len() as u64;
        let (prompt_bytes, around) = match route {
            Route::Rerank | Route::Score => {
                // What is not in the list stands beside each of its entries.
                let listed = longest(fields).1;
                let beside = prompts.saturating_mul(whole.saturating_sub(listed));
                (beside.saturating_add(listed), prompts.saturating_mul(TEMPLATE_TOKENS))
            }
            _ => {
                let marks = prompts.saturating_sub(1).saturating_mul(MARK_TOKENS);
                (whole, marks.saturating_add(TEMPLATE_TOKENS))
            }
        };
        let by_bytes = (!is_unbounded(route, body)).then(|| prompt_bytes.saturating_add(around));
        let dialect = route.dialect();
        let answers = choices.max(best_of);
        let unseen = by_bytes.is_none() && UNSEEN.are_in(body);
        Ok(Self { prompts, choices, answers, max_tokens, prompt_bytes, by_bytes, unseen, dialect })
    }

    /// Of a form with files in it that asks for so many answers: nothing else bounds it but the
    /// context.
    pub(super) const fn of_files(answers: u64, prompt_bytes: u64) -> Self {
        Self {
            prompts: 1,
            choices: answers,
            answers,
            max_tokens: None,
            prompt_bytes,
            by_bytes: None,
            unseen: true,
            dialect: Dialect::Media,
        }
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

/// The client's limit under the names that the engine reads on this route, at its largest. An
/// engine ignores every other name, and a limit of none is no limit to some.
fn limit(route: Route, fields: &Fields<'_>) -> Result<Option<u64>, Fault> {
    let tokens = count("max_tokens", fields.max_tokens)?;
    let completion = count("max_completion_tokens", fields.max_completion_tokens)?;
    let output = count("max_output_tokens", fields.max_output_tokens)?;
    let limit = match (route, route.dialect()) {
        (Route::Chat, _) => tokens.max(completion),
        (_, Dialect::Responses) => output,
        (_, Dialect::Completions | Dialect::Messages) => tokens,
        (_, Dialect::Pooling | Dialect::Media | Dialect::Uncounted) => None,
    };
    Ok(limit.filter(|limit| *limit > 0))
}

/// How many prompts two members hold together.
fn both(one: Given<'_>, other: Given<'_>) -> u64 {
    let of = |given: Given<'_>| given.not_null().map_or(0, |_| items(given));
    of(one).saturating_add(of(other)).max(1)
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
    static COMPLETIONS: LazyLock<Words> = LazyLock::new(|| hints(&["\"documents\""]));
    static RESPONSES: LazyLock<Words> =
        LazyLock::new(|| hints(&["input_image", "input_file", "\"prompt\""]));
    static MESSAGES: LazyLock<Words> =
        LazyLock::new(|| hints(&["\"image\"", "\"document\"", "\"source\""]));
    // Each prompt may be filled up to the context.
    static POOLING: LazyLock<Words> = LazyLock::new(|| hints(&["\"padding\"", "\"image\""]));
    static UNCOUNTED: LazyLock<Words> = LazyLock::new(|| hints(&[]));
    let words = match route.dialect() {
        Dialect::Completions => &COMPLETIONS,
        Dialect::Responses => &RESPONSES,
        Dialect::Messages => &MESSAGES,
        Dialect::Pooling => &POOLING,
        Dialect::Media => return true,
        Dialect::Uncounted => &UNCOUNTED,
    };
    words.are_in(body)
}

/// What makes a body unbounded on any route, and on one.
fn hints(own: &[&'static str]) -> Words {
    const HINTS: [&str; 13] = [
        "image_url",
        "input_audio",
        "audio_url",
        "video_url",
        "_embeds",
        "chat_template",
        "\"tools\"",
        "\\u002",
        "\\u003",
        "\\u004",
        "\\u005",
        "\\u006",
        "\\u007",
    ];
    Words::of(&[&HINTS, own].concat())
}

/// Of what makes a body unbounded, what is elsewhere or no text; escaped letters could hide it.
static UNSEEN: LazyLock<Words> = LazyLock::new(|| {
    let escaped = ["\\u005", "\\u006", "\\u007"];
    let words = ["_url", "input_image", "input_file", "input_audio", "\"prompt\""];
    Words::of(&[words.as_slice(), &escaped].concat())
});

/// Words that are looked for together, in one pass where the processor can do that.
struct Words {
    words: Vec<&'static str>,
    together: Option<Searcher>,
}

impl Words {
    fn of(words: &[&'static str]) -> Self {
        let together = Config::new().builder().extend(words).build();
        Self { words: words.to_vec(), together }
    }

    fn are_in(&self, body: &[u8]) -> bool {
        match &self.together {
            Some(together) => together.find(body).is_some(),
            None => self.words.iter().any(|word| memmem::find(body, word.as_bytes()).is_some()),
        }
    }
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
    fn words_are_found_wherever_they_are_and_however_they_are_looked_for() {
        let words = hints(&["\"documents\""]);
        assert_eq!(words.words.len(), 14);
        let apart = Words { together: None, words: words.words.clone() };
        for word in &words.words {
            for (before, behind) in [(0, 0), (1, 0), (0, 1), (63, 2), (1000, 1000)] {
                let body = ["x".repeat(before).as_str(), word, &"x".repeat(behind)].concat();
                let cut = body.replace(word, word.split_at(word.len() - 1).0);
                for words in [&words, &apart] {
                    assert!(words.are_in(body.as_bytes()), "{body}");
                    assert!(!words.are_in(cut.as_bytes()), "{cut}");
                }
            }
        }
    }

    #[test]
    fn a_chat_s_limits_are_read_at_their_largest() {
        let body = r#"{"messages":[],"n":2,"best_of":5,"max_tokens":7,"max_completion_tokens":9}"#;
        let read = size(Route::Chat, body);
        assert_eq!((read.choices, read.answers, read.max_tokens), (2, 5, Some(9)));
        assert!(read.by_bytes.is_some());
        let image = r#"{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#;
        assert_eq!(size(Route::Chat, image).by_bytes, None);
        for hidden in ["\\u0069mage_url", "image\\u005furl"] {
            let body = format!("{{\"messages\":[{{\"content\":[{{\"type\":\"{hidden}\"}}]}}]}}");
            assert_eq!(size(Route::Chat, &body).by_bytes, None);
        }
    }

    // An engine ignores the name of another route, and generates to the end of the context.
    #[test]
    fn a_limit_that_the_route_s_engine_does_not_read_bounds_nothing() {
        const NAMES: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
        for (route, member, own) in [
            (Route::Chat, "\"messages\":[]", &NAMES[..2]),
            (Route::Completions, "\"prompt\":\"x\"", &NAMES[..1]),
            (Route::Messages, "\"messages\":[]", &NAMES[..1]),
            (Route::Responses, "\"input\":\"x\"", &NAMES[2..]),
        ] {
            for name in NAMES {
                let output =
                    |limit: u64| bound(route, &format!("{{{member},\"{name}\":{limit}}}")).1;
                let limited = if own.contains(&name) { 7 } else { 4096 };
                assert_eq!(output(7), limited, "{route:?} {name}");
                assert_eq!(output(0), 4096, "{route:?} {name}");
            }
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
        let with_text = r#"{"prompt":["x","y"],"prompt_embeds":["x","y"],"max_tokens":1}"#;
        assert_eq!(bound(Route::Completions, with_text), (4 * 4096, 4));
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
