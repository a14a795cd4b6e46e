//! JSON in which no object names a key twice.
//!
//! Most readers take the last of two equal keys, some the first. What one reader verifies, another
//! would then read differently; such a text is refused.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads one value of at most `bytes_max` bytes, or says why there is none. Depth is bounded by
/// `serde_json`.
pub(crate) fn parse(json: &[u8], bytes_max: usize) -> Result<Value, String> {
    if json.len() > bytes_max {
        return Err(format!("{} bytes are more than the {bytes_max} that are read", json.len()));
    }
    serde_json::from_slice::<Strict>(json).map(|strict| strict.0).map_err(|e| e.to_string())
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, _>()? {
            if object.insert(key, value).is_some() {
                return Err(Error::custom("an object names a key twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_no_key_twice_is_read_as_serde_json_reads_it() {
        let json = br#"{"a":[1,-2,0.5,"x\n",true,null,{"a":{"b":{}}}],"b":18446744073709551615}"#;
        let read: Value = serde_json::from_slice(json).unwrap();
        assert_eq!(parse(json, 100), Ok(read));
    }

    #[test]
    fn a_key_named_twice_is_refused_at_any_depth_and_however_it_is_escaped() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"[{"b":0,"a":{"c":[{"d":1,"e":2,"d":1}]}}]"#,
            r#"{"alg":"ES384","\u0061lg":"none"}"#,
        ] {
            assert!(parse(json.as_bytes(), 100).unwrap_err().contains("twice"), "{json}");
        }
    }

    #[test]
    fn long_deep_and_broken_texts_are_refused() {
        assert!(parse(b"[1,2]", 4).unwrap_err().contains("more than"));
        assert_eq!(parse(b"[1,2]", 5).unwrap().as_array().map(Vec::len), Some(2));
        assert!(parse(&[b'['; 10_000], 10_000).unwrap_err().contains("recursion"));
        for broken in ["", "{", "[1] []", "\u{feff}1", "{'a':1}", "\"\\ud800\"", "NaN"] {
            assert!(parse(broken.as_bytes(), 100).is_err(), "{broken:?}");
        }
    }
}
