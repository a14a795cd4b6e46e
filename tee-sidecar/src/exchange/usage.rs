//! What an engine says of the tokens it used, in the shape of each route. An absent count and a
//! count of zero are different things.

use broker_core::jcs::INTEGER_MAX;
use serde::Deserialize;

use crate::route::Dialect;

/// Counts of the engine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineUsage {
    /// Prompt tokens; those of the cache are within or beside.
    prompt: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    /// What the cache had and took is not within `prompt`.
    beside: bool,
}

/// OpenAI's completions, and what is like them.
#[derive(Deserialize)]
struct OfCompletions {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
    #[serde(default)]
    cache_write_1h_tokens: Option<u64>,
}

/// OpenAI's Responses.
#[derive(Deserialize)]
struct OfResponses {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    input_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

/// Anthropic's Messages.
#[derive(Deserialize)]
struct OfMessages {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation: Option<Creation>,
}

/// What was written into the cache, by how long it stays.
#[derive(Deserialize)]
struct Creation {
    #[serde(default)]
    ephemeral_5m_input_tokens: Option<u64>,
    #[serde(default)]
    ephemeral_1h_input_tokens: Option<u64>,
}

/// Embeddings, rerank, score: some engines tell the sum only.
#[derive(Deserialize)]
struct OfPooling {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    total_tokens: Option<u64>,
}

impl EngineUsage {
    /// Reads a usage object as a route has it; `None` for `null` and for what is none.
    pub fn read(dialect: Dialect, text: &str) -> Option<Self> {
        let usage = match dialect {
            Dialect::Completions => completions(text)?,
            Dialect::Responses => responses(text)?,
            Dialect::Messages => messages(text)?,
            Dialect::Pooling => pooling(text)?,
            // Duration and size are no tokens.
            Dialect::Media => match responses(text)? {
                counted if counted.prompt.is_some() || counted.output.is_some() => counted,
                _ => completions(text)?,
            },
            Dialect::Uncounted => return None,
        };
        let counts = [usage.input(), usage.output];
        if counts.into_iter().flatten().any(|count| count > INTEGER_MAX) {
            // No receipt could say it, and no engine has counted so far.
            return None;
        }
        // An object without any count says nothing.
        (usage.prompt.is_some() || usage.output.is_some()).then_some(usage)
    }

    /// Prompt tokens, cached ones included, if they were told.
    pub fn input(&self) -> Option<u64> {
        let prompt = self.prompt?;
        if !self.beside {
            return Some(prompt);
        }
        let parts = [self.cached, self.cache_write, self.cache_write_1h];
        Some(parts.into_iter().flatten().fold(prompt, u64::saturating_add))
    }

    /// Generated tokens.
    pub fn output(&self) -> u64 {
        self.output.unwrap_or(0)
    }

    /// Whether generated tokens were counted, if only as zero.
    pub fn counts_output(&self) -> bool {
        self.output.is_some()
    }

    /// Prompt tokens that the engine's cache had, took, and took for an hour: none of them more
    /// than those before it left of the prompt.
    pub(super) fn cache_parts(&self, input: u64) -> [u64; 3] {
        let mut left = input;
        [self.cached, self.cache_write, self.cache_write_1h].map(|count| {
            let count = count.unwrap_or(0).min(left);
            left = left.saturating_sub(count);
            count
        })
    }

    /// The same with another count of generated tokens.
    #[must_use]
    pub fn with_output(self, tokens: u64) -> Self {
        Self { output: Some(tokens), ..self }
    }

    /// The same with another count of prompt tokens.
    #[must_use]
    pub fn with_input(self, tokens: u64) -> Self {
        Self { prompt: Some(tokens), ..self }
    }

    /// This count, with what only an earlier one told.
    #[must_use]
    pub(super) fn after(self, before: Self) -> Self {
        // A sum of what was told apart before says nothing new.
        let split = before.cache_write.unwrap_or(0).checked_add(before.cache_write_1h.unwrap_or(0));
        let written = match (self.cache_write, self.cache_write_1h) {
            (None, None) => before,
            (Some(_), None) if before.cache_write_1h.is_some() && split == self.cache_write => {
                before
            }
            _ => self,
        };
        Self {
            prompt: self.prompt.or(before.prompt),
            output: self.output.or(before.output),
            cached: self.cached.or(before.cached),
            cache_write: written.cache_write,
            cache_write_1h: written.cache_write_1h,
            beside: self.beside,
        }
    }
}

fn told<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str::<Option<T>>(text).ok()?
}

fn completions(text: &str) -> Option<EngineUsage> {
    let told = told::<OfCompletions>(text)?;
    Some(EngineUsage {
        prompt: told.prompt_tokens,
        output: told.completion_tokens,
        cached: told.prompt_tokens_details.and_then(|details| details.cached_tokens),
        cache_write: told.cache_write_tokens,
        cache_write_1h: told.cache_write_1h_tokens,
        beside: false,
    })
}

fn responses(text: &str) -> Option<EngineUsage> {
    let told = told::<OfResponses>(text)?;
    let details = told.input_tokens_details.as_ref();
    Some(EngineUsage {
        prompt: told.input_tokens,
        output: told.output_tokens,
        cached: details.and_then(|details| details.cached_tokens),
        cache_write: details.and_then(|details| details.cache_write_tokens),
        ..EngineUsage::default()
    })
}

