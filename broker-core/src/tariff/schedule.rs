//! What changes a tariff's prices, as the 0G network documents it.

use serde::Serialize;

use super::Usage;
use crate::money::Neuron;

/// Prices by the size of the prompt, and prices of what the engine's cache had or took.
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

/// Why a schedule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// More tiers than [`Schedule::TIERS_MAX`].
    #[error("{0} tiers are too many: at most {max}", max = Schedule::TIERS_MAX)]
    TooManyTiers(usize),
    /// A tier that no prompt reaches.
    #[error(
        "tier {0} (counted from 0) is never reached: each tier's largest prompt must be above that \
         of the tier before it, and only the last may be 0, for no limit"
    )]
    TierOutOfOrder(usize),
    /// A fraction with nothing below the line.
    #[error("a fraction's denominator is 0; it must be at least 1")]
    ZeroDenominator,
    /// Cached tokens divided by nothing.
    #[error("the cache's divisor is 0; it must be at least 1, for the full price")]
    ZeroDivisor,
    /// Bytes that [`Schedule::to_bytes`] does not write.
    #[error("these bytes are no schedule of a version that this program knows")]
    Malformed,
}

impl Schedule {
    /// Tiers at most.
    pub const TIERS_MAX: usize = 64;

    /// A schedule in which every price can be computed and every tier is reached by some prompt.
    ///
    /// # Errors
    /// The first thing that is wrong, in words for who wrote it.
    pub fn new(tiers: Vec<Tier>, cache: Option<CacheBilling>) -> Result<Self, ScheduleError> {
        if tiers.len() > Self::TIERS_MAX {
            return Err(ScheduleError::TooManyTiers(tiers.len()));
        }
        let mut before: Option<u64> = None;
        for (index, tier) in tiers.iter().enumerate() {
            let max = tier.max_input_tokens;
            if before.is_some_and(|before| before == 0 || max != 0 && max <= before) {
                return Err(ScheduleError::TierOutOfOrder(index));
            }
            before = Some(max);
        }
        if cache.is_some_and(|cache| cache.divisor == 0) {
            return Err(ScheduleError::ZeroDivisor);
        }
        let of_tiers = tiers.iter().flat_map(|tier| [tier.input, tier.output]);
        let of_cache = cache.iter().flat_map(|cache| [cache.write, cache.write_1h]).flatten();
        if of_tiers.chain(of_cache).any(|fraction| fraction.denominator == 0) {
            return Err(ScheduleError::ZeroDenominator);
        }
        Ok(Self { tiers, cache })
    }

    /// The schedule as bytes that never change: what is stored with a request and hashed.
    ///
    /// A version byte, the number of tiers, their numbers, then the cache's; numbers take eight
    /// bytes, the highest first, and what may be missing has a byte 1 before it or is a byte 0.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        let mut put = |number: u64| bytes.extend(number.to_be_bytes());
        put(self.tiers.len() as u64);
        for tier in &self.tiers {
            put(tier.max_input_tokens);
            for Fraction { numerator, denominator } in [tier.input, tier.output] {
                put(numerator);
                put(denominator);
            }
        }
        bytes.push(u8::from(self.cache.is_some()));
        let Some(cache) = &self.cache else { return bytes };
        bytes.extend(cache.divisor.to_be_bytes());
        for fraction in [cache.write, cache.write_1h] {
            bytes.push(u8::from(fraction.is_some()));
            let numbers = fraction.map(|f| [f.numerator, f.denominator].map(u64::to_be_bytes));
            bytes.extend(numbers.into_iter().flatten().flatten());
        }
        bytes
    }

    /// The inverse of [`Self::to_bytes`].
    ///
    /// # Errors
    /// The bytes are not exactly what a valid schedule is written as.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ScheduleError> {
        let (tiers, cache) = Reading(bytes).schedule().ok_or(ScheduleError::Malformed)?;
        Self::new(tiers, cache)
    }

    /// The tier of a prompt with so many tokens; `None` where there are no tiers.
    pub(super) fn tier(&self, input: u64) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.reaches(input)).or_else(|| self.tiers.last())
    }

    /// The tiers of all prompts up to so many tokens, each with its largest such prompt.
    pub(super) fn reachable(&self, input: u64) -> Vec<(Option<&Tier>, u64)> {
        let mut found = Vec::new();
        for tier in &self.tiers {
            if tier.reaches(input) {
                break;
            }
            found.push((Some(tier), tier.max_input_tokens));
        }
        found.push((self.tier(input), input));
        found
    }

    /// The most that a prompt token costs of the input price.
    pub(super) fn dearest_input(&self) -> Fraction {
        let full = Fraction { numerator: 1, denominator: 1 };
        let writes = self.cache.iter().flat_map(|cache| [cache.write, cache.write_1h]).flatten();
        writes.fold(full, |most, one| if one.is_above(most) { one } else { most })
    }
}

