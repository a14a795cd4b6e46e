//! A tariff as a document: what receipts cite by its digest.
//!
//! ```json
//! {"cache":{"divisor":"10","write":"5/4","write_1h":null},
//!  "input_price":"100","output_price":"200",
//!  "tiers":[{"input":"1/1","max_input_tokens":"32000","output":"1/1"}],
//!  "type":"broker-core.tariff.v1","unit":"neuron"}
//! ```
//!
//! `cache` is `null` and `tiers` empty where a token costs the same whatever the prompt. All
//! numbers are decimal strings, fractions two of them: none has a limit that a reader of JSON could
//! miss. What they mean says [`Tariff::fee`]. The digest is the SHA-256 of the canonical form.

use std::fmt::Display;
use std::sync::Arc;

use super::{CacheBilling, Fraction, Schedule, Tariff, Tier};
use crate::digest::Digest32;
use crate::jcs::{self, Json};

impl Tariff {
    /// The terms as canonical text.
    pub fn terms(&self) -> String {
        let mut text = String::with_capacity(160);
        let schedule = self.schedule.as_deref();
        jcs::object(&mut text, |o| {
            match schedule.and_then(|schedule| schedule.cache) {
                Some(cache) => o.object("cache", |o| {
                    o.quoted("divisor", cache.divisor);
                    fraction_or_null(o, "write", cache.write);
                    fraction_or_null(o, "write_1h", cache.write_1h);
                }),
                None => o.plain("cache", "null"),
            };
            o.quoted("input_price", self.input_price);
            o.quoted("output_price", self.output_price);
            o.list("tiers", |list| {
                for tier in schedule.map(|schedule| schedule.tiers.as_slice()).unwrap_or_default() {
                    list.object(|o| {
                        o.quoted("input", written(tier.input));
                        o.quoted("max_input_tokens", tier.max_input_tokens);
                        o.quoted("output", written(tier.output));
                    });
                }
            });
            o.text("type", KIND).text("unit", "neuron");
        });
        text
    }

    /// SHA-256 of the terms: what receipts cite.
    pub fn digest(&self) -> Digest32 {
        Digest32::sha256(self.terms().as_bytes())
    }

    /// The tariff with these terms; `None` for a document that states none, or prices that cannot
    /// be computed.
    pub fn from_terms(terms: &Json) -> Option<Self> {
        let text = |key| terms.get(key).and_then(Json::text);
        if text("type") != Some(KIND) || text("unit") != Some("neuron") {
            return None;
        }
        let Some(Json::List(tiers)) = terms.get("tiers") else { return None };
        let tiers = tiers.iter().map(tier).collect::<Option<Vec<_>>>()?;
        let cache = match terms.get("cache")? {
            Json::Null => None,
            cache => Some(CacheBilling {
                divisor: number(cache.get("divisor")?)?,
                write: fraction_or_none(cache.get("write")?)?,
                write_1h: fraction_or_none(cache.get("write_1h")?)?,
            }),
        };
        let schedule = (!tiers.is_empty() || cache.is_some())
            .then(|| Schedule::new(tiers, cache).ok())
            .map(|made| made.map(Arc::new));
        let schedule = match schedule {
            Some(None) => return None,
            other => other.flatten(),
        };
        let (input_price, output_price) =
            (text("input_price")?.parse().ok()?, text("output_price")?.parse().ok()?);
        let read = Self { input_price, output_price, schedule };
        // Another spelling of a number would have another digest.
        (read.terms() == terms.canonical()).then_some(read)
    }
}

fn tier(terms: &Json) -> Option<Tier> {
    Some(Tier {
        max_input_tokens: number(terms.get("max_input_tokens")?)?,
        input: fraction(terms.get("input")?)?,
        output: fraction(terms.get("output")?)?,
    })
}

fn number(json: &Json) -> Option<u64> {
    json.text()?.parse().ok()
}

fn fraction(json: &Json) -> Option<Fraction> {
    let (numerator, denominator) = json.text()?.split_once('/')?;
    Some(Fraction { numerator: numerator.parse().ok()?, denominator: denominator.parse().ok()? })
}

fn fraction_or_none(json: &Json) -> Option<Option<Fraction>> {
    match json {
        Json::Null => Some(None),
        other => fraction(other).map(Some),
    }
}

fn written(fraction: Fraction) -> impl Display {
    format!("{}/{}", fraction.numerator, fraction.denominator)
}

fn fraction_or_null(o: &mut jcs::ObjectWriter<'_>, key: &'static str, fraction: Option<Fraction>) {
    match fraction {
        Some(fraction) => o.quoted(key, written(fraction)),
        None => o.plain(key, "null"),
    };
}

const KIND: &str = "broker-core.tariff.v1";
