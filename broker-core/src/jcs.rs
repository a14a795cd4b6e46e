//! Canonical JSON (RFC 8785): one text for a document, however it was written.
//!
//! What we sign and hash knows integers and strings only. Numbers with a fraction or an exponent,
//! and integers beyond 2^53 - 1, are refused: two readers could take them for different numbers. So
//! is an object that names a key twice. Amounts are decimal strings.

use std::fmt::{self, Write as _};

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

mod writer;

pub use writer::{ListWriter, ObjectWriter, object};

/// The largest integer that every reader of JSON takes for the same number.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// A document that has a canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer of at most [`INTEGER_MAX`], negative ones alike.
    Integer(i64),
    /// Text.
    Text(String),
    /// Values in their order.
    List(Vec<Self>),
    /// Members, each key once, in the order of the canonical form.
    Object(Vec<(String, Self)>),
}

/// Why a text is no document that has a canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical JSON: {0}")]
pub struct NotCanonical(String);

impl Json {
    /// Reads one document in any spelling.
    ///
    /// # Errors
    /// It is no JSON, names a key twice, or holds a number that is no integer up to
    /// [`INTEGER_MAX`].
    pub fn parse(text: &[u8]) -> Result<Self, NotCanonical> {
        serde_json::from_slice(text).map_err(|error| NotCanonical(error.to_string()))
    }

    /// The canonical text.
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// The value of an object's member.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number that it is, where it is not negative.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// An object without one of its members, and that member.
    #[must_use]
    pub fn without(mut self, key: &str) -> (Self, Option<Self>) {
        let Self::Object(members) = &mut self else { return (self, None) };
        let place = members.iter().position(|(name, _)| name == key);
        let taken = place.map(|place| members.remove(place).1);
        (self, taken)
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Self::Integer(number) => drop(write!(out, "{number}")),
            Self::Text(text) => writer::text(out, text),
            Self::List(items) => {
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (place, (key, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(',');
                    }
                    writer::text(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON of strings and integers")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Json, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        let small = (number <= INTEGER_MAX).then(|| i64::try_from(number).ok()).flatten();
        small.map(Json::Integer).ok_or_else(|| E::custom("an integer beyond 2^53 - 1"))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        if number.unsigned_abs() > INTEGER_MAX {
            return Err(E::custom("an integer beyond 2^53 - 1"));
        }
        Ok(Json::Integer(number))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Json, E> {
        Err(E::custom("a number that is not written as an integer"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        while let Some(member) = entries.next_entry()? {
            members.push(member);
        }
        let before = |a: &str, b: &str| a.encode_utf16().cmp(b.encode_utf16());
        if !members.is_sorted_by(|(a, _), (b, _)| before(a, b).is_lt()) {
            members.sort_by(|(a, _), (b, _)| before(a, b));
            let twice = |pair: &[(String, Json)]| matches!(pair, [(a, _), (b, _)] if a == b);
            if members.windows(2).any(twice) {
                return Err(A::Error::custom("an object names a key twice"));
            }
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        Json::parse(text.as_bytes()).unwrap().canonical()
    }

    /// RFC 8785, section 3.2.3 (sorting) and 3.2.2.2 (strings).
    #[test]
    fn members_are_sorted_by_utf_16_and_strings_escaped_as_the_rfc_says() {
        let sorted = canonical(
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew","1":"One",
                "\ud83d\ude00":"Emoji","\u0080":"Control","\u00f6":"Latin"}"#,
        );
        let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        let places = order.map(|word| sorted.find(word).unwrap());
        assert!(places.is_sorted(), "{sorted}");
        let text = "\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\\b\\t\\f\\r\"";
        assert_eq!(canonical(text), "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\t\\f\\r\"");
    }

    #[test]
    fn spacing_and_order_do_not_matter_and_the_canonical_form_is_its_own() {
        let one =
            canonical(" { \"b\" : [ 1 , -2 , null ] , \"a\" : { \"d\" : true , \"c\":\"\" } }");
        assert_eq!(one, r#"{"a":{"c":"","d":true},"b":[1,-2,null]}"#);
        assert_eq!(canonical(&one), one);
    }

    #[test]
    fn what_readers_take_differently_is_refused() {
        for bad in [
            "1.0",
            "1e3",
            "-0",
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551616",
            r#"{"a":1,"a":1}"#,
            r#"{"b":0,"a":1,"b":2}"#,
            r#"[{"a":{"x":1,"\u0078":2}}]"#,
            "\"\\ud800\"",
            "{",
            "[1] []",
            "",
        ] {
            assert!(Json::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(canonical("[9007199254740991,-9007199254740991]").len(), 36);
        assert!(Json::parse(&[b'['; 10_000]).is_err(), "depth is bounded");
    }
}