impl Tier {
    const fn reaches(&self, input: u64) -> bool {
        self.max_input_tokens == 0 || input <= self.max_input_tokens
    }
}

impl CacheBilling {
    pub(super) fn input_fee(&self, price: Neuron, usage: &Usage) -> Option<Neuron> {
        let mut left = usage.input;
        let mut carve = |count: u64| {
            let count = count.min(left);
            left = left.saturating_sub(count);
            count
        };
        let cached = carve(usage.cached_input);
        let mut fee = Fraction { numerator: cached, denominator: self.divisor }.of(price)?;
        // A bucket without a price of its own is no bucket: its tokens cost what others cost.
        let written =
            [(self.write, usage.cache_write), (self.write_1h.or(self.write), usage.cache_write_1h)];
        for (fraction, count) in written {
            let Some(fraction) = fraction else { continue };
            fee = fee.checked_add(fraction.of(price.checked_mul(carve(count))?)?)?;
        }
        fee.checked_add(price.checked_mul(left)?)
    }
}

impl Fraction {
    /// So much of an amount, rounded down; `None` where that leaves the range of money.
    pub(super) fn of(self, amount: Neuron) -> Option<Neuron> {
        let (above, below) = (u128::from(self.numerator), u128::from(self.denominator));
        // The product would need 192 bits; taken apart, only a result too large overflows.
        let whole = amount.get().checked_div(below)?.checked_mul(above)?;
        let rest = amount.get().checked_rem(below)?.checked_mul(above)?.checked_div(below)?;
        whole.checked_add(rest).map(Neuron::new)
    }

    fn is_above(self, other: Self) -> bool {
        let cross = |one: u64, two: u64| u128::from(one).saturating_mul(u128::from(two));
        cross(self.numerator, other.denominator) > cross(other.numerator, self.denominator)
    }
}

/// Bytes that are still to be read.
struct Reading<'a>(&'a [u8]);

impl Reading<'_> {
    fn schedule(&mut self) -> Option<(Vec<Tier>, Option<CacheBilling>)> {
        if self.byte()? != VERSION {
            return None;
        }
        let count = usize::try_from(self.number()?).ok().filter(|n| *n <= Schedule::TIERS_MAX)?;
        let tiers = (0..count).map(|_| self.tier()).collect::<Option<_>>()?;
        let cache = if self.is_there()? { Some(self.cache()?) } else { None };
        self.0.is_empty().then_some((tiers, cache))
    }

    fn tier(&mut self) -> Option<Tier> {
        let max_input_tokens = self.number()?;
        Some(Tier { max_input_tokens, input: self.fraction()?, output: self.fraction()? })
    }

    fn cache(&mut self) -> Option<CacheBilling> {
        let divisor = self.number()?;
        let write = if self.is_there()? { Some(self.fraction()?) } else { None };
        let write_1h = if self.is_there()? { Some(self.fraction()?) } else { None };
        Some(CacheBilling { divisor, write, write_1h })
    }

    fn fraction(&mut self) -> Option<Fraction> {
        Some(Fraction { numerator: self.number()?, denominator: self.number()? })
    }

    fn is_there(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }
}

/// Of [`Schedule::to_bytes`].
const VERSION: u8 = 1;
