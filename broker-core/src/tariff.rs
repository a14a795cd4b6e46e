//! Prices, and the two sums made of them: the ceiling before a request and the fee after it.

use std::sync::Arc;

use serde::Serialize;

use crate::money::Neuron;

mod schedule;
mod terms;

pub use schedule::{CacheBilling, Fraction, Schedule, ScheduleError, Tier};

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

impl Usage {
    /// So many prompt tokens and generated tokens by the engine's own count, none of them cached.
    pub const fn new(input: u64, output: u64) -> Self {
        let source = UsageSource::Engine;
        Self { input, cached_input: 0, cache_write: 0, cache_write_1h: 0, output, source }
    }
}

/// Where token counts come from.
///
/// The fee follows from the counts alone. The source stands beside them in the receipt, and in its
/// document under `usage.metered`, for whoever pays: [`Usage::new`] says the engine, so set
/// [`Usage::source`] where you count yourself.
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

impl Tariff {
    /// A tariff of so many neuron per prompt token and per generated token.
    pub const fn per_token(input_price: Neuron, output_price: Neuron) -> Self {
        Self { input_price, output_price, schedule: None }
    }

    /// The tariff with these prices and the schedule that [`Self::schedule_bytes`] wrote; `None`
    /// where the bytes are no schedule.
    pub fn from_parts(input: Neuron, output: Neuron, schedule: Option<&[u8]>) -> Option<Self> {
        let schedule = schedule.map(Schedule::from_bytes).transpose().ok()?.map(Arc::new);
        Some(Self { schedule, ..Self::per_token(input, output) })
    }

    /// The schedule as bytes, see [`Schedule::to_bytes`]; `None` where there is none.
    pub fn schedule_bytes(&self) -> Option<Vec<u8>> {
        self.schedule.as_deref().map(Schedule::to_bytes)
    }

    /// What a request can cost at most, in neuron; `None` where the sum leaves the range of money.
    ///
    /// No usage within the bound costs more, whatever its tier and however the engine's cache
    /// was used.
    pub fn ceiling(&self, bound: TokenBound) -> Option<Neuron> {
        let Some(schedule) = self.schedule.as_deref() else {
            return self.sum(bound.input, bound.output);
        };
        let factor = schedule.dearest_input();
        let mut most = Neuron::ZERO;
        for (tier, input) in schedule.reachable(bound.input) {
            let prices = self.at(tier)?;
            let input = factor.of(prices.input_price.checked_mul(input)?)?;
            let output = prices.output_price.checked_mul(bound.output)?;
            most = most.max(input.checked_add(output)?);
        }
        Some(most)
    }

    /// What an exchange cost, in neuron; `None` where the sum leaves the range of money.
    ///
    /// The tier's prices are made first. Then the prompt is split into what the cache had, what was
    /// written into it, what was written for an hour, and the rest, each at most what those before
    /// it left; each part's price is rounded down.
    pub fn fee(&self, usage: &Usage) -> Option<Neuron> {
        let Some(schedule) = self.schedule.as_deref() else {
            return self.sum(usage.input, usage.output);
        };
        let prices = self.at(schedule.tier(usage.input))?;
        let input = match &schedule.cache {
            Some(cache) => cache.input_fee(prices.input_price, usage)?,
            None => prices.input_price.checked_mul(usage.input)?,
        };
        input.checked_add(prices.output_price.checked_mul(usage.output)?)
    }

    /// What of an exchange's fee is for generated tokens, in neuron.
    pub fn output_fee(&self, usage: &Usage) -> Option<Neuron> {
        let tier = self.schedule.as_deref().and_then(|schedule| schedule.tier(usage.input));
        self.at(tier)?.output_price.checked_mul(usage.output)
    }

    /// The prices in a tier, without any schedule.
    fn at(&self, tier: Option<&Tier>) -> Option<Self> {
        let (input, output) = (self.input_price, self.output_price);
        let Some(tier) = tier else { return Some(Self::per_token(input, output)) };
        Some(Self::per_token(tier.input.of(input)?, tier.output.of(output)?))
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
