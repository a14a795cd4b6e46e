//! What an answer in one piece says, on each route. Only looked at: its bytes go on as they are.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::{Answer, Peek, finish_reason};
use super::meter::{block_bytes, text_bytes};
use super::usage::EngineUsage;
use crate::route::{Dialect, Route};

/// What was found in an answer.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// It holds an answer, and no error.
    pub(super) answered: bool,
    /// The engine's count.
    pub(super) usage: Option<EngineUsage>,
    /// Bytes of generated text, where the engine did not count what it generated.
    pub(super) text_bytes: u64,
    /// The engine's id of the answer.
    pub(super) id: Option<String>,
    /// Why it ended.
    pub(super) finish_reason: Option<String>,
    /// The engine's fingerprint, as JSON text.
    pub(super) fingerprint: Option<String>,
}

/// The members that hold what a route answers with, where it is not a completion.
#[derive(Deserialize)]
struct Held<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    results: Option<&'a RawValue>,
    #[serde(borrow)]
    tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

impl Said {
    /// Reads a body; `None` for what is no JSON object.
    pub(super) fn read(route: Route, body: &[u8]) -> Option<Self> {
        match route.dialect() {
            Dialect::Completions => completion(body),
            Dialect::Responses | Dialect::Messages => blocks(route.dialect(), body),
            Dialect::Pooling | Dialect::Media | Dialect::Uncounted => other(route, body),
        }
    }
}

fn completion(body: &[u8]) -> Option<Said> {
    let peek = serde_json::from_slice::<Peek<'_>>(body).ok()?;
    let usage = peek.usage.and_then(|raw| EngineUsage::read(Dialect::Completions, raw.get()));
    let counted = usage.is_some_and(|usage| usage.counts_output());
    Some(Said {
        answered: !peek.is_error() && is_list(peek.choices),
        usage,
        text_bytes: if counted { 0 } else { peek.choices.map_or(0, text_bytes) },
        id: peek.usable_id(),
        finish_reason: peek.choices.and_then(|c| finish_reason(c.get())).map(str::to_owned),
        fingerprint: peek.system_fingerprint.text().map(str::to_owned),
    })
}

fn blocks(dialect: Dialect, body: &[u8]) -> Option<Said> {
    let answer = serde_json::from_slice::<Answer<'_>>(body).ok()?;
    let blocks = if dialect == Dialect::Responses { answer.output } else { answer.content };
    let usage = answer.usage(dialect);
    let counted = usage.is_some_and(|usage| usage.counts_output());
    Some(Said {
        answered: !answer.is_error() && is_list(blocks),
        usage,
        text_bytes: if counted { 0 } else { blocks.map_or(0, block_bytes) },
        id: answer.usable_id(),
        finish_reason: answer.finish_reason(),
        fingerprint: None,
    })
}

fn other(route: Route, body: &[u8]) -> Option<Said> {
    let peek = serde_json::from_slice::<Peek<'_>>(body).ok()?;
    let held = serde_json::from_slice::<Held<'_>>(body).ok()?;
    let is_text = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get().starts_with('"'));
    let holds = match route {
        Route::Rerank => is_list(held.results),
        Route::Tokenize => is_list(held.tokens),
        Route::Detokenize => is_text(held.prompt),
        Route::Transcriptions => is_text(held.text),
        _ => is_list(held.data),
    };
    Some(Said {
        answered: !peek.is_error() && holds,
        usage: peek.usage.and_then(|raw| EngineUsage::read(route.dialect(), raw.get())),
        id: peek.usable_id(),
        ..Said::default()
    })
}

fn is_list(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| raw.get().starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is an answer, what was counted, and bytes of text.
    type Counts = (bool, Option<(u64, u64)>, u64);

    fn counts(route: Route, body: &str) -> Option<Counts> {
        let said = Said::read(route, body.as_bytes())?;
        let usage = said.usage.map(|usage| (usage.input().unwrap_or(0), usage.output()));
        Some((said.answered, usage, said.text_bytes))
    }

    #[test]
    fn every_route_s_answer_is_known_by_what_it_holds() {
        let pooled = Some((5, 0));
        for (route, body, found) in [
            (Route::Completions, r#"{"choices":[{"text":"abc"}]}"#, (true, None, 3)),
            (
                Route::Embeddings,
                r#"{"object":"list","data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
                (true, pooled, 0),
            ),
            (Route::Score, r#"{"data":[],"usage":{"prompt_tokens":5}}"#, (true, pooled, 0)),
            (Route::Rerank, r#"{"results":[],"usage":{"total_tokens":5}}"#, (true, pooled, 0)),
            (Route::Rerank, r#"{"data":[],"usage":{"total_tokens":5}}"#, (false, pooled, 0)),
            (
                Route::Responses,
                r#"{"status":"completed","error":null,"output":[{"content":[{"text":"abc"}]}],
                    "usage":{"input_tokens":5,"output_tokens":2}}"#,
                (true, Some((5, 2)), 0),
            ),
            (
                Route::Responses,
                r#"{"status":"failed","error":{"code":"x"},"output":[]}"#,
                (false, None, 0),
            ),
            (
                Route::Messages,
                r#"{"type":"message","content":[{"type":"text","text":"abc"}]}"#,
                (true, None, 3),
            ),
            (Route::Messages, r#"{"type":"error","error":{"type":"x"}}"#, (false, None, 0)),
            (Route::Tokenize, r#"{"count":2,"tokens":[1,2]}"#, (true, None, 0)),
            (Route::Detokenize, r#"{"prompt":"x"}"#, (true, None, 0)),
            (Route::Transcriptions, r#"{"text":"x","usage":{"seconds":3}}"#, (true, None, 0)),
            (
                Route::ImageEdits,
                r#"{"data":[],"usage":{"input_tokens":5,"output_tokens":2}}"#,
                (true, Some((5, 2)), 0),
            ),
            (Route::Embeddings, r#"{"error":{"message":"x"},"data":[]}"#, (false, None, 0)),
        ] {
            assert_eq!(counts(route, body), Some(found), "{body}");
        }
        assert_eq!(counts(Route::Messages, "<html>"), None);
    }

    #[test]
    fn why_it_ended_is_told_in_the_route_s_own_word() {
        for (route, body, reason) in [
            (Route::Completions, r#"{"choices":[{"finish_reason":"length"}]}"#, "length"),
            (Route::Messages, r#"{"content":[],"stop_reason":"end_turn"}"#, "end_turn"),
            (Route::Responses, r#"{"output":[],"status":"completed"}"#, "completed"),
            (
                Route::Responses,
                r#"{"output":[],"status":"incomplete",
                    "incomplete_details":{"reason":"max_output_tokens"}}"#,
                "max_output_tokens",
            ),
        ] {
            let said = Said::read(route, body.as_bytes()).unwrap();
            assert_eq!(said.finish_reason.as_deref(), Some(reason));
        }
    }
}
