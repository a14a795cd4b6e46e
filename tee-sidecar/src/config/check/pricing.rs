//! `service.tieredPricing` and `service.cacheTokenBilling`: what changes the prices.

use std::sync::Arc;

use broker_core::{CacheBilling, Fraction, Schedule, Tier};

use super::super::keys::TIERS;
use super::super::raw::{RawCacheBilling, RawService, RawTier};
use super::super::text::Text;
use super::values::Check;

/// Reads both; `None` where neither changes anything.
pub(super) fn schedule(check: &mut Check, raw: &RawService) -> Option<Arc<Schedule>> {
    let tiers = tiers(check, &raw.tiered_pricing.tiers);
    let cache = cache(check, &raw.cache_token_billing);
    if tiers.is_empty() && cache.is_none() {
        return None;
    }
    match Schedule::new(tiers, cache) {
        Ok(schedule) => Some(Arc::new(schedule)),
        // What is wrong with one entry has been noted before; this is about all of them.
        Err(error) => {
            if check.problems.is_empty() {
                check.refuse_key(TIERS, error.to_string());
            }
            None
        }
    }
}

fn tiers(check: &mut Check, raw: &[RawTier]) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("{TIERS}[{index}]");
        let max_path = format!("{path}.maxInputTokens");
        let given = raw.max_input_tokens.as_ref();
        if given.is_none() {
            check.refuse_key(&max_path, "is required; 0 is no limit, for the last entry");
        }
        let max_input_tokens = check.number(&max_path, given, 0..=TOKENS_MAX, 0);
        let follows = tiers.last().is_none_or(|before| {
            // The first entry that reaches the prompt counts: a later one must reach further.
            let further = max_input_tokens == 0 || max_input_tokens > before.max_input_tokens;
            before.max_input_tokens != 0 && further
        });
        if let Some(given) = given.filter(|_| !follows) {
            let rule = "must be above that of the entry before it; only the last may be 0";
            check.refuse(&max_path, given, rule);
        }
        let mut multiplier = |key: &str, given: &Option<Text>| {
            check.fraction(&format!("{path}.{key}"), given.as_ref()).unwrap_or(ONE)
        };
        let input = multiplier("inputMultiplier", &raw.input_multiplier);
        let output = multiplier("outputMultiplier", &raw.output_multiplier);
        tiers.push(Tier { max_input_tokens, input, output });
    }
    tiers
}

/// The values are checked whether or not they are in force.
fn cache(check: &mut Check, raw: &RawCacheBilling) -> Option<CacheBilling> {
    let key = "service.cacheTokenBilling.enabled";
    let choices = [("true", true), ("false", false)];
    let enabled = check.choice(key, raw.enabled.as_ref(), &choices, false);
    let key = "service.cacheTokenBilling.divisor";
    let divisor = check.number(key, raw.divisor.as_ref(), 1..=DIVISOR_MAX, DIVISOR);
    let key = "service.cacheTokenBilling.writeMultiplier";
    let write = check.fraction(key, raw.write_multiplier.as_ref());
    let key = "service.cacheTokenBilling.write1hMultiplier";
    let write_1h = check.fraction(key, raw.write_1h_multiplier.as_ref());
    enabled.then_some(CacheBilling { divisor, write, write_1h })
}

const ONE: Fraction = Fraction { numerator: 1, denominator: 1 };
/// 0G's own figure: a cached token costs a quarter.
const DIVISOR: u64 = 4;
const DIVISOR_MAX: u64 = 1_000_000;
/// More than any context.
const TOKENS_MAX: u64 = 1_000_000_000;
