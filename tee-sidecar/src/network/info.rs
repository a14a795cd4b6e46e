//! The JSON that a service shows on the chain beside its prices.
//!
//! The contract forgets the owner's acknowledgement whenever this text changes, and settlement
//! stops: it is made from settings only, in an order that never changes, and holds nothing that an
//! upgrade or a restart would alter.

use broker_core::{CacheBilling, Fraction, Tier};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::Service;

/// The text for the service of these settings; the members stand in the order of the structs.
pub fn additional_info(service: &Service) -> String {
    let schedule = service.tariff.schedule.as_deref();
    let tiers = schedule.map(|schedule| schedule.tiers.as_slice()).unwrap_or_default();
    let info = Info {
        verifier: "dstack",
        tiers: (!tiers.is_empty()).then(|| Tiers { tiers: tiers.iter().map(tier).collect() }),
        cache: schedule.and_then(|schedule| schedule.cache).map(cache),
    };
    // Texts and numbers always become JSON.
    serde_json::to_string(&info).unwrap_or_default()
}

/// Whether two of these texts promise the same tiers and cache prices. One that is no JSON promises
/// none.
pub fn same_prices(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| serde_json::from_str::<Value>(text).ok());
    let promised = |info: &Option<Value>, key: &str| {
        info.as_ref().and_then(|info| info.get(key)).filter(|value| !value.is_null()).cloned()
    };
    PRICES.iter().all(|key| promised(&one, key) == promised(&other, key))
}

/// The members that say what is charged.
const PRICES: [&str; 2] = ["tieredPricing", "cacheTokenBilling"];

#[derive(Serialize)]
struct Info {
    #[serde(rename = "TEEVerifier")]
    verifier: &'static str,
    #[serde(rename = "tieredPricing", skip_serializing_if = "Option::is_none")]
    tiers: Option<Tiers>,
    #[serde(rename = "cacheTokenBilling", skip_serializing_if = "Option::is_none")]
    cache: Option<Cache>,
}

#[derive(Serialize)]
struct Tiers {
    tiers: Vec<InfoTier>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InfoTier {
    max_input_tokens: u64,
    input_multiplier: Option<Box<RawValue>>,
    output_multiplier: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Cache {
    divisor: u64,
    #[serde(rename = "writeMultiplier", skip_serializing_if = "Option::is_none")]
    write: Option<Box<RawValue>>,
    #[serde(rename = "write1hMultiplier", skip_serializing_if = "Option::is_none")]
    write_1h: Option<Box<RawValue>>,
}

fn tier(tier: &Tier) -> InfoTier {
    InfoTier {
        max_input_tokens: tier.max_input_tokens,
        input_multiplier: number(tier.input),
        output_multiplier: number(tier.output),
    }
}

fn cache(cache: CacheBilling) -> Cache {
    Cache {
        divisor: cache.divisor,
        write: cache.write.and_then(number),
        write_1h: cache.write_1h.and_then(number),
    }
}

/// A number of JSON where the fraction has a short one, else the text of the fraction.
fn number(Fraction { numerator, denominator }: Fraction) -> Option<Box<RawValue>> {
    let text = if denominator == 1 {
        numerator.to_string()
    } else {
        decimal(numerator, denominator).unwrap_or_else(|| format!("\"{numerator}/{denominator}\""))
    };
    RawValue::from_string(text).ok()
}

fn decimal(numerator: u64, denominator: u64) -> Option<String> {
    (1..=DECIMALS_MAX).find_map(|places| {
        let unit = 10_u128.checked_pow(places)?;
        let scaled = u128::from(numerator).checked_mul(unit)?;
        let denominator = u128::from(denominator);
        if scaled.checked_rem(denominator)? != 0 {
            return None;
        }
        let scaled = scaled.checked_div(denominator)?;
        let (whole, part) = (scaled.checked_div(unit)?, scaled.checked_rem(unit)?);
        Some(format!("{whole}.{part:0width$}", width = places as usize))
    })
}

/// Digits after the point at most.
const DECIMALS_MAX: u32 = 9;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use broker_core::{Schedule, Tariff};

    use super::*;

    fn service(schedule: Option<Schedule>) -> Service {
        Service {
            serving_url: None,
            kind: "chatbot".into(),
            model: None,
            verifiability: "TeeML".into(),
            tariff: Tariff { schedule: schedule.map(Arc::new), ..Tariff::default() },
            routes: Vec::new(),
        }
    }

    #[test]
    fn prices_are_the_same_where_both_texts_promise_the_same() {
        let tiers = r#"{"tieredPricing":{"tiers":[{"maxInputTokens":0,"inputMultiplier":2}]}}"#;
        let spaced = tiers.replace(':', ": ").replace('}', " }");
        let dearer = tiers.replace('2', "3");
        let cache = r#"{"cacheTokenBilling":{"divisor":4}}"#;
        for (one, other, same) in [
            ("{}", "", true),
            ("{}", r#"{"TEEVerifier":"dstack","tieredPricing":null}"#, true),
            ("no JSON", "[]", true),
            (tiers, spaced.as_str(), true),
            (tiers, dearer.as_str(), false),
            (tiers, "{}", false),
            ("", cache, false),
            (cache, tiers, false),
        ] {
            assert_eq!(same_prices(one, other), same, "{one} {other}");
            assert_eq!(same_prices(other, one), same, "{other} {one}");
        }
    }

    #[test]
    fn the_text_never_changes_between_releases() {
        assert_eq!(additional_info(&service(None)), r#"{"TEEVerifier":"dstack"}"#);
        let fraction = |numerator, denominator| Fraction { numerator, denominator };
        let schedule = Schedule {
            tiers: vec![
                Tier { max_input_tokens: 10, input: fraction(1, 1), output: fraction(3, 2) },
                Tier { max_input_tokens: 0, input: fraction(4, 3), output: fraction(2, 1) },
            ],
            cache: Some(CacheBilling { divisor: 4, write: Some(fraction(5, 4)), write_1h: None }),
        };
        assert_eq!(
            additional_info(&service(Some(schedule))),
            concat!(
                r#"{"TEEVerifier":"dstack","tieredPricing":{"tiers":["#,
                r#"{"maxInputTokens":10,"inputMultiplier":1,"outputMultiplier":1.5},"#,
                r#"{"maxInputTokens":0,"inputMultiplier":"4/3","outputMultiplier":2}]},"#,
                r#""cacheTokenBilling":{"divisor":4,"writeMultiplier":1.25}}"#
            )
        );
    }
}