fn messages(text: &str) -> Option<EngineUsage> {
    let told = told::<OfMessages>(text)?;
    let written = told.cache_creation_input_tokens;
    let (cache_write, cache_write_1h) = match &told.cache_creation {
        Some(Creation { ephemeral_5m_input_tokens: short, ephemeral_1h_input_tokens: long })
            if short.is_some() || long.is_some() =>
        {
            (*short, *long)
        }
        _ => (written, None),
    };
    Some(EngineUsage {
        prompt: told.input_tokens,
        output: told.output_tokens,
        cached: told.cache_read_input_tokens,
        cache_write,
        cache_write_1h,
        beside: true,
    })
}

fn pooling(text: &str) -> Option<EngineUsage> {
    let told = told::<OfPooling>(text)?;
    let prompt = told.prompt_tokens.or(told.total_tokens);
    Some(EngineUsage { prompt, output: prompt.map(|_| 0), ..EngineUsage::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dialect: Dialect, text: &str) -> Option<(Option<u64>, u64, [u64; 3])> {
        let usage = EngineUsage::read(dialect, text)?;
        let input = usage.input();
        Some((input, usage.output(), usage.cache_parts(input.unwrap_or(0))))
    }

    #[test]
    fn absent_null_and_zero_are_told_apart() {
        for dialect in [Dialect::Completions, Dialect::Responses, Dialect::Messages] {
            for none in ["null", "{}", "\"7\"", "[]", "{\"prompt_tokens\":-1}"] {
                assert_eq!(EngineUsage::read(dialect, none), None, "{none}");
            }
            let huge = "{\"prompt_tokens\":18446744073709551615,\
                        \"input_tokens\":18446744073709551615}";
            assert_eq!(EngineUsage::read(dialect, huge), None);
        }
        let zero = "{\"prompt_tokens\":0,\"completion_tokens\":0}";
        assert_eq!(read(Dialect::Completions, zero), Some((Some(0), 0, [0; 3])));
    }

    #[test]
    fn each_route_s_shape_is_read_and_no_other() {
        let of_responses = "{\"input_tokens\":13,\"output_tokens\":4,\
            \"input_tokens_details\":{\"cached_tokens\":5,\"cache_write_tokens\":2}}";
        assert_eq!(read(Dialect::Responses, of_responses), Some((Some(13), 4, [5, 2, 0])));
        assert_eq!(read(Dialect::Completions, of_responses), None);
        let of_pooling = "{\"prompt_tokens\":13,\"total_tokens\":13,\"completion_tokens\":0}";
        assert_eq!(read(Dialect::Pooling, of_pooling), Some((Some(13), 0, [0; 3])));
        assert_eq!(read(Dialect::Pooling, "{\"total_tokens\":7}"), Some((Some(7), 0, [0; 3])));
        let of_images = "{\"input_tokens\":13,\"output_tokens\":400,\"total_tokens\":413}";
        assert_eq!(read(Dialect::Media, of_images), Some((Some(13), 400, [0; 3])));
        assert_eq!(read(Dialect::Media, of_pooling), Some((Some(13), 0, [0; 3])));
        assert_eq!(read(Dialect::Media, "{\"type\":\"duration\",\"seconds\":9}"), None);
        assert_eq!(read(Dialect::Uncounted, of_responses), None);
    }

    // What the cache had is beside Anthropic's input_tokens, and part of the prompt here.
    #[test]
    fn anthropic_s_cache_is_added_to_its_prompt() {
        let flat = "{\"input_tokens\":3,\"output_tokens\":4,\"cache_read_input_tokens\":10,\
                    \"cache_creation_input_tokens\":6}";
        assert_eq!(read(Dialect::Messages, flat), Some((Some(19), 4, [10, 6, 0])));
        let split = "{\"input_tokens\":3,\"cache_creation_input_tokens\":6,\
            \"cache_creation\":{\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":4}}";
        assert_eq!(read(Dialect::Messages, split), Some((Some(9), 0, [0, 2, 4])));
        let nulls = "{\"input_tokens\":3,\"output_tokens\":1,\"cache_read_input_tokens\":null,\
                     \"cache_creation\":null}";
        assert_eq!(read(Dialect::Messages, nulls), Some((Some(3), 1, [0; 3])));
    }

    #[test]
    fn a_later_count_keeps_what_only_an_earlier_one_told() {
        let of = |text: &str| EngineUsage::read(Dialect::Messages, text).unwrap();
        let start = of("{\"input_tokens\":3,\"output_tokens\":1,\"cache_read_input_tokens\":10}");
        let both = of("{\"output_tokens\":9}").after(start);
        assert_eq!((both.input(), both.output(), both.cache_parts(13)), (Some(13), 9, [10, 0, 0]));
        let split = of("{\"input_tokens\":3,\"cache_creation\":\
            {\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":4}}");
        for (later, parts) in [(6, [0, 2, 4]), (7, [0, 7, 0])] {
            let sum = format!("{{\"output_tokens\":9,\"cache_creation_input_tokens\":{later}}}");
            let both = of(&sum).after(split);
            assert_eq!(both.cache_parts(both.input().unwrap()), parts, "{later}");
        }
    }
}
