//! How many tokens an exchange used: the engine's count where it gives one, a conservative estimate
//! where it does not. An absent count and a count of zero are different things.

use broker_core::jcs::INTEGER_MAX;
use broker_core::{TokenBound, Usage, UsageSource};
use serde_json::Value;
use serde_json::value::RawValue;

use super::usage::EngineUsage;

/// Bytes of text to a token when the engine does not count: fewer than real text has, so that the
/// estimate is not below the count.
const BYTES_PER_TOKEN: u64 = 3;
/// Tokens that a chat template puts around each answer.
const TOKENS_PER_ANSWER: u64 = 4;

/// What is known of an exchange's tokens at one point of its answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// The engine's last count up to here.
    pub last: Option<EngineUsage>,
    /// Bytes of text up to here that came without a count.
    pub uncounted_bytes: u64,
}

/// What the engine told of a request's prompts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prompts {
    /// Their tokens, as far as it told them.
    pub counted: Option<u64>,
    /// There are more of them than it told of.
    pub lacking: bool,
}

impl Meter {
    /// Takes what an event says: the last count stands.
    pub fn take(&mut self, usage: Option<EngineUsage>, text_bytes: u64) {
        if let Some(usage) = usage {
            if usage.counts_output() {
                // A running count includes the text of the events before it.
                self.uncounted_bytes = 0;
            }
            self.last = Some(usage.after(self.last.unwrap_or_default()));
        }
        self.uncounted_bytes = self.uncounted_bytes.saturating_add(text_bytes);
    }

    /// The usage to charge for what was handed over up to here.
    ///
    /// `prompts` is what any event told of them; `bound` the most that the request can use. Without
    /// any count of the engine's it is an estimate, and says so; so it is where the engine has
    /// counted some of the prompts only, all of which it was given to work on.
    pub fn usage(&self, prompts: Prompts, prompt_bytes: u64, bound: TokenBound) -> Usage {
        let engine = self.last.unwrap_or_default();
        let told_input = engine.input().or(prompts.counted);
        let estimated = || estimate(prompt_bytes).min(bound.input);
        let input = match told_input {
            Some(told) if prompts.lacking => told.max(estimated()),
            told => told.unwrap_or_else(estimated),
        };
        // Text that came after the last count, or without any.
        let uncounted = match self.uncounted_bytes {
            0 => 0,
            bytes => estimate(bytes).min(bound.output.saturating_sub(engine.output())),
        };
        let counted = told_input.is_some() && !prompts.lacking && uncounted == 0;
        let [cached_input, cache_write, cache_write_1h] = engine.cache_parts(input);
        Usage {
            input,
            cached_input,
            cache_write,
            cache_write_1h,
            output: engine.output().saturating_add(uncounted).min(INTEGER_MAX),
            source: if counted { UsageSource::Engine } else { UsageSource::Estimate },
        }
    }
}

fn estimate(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN).saturating_add(TOKENS_PER_ANSWER)
}

/// Bytes of generated text in a `choices` array: of every string in the deltas or messages, tool
/// calls, refusals and reasoning included, but for the role.
pub(super) fn text_bytes(choices: &RawValue) -> u64 {
    let Ok(Value::Array(choices)) = serde_json::from_str(choices.get()) else { return 0 };
    let pieces = choices.iter().flat_map(|choice| {
        ["delta", "message", "text"].into_iter().filter_map(|name| choice.get(name))
    });
    pieces.map(strings).sum()
}

fn strings(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| *name != "role")
            .map(|(_, value)| strings(value))
            .sum(),
        _ => 0,
    }
}

/// Bytes of generated text in the typed blocks of Responses and Messages: of texts, reasoning and
/// the arguments of tools, whether these are text or objects.
pub(super) fn block_bytes(blocks: &RawValue) -> u64 {
    serde_json::from_str(blocks.get()).map_or(0, |blocks| generated(&blocks))
}

