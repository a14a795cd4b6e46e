//! Prices, and the two sums made of them: the ceiling before a request and the fee after it.

use std::sync::Arc;

use serde::Serialize;

use crate::money::Neuron;

/// Tokens that an exchange used, and who says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Those of `input` that the engine had in its prefix cache.
    pub cached_input: u64,
    /// Those of `input` that the engine wrote into its cache.
    pub cache_write: u64,
    /// Those of `input` that the engine wrote into its cache for an hour.
    pub cache_write_1h: u64,
    /// Generated tokens.
    pub output: u64,
    /// Where the counts come from.
    pub source: UsageSource,
}

/// Where token counts come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum UsageSource {
    /// Nothing was generated, so nothing was counted.
    #[default]
    None = 0,
    /// The engine's own count.
    Engine = 1,
    /// The engine gave no count: a conservative estimate from bytes.
    Estimate = 2,
}

impl UsageSource {
    /// The source a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Engine,
            2 => Self::Estimate,
            _ => return None,
        })
    }
}

/// The most tokens a request can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBound {
    /// Prompt tokens at most.
    pub input: u64,
    /// Generated tokens at most, over all answers asked for.
    pub output: u64,
}

/// Prices in neuron per token. A request keeps the tariff it was admitted under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tariff {
    /// Neuron for one prompt token.
    pub input_price: Neuron,
    /// Neuron for one generated token.
    pub output_price: Neuron,
    /// What changes the prices with the size of the prompt and with the engine's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Arc<Schedule>>,
}

/// What changes a tariff's prices, as the 0G network documents it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// The first tier whose `max_input_tokens` is 0 or reaches the prompt, else the last.
    pub tiers: Vec<Tier>,
    /// Cheaper and dearer prompt tokens.
    pub cache: Option<CacheBilling>,
}

/// Prices for prompts up to a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// Prompt tokens at most; 0 is no limit.
    pub max_input_tokens: u64,
    /// The input price is multiplied by this fraction, and rounded down.
    pub input: Fraction,
    /// The output price is multiplied by this fraction, and rounded down.
    pub output: Fraction,
}

/// Prices of prompt tokens that the engine's cache had or took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheBilling {
    /// Cached prompt tokens cost the input price divided by this; at least 1.
    pub divisor: u64,
    /// What tokens written into the cache cost of the input price; `None`: like any other.
    pub write: Option<Fraction>,
    /// The same for an hour's cache; `None`: as `write`.
    pub write_1h: Option<Fraction>,
}

/// A fraction; its denominator is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fraction {
    /// Above the line.
    pub numerator: u64,
    /// Below it.
    pub denominator: u64,
}

impl Tariff {
    /// A tariff of so many neuron per prompt token and per generated token.
    pub const fn per_token(input_price: Neuron, output_price: Neuron) -> Self {
        Self { input_price, output_price, schedule: None }
    }

    /// What a request can cost at most, in neuron; `None` where the sum leaves the range of money.
    pub fn ceiling(&self, bound: TokenBound) -> Option<Neuron> {
        self.sum(bound.input, bound.output)
    }

    /// What an exchange cost, in neuron; `None` where the sum leaves the range of money.
    pub fn fee(&self, usage: &Usage) -> Option<Neuron> {
        self.sum(usage.input, usage.output)
    }

    /// TEMPORARY until the schedule's own work lands.
    pub fn schedule_bytes(&self) -> Option<Vec<u8>> {
        None
    }

    /// TEMPORARY until the schedule's own work lands.
    pub fn from_parts(input: Neuron, output: Neuron, schedule: Option<&[u8]>) -> Option<Self> {
        schedule.is_none().then(|| Self::per_token(input, output))
    }

    fn sum(&self, input: u64, output: u64) -> Option<Neuron> {
        let input = self.input_price.checked_mul(input)?;
        input.checked_add(self.output_price.checked_mul(output)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fee_is_the_sum_of_both_sides() {
        let tariff = Tariff::per_token(Neuron::new(100_000), Neuron::new(200_000));
        let usage = Usage { input: 42, output: 128, ..Usage::default() };
        assert_eq!(tariff.fee(&usage), Some(Neuron::new(29_800_000)));
    }

    #[test]
    fn a_fee_beyond_i64_is_exact_and_one_beyond_u128_is_none() {
        let tariff = Tariff::per_token(Neuron::new(1 << 70), Neuron::new(1));
        let bound = TokenBound { input: 1 << 20, output: 3 };
        assert_eq!(tariff.ceiling(bound), Some(Neuron::new((1 << 90) + 3)));
        let dear = Tariff::per_token(Neuron::new(u128::MAX), Neuron::new(1));
        assert_eq!(dear.ceiling(TokenBound { input: 1, output: 1 }), None);
        assert_eq!(dear.ceiling(TokenBound { input: 2, output: 0 }), None);
    }
}
