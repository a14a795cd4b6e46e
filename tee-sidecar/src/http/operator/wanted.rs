//! The body of a registration, read as Go reads it: keys in any case, others ignored.

use std::fmt;

use broker_core::Neuron;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::network::book::Registered;

/// The service that a body describes; `name` stands in where the body has none.
///
/// # Errors
/// What is wrong with it, in words for the operator.
pub(super) fn wanted(body: &[u8], name: Option<&str>) -> Result<Registered, String> {
    let Members(members) = serde_json::from_slice(body)
        .map_err(|error| format!("the body must be a JSON object: {error}"))?;
    let find = |key: &str| -> Result<Option<&RawValue>, String> {
        let mut found = members.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("{key} is given twice")),
            (first, _) => Ok(first.map(|(_, value)| &**value).filter(|raw| raw.get() != "null")),
        }
    };
    let text = |key: &str| -> Result<Option<String>, String> {
        let Some(raw) = find(key)? else { return Ok(None) };
        let text: String =
            serde_json::from_str(raw.get()).map_err(|_| format!("{key} must be a text"))?;
        let is_good = text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
        match is_good {
            true if text.is_empty() => Ok(None),
            true => Ok(Some(text)),
            false => Err(format!("{key} must be a text of at most {TEXT_BYTES_MAX} bytes")),
        }
    };
    let required = |key: &str| text(key)?.ok_or_else(|| format!("{key} is required"));
    let price = |key: &str| {
        let raw = find(key)?.ok_or_else(|| format!("{key} is required"))?;
        price(raw).ok_or_else(|| {
            format!(
                "{key} must be a whole number of neuron from 0 to 2^128-1, as a number or as a \
                 text, without sign, point or exponent"
            )
        })
    };
    let given = text("Name")?;
    let name = match (given, name) {
        (Some(given), Some(name)) if given != name => {
            return Err(format!("Name must be that of the path, '{name}'"));
        }
        (Some(given), _) => given,
        (None, name) => name.ok_or("Name is required")?.to_owned(),
    };
    Ok(Registered {
        name,
        url: target(&required("URL")?)?,
        kind: required("Type")?,
        model: required("Model")?,
        verifiability: text("verifiability")?.unwrap_or_else(|| VERIFIABILITY.to_owned()),
        input_price: price("inputPrice")?,
        output_price: price("outputPrice")?,
        created_at: 0,
        updated_at: 0,
    })
}

/// The number's own digits are read: a float would round what is above 2^53.
fn price(raw: &RawValue) -> Option<Neuron> {
    let raw = raw.get();
    if raw.starts_with('"') {
        return serde_json::from_str::<String>(raw).ok()?.parse().ok();
    }
    raw.parse().ok()
}

/// The engine's address as the settings would have it: without a `/v1` of its own.
fn target(text: &str) -> Result<String, String> {
    let address = crate::config::engine_address(text);
    address.ok_or_else(|| {
        "URL must be the engine's address: http:// or https:// with a host, and no credentials, \
         query or fragment"
            .to_owned()
    })
}

/// The members of an object, in order, each value as it was written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
            if members.len() > MEMBERS_MAX {
                return Err(de::Error::custom("it has too many members"));
            }
        }
        Ok(Members(members))
    }
}

const VERIFIABILITY: &str = "TeeML";
const TEXT_BYTES_MAX: usize = 1024;
const MEMBERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = r#"{
         "URL": "http://engine:8000/v1",
         "inputPrice": 100000,
         "outputPrice": 200000,
         "Type": "chatbot",
         "Name": "llama8Bb",
         "Model": "llama-3.1-8B-Instruct"
   }"#;

    #[test]
    fn the_seeds_body_is_read_in_any_spelling_of_its_keys() {
        let seed = wanted(SEED.as_bytes(), None).unwrap();
        assert_eq!(seed.url, "http://engine:8000");
        assert_eq!(
            (seed.name.as_str(), seed.model.as_str()),
            ("llama8Bb", "llama-3.1-8B-Instruct")
        );
        assert_eq!(seed.verifiability, "TeeML");
        assert_eq!(seed.input_price, Neuron::new(100_000));
        for body in [SEED.to_lowercase(), SEED.to_uppercase(), SEED.replace("100000", "\"100000\"")]
        {
            let read = wanted(body.as_bytes(), None).unwrap();
            assert_eq!(
                (read.input_price, read.output_price),
                (seed.input_price, seed.output_price)
            );
        }
        assert_eq!(wanted(SEED.as_bytes(), Some("llama8Bb")).unwrap(), seed);
    }

    #[test]
    fn prices_are_exact_whatever_their_size() {
        for (text, price) in [
            ("340282366920938463463374607431768211455", Some(u128::MAX)),
            ("\"340282366920938463463374607431768211455\"", Some(u128::MAX)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("0", Some(0)),
            ("340282366920938463463374607431768211456", None),
            ("1e5", None),
            ("100000.0", None),
            ("-1", None),
            ("\"0x10\"", None),
            ("\" 1\"", None),
            ("true", None),
            ("[1]", None),
        ] {
            let body = SEED.replace("100000", text);
            let read = wanted(body.as_bytes(), None).map(|read| read.input_price);
            assert_eq!(read.ok(), price.map(Neuron::new), "{text}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (from, to, says) in [
            ("\"URL\": \"http://engine:8000/v1\",", "", "URL is required"),
            ("http://engine:8000/v1", "", "URL is required"),
            ("http://engine:8000/v1", "engine:8000", "URL must be the engine's address"),
            ("http://engine", "http://me:secret@engine", "URL must be the engine's address"),
            ("\"inputPrice\": 100000,", "", "inputPrice is required"),
            ("\"outputPrice\": 200000,", "\"outputPrice\": null,", "outputPrice is required"),
            ("\"Type\": \"chatbot\",", "", "Type is required"),
            ("\"Name\": \"llama8Bb\",", "", "Name is required"),
            ("llama-3.1-8B-Instruct", "", "Model is required"),
            ("\"Type\"", "\"type\": \"chatbot\", \"Type\"", "Type is given twice"),
            ("\"chatbot\"", "7", "Type must be a text"),
        ] {
            let error = wanted(SEED.replace(from, to).as_bytes(), None).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(wanted(b"[]", None).unwrap_err().contains("a JSON object"));
        assert!(wanted(SEED.as_bytes(), Some("other")).unwrap_err().contains("'other'"));
    }
}