fn generated(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(generated).sum(),
        Value::Object(members) => {
            let of = |(name, value): (&String, &Value)| match (name.as_str(), value) {
                ("text" | "arguments" | "refusal" | "thinking" | "partial_json", text) => {
                    strings(text)
                }
                ("input", arguments) => arguments.to_string().len() as u64,
                (_, inner) => generated(inner),
            };
            members.iter().map(of).sum()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Dialect;

    const BOUND: TokenBound = TokenBound { input: 1_000, output: 50 };

    fn read(text: &str) -> Option<EngineUsage> {
        EngineUsage::read(Dialect::Completions, text)
    }

    #[test]
    fn a_count_of_zero_is_a_count() {
        let zero = read("{\"prompt_tokens\":0,\"completion_tokens\":0}").unwrap();
        let mut meter = Meter::default();
        meter.take(Some(zero), 0);
        let usage = meter.usage(Prompts::default(), 3_000, BOUND);
        assert_eq!((usage.input, usage.output, usage.source), (0, 0, UsageSource::Engine));
    }

    #[test]
    fn the_last_count_stands() {
        let mut meter = Meter::default();
        for n in [1, 2, 3] {
            let text = format!(
                "{{\"prompt_tokens\":13,\"completion_tokens\":{n},\
                 \"prompt_tokens_details\":{{\"cached_tokens\":5}}}}"
            );
            meter.take(read(&text), 0);
        }
        let usage = meter.usage(Prompts::default(), 10, BOUND);
        assert_eq!((usage.input, usage.cached_input, usage.output), (13, 5, 3));
    }

    #[test]
    fn what_the_cache_had_and_took_is_read_and_is_never_more_than_the_prompt() {
        for (details, write, write_1h, parts) in [
            ("{\"cached_tokens\":5}", "4", "3", [5, 4, 3]),
            ("{\"cached_tokens\":11}", "4", "3", [11, 2, 0]),
            ("{\"cached_tokens\":99}", "4", "3", [13, 0, 0]),
            ("{\"cached_tokens\":null}", "0", "99", [0, 0, 13]),
            ("null", "null", "null", [0, 0, 0]),
            ("{}", "13", "1", [0, 13, 0]),
        ] {
            let text = format!(
                "{{\"prompt_tokens\":13,\"completion_tokens\":1,\
                 \"prompt_tokens_details\":{details},\
                 \"cache_write_tokens\":{write},\"cache_write_1h_tokens\":{write_1h}}}"
            );
            let mut meter = Meter::default();
            meter.take(read(&text), 0);
            let usage = meter.usage(Prompts::default(), 10, BOUND);
            let read = [usage.cached_input, usage.cache_write, usage.cache_write_1h];
            assert_eq!((read, usage.source), (parts, UsageSource::Engine), "{text}");
        }
    }

    #[test]
    fn an_estimate_says_so_and_keeps_to_the_bound() {
        let mut meter = Meter::default();
        meter.take(None, 30);
        let usage = meter.usage(Prompts::default(), 300, BOUND);
        assert_eq!((usage.input, usage.output, usage.source), (104, 14, UsageSource::Estimate));
        meter.take(None, 1_000_000);
        let usage = meter.usage(Prompts::default(), 1 << 40, BOUND);
        assert_eq!((usage.input, usage.output), (1_000, 50));
    }

    #[test]
    fn text_behind_the_last_count_is_estimated() {
        let mut meter = Meter::default();
        meter.take(read("{\"prompt_tokens\":13,\"completion_tokens\":2}"), 0);
        meter.take(None, 30);
        let usage = meter.usage(Prompts::default(), 10, BOUND);
        assert_eq!((usage.input, usage.output, usage.source), (13, 16, UsageSource::Estimate));
        let mut no_output = Meter::default();
        no_output.take(read("{\"prompt_tokens\":13}"), 30);
        let usage = no_output.usage(Prompts::default(), 10, BOUND);
        assert_eq!((usage.input, usage.output, usage.source), (13, 14, UsageSource::Estimate));
        let mut half = Meter::default();
        half.take(read("{\"completion_tokens\":2}"), 0);
        let usage = half.usage(Prompts::default(), 300, BOUND);
        assert_eq!((usage.input, usage.output, usage.source), (104, 2, UsageSource::Estimate));
    }

    #[test]
    fn prompts_that_the_engine_has_not_counted_yet_are_estimated() {
        let mut meter = Meter::default();
        meter.take(read("{\"prompt_tokens\":13,\"completion_tokens\":2}"), 0);
        let usage = |lacking, bytes| {
            let usage = meter.usage(Prompts { counted: Some(13), lacking }, bytes, BOUND);
            (usage.input, usage.source)
        };
        assert_eq!(usage(false, 300), (13, UsageSource::Engine));
        assert_eq!(usage(true, 300), (104, UsageSource::Estimate));
        assert_eq!(usage(true, 10), (13, UsageSource::Estimate));
    }

    #[test]
    fn cjk_text_counts_by_its_bytes() {
        let raw = RawValue::from_string(
            "[{\"delta\":{\"role\":\"assistant\",\"content\":\"日本語\",\
             \"tool_calls\":[{\"function\":{\"arguments\":\"{}\"}}]}}]"
                .into(),
        );
        assert_eq!(text_bytes(&raw.unwrap()), 11);
    }

    #[test]
    fn typed_blocks_count_their_text_and_their_tools_arguments() {
        let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
        let of_responses = r#"[{"type":"message","id":"long-id","content":[{"text":"日本語"}]},
            {"type":"function_call","name":"f","arguments":"{}"}]"#;
        assert_eq!(block_bytes(&raw(of_responses)), 11);
        let of_messages = r#"[{"type":"thinking","thinking":"ab","signature":"long"},
            {"type":"text","text":"c"},{"type":"tool_use","id":"x","input":{"a":1}}]"#;
        assert_eq!(block_bytes(&raw(of_messages)), 10);
    }
}
