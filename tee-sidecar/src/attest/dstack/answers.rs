//! What the guest agent answers, and what of it is believed.
//!
//! The causes of errors here never hold a piece of an answer: it may be a key.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::redact::redacted;
use crate::evidence::{Quote, ReportData};

/// A key of the guest agent's. Its bytes are erased when dropped and shown nowhere.
pub struct AgentKey(Zeroizing<[u8; 32]>);

impl AgentKey {
    /// The bytes. The caller copies them nowhere that is not erased.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentKey(<secret>)")
    }
}

/// An answer as it came. It may hold a key: it is erased when dropped.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Zeroizing<Vec<u8>>,
}

/// The quote, if it is said to be for `report_data`. Whether it is stands in its bytes, which the
/// caller looks at.
pub(super) fn quote(reply: &Reply, report_data: &ReportData) -> Result<Quote, String> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        quote: Option<String>,
        event_log: Option<String>,
        report_data: Option<String>,
        vm_config: Option<String>,
    }
    let answer: Answer<'_> = reply.read(|answer: &Answer<'_>| answer.error.map(said))?;
    let quote = answer.quote.ok_or_else(|| missing("quote"))?;
    let event_log = answer.event_log.ok_or_else(|| missing("event_log"))?;
    let echo = answer.report_data.ok_or_else(|| missing("report_data"))?;
    if quote.is_empty() {
        return Err("an empty quote: this guest does not run on TDX".to_owned());
    }
    let bytes = hex::decode(&quote).map_err(|_| "the quote is no hex".to_owned())?;
    if hex::decode(&echo).ok().as_deref() != Some(report_data.as_bytes().as_slice()) {
        return Err("it answers for another report data".to_owned());
    }
    serde_json::from_str::<Vec<IgnoredAny>>(&event_log)
        .map_err(|e| format!("event_log is no list in JSON ({})", place(&e)))?;
    Ok(Quote { bytes, event_log, vm_config: answer.vm_config.unwrap_or_default() })
}

/// The key.
pub(super) fn key(reply: &Reply) -> Result<AgentKey, String> {
    // Borrowed from the body, which is erased: no copy is made on the way.
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Option<&'a RawValue>,
        key: Option<&'a str>,
    }
    let answer: Answer<'_> = reply.read(|answer: &Answer<'_>| answer.error.map(said))?;
    let digits = answer.key.ok_or_else(|| missing("key"))?;
    let mut key = Zeroizing::new([0; 32]);
    let decoded = hex::decode_to_slice(digits, key.as_mut_slice());
    // The error would tell a digit.
    decoded.map_err(|_| "the key is not 64 hex digits".to_owned())?;
    Ok(AgentKey(key))
}

/// What the guest says of itself. Only the fields that clients know are served on: whatever else an
/// agent may tell its own guest was not meant for the world.
pub(super) fn info(reply: &Reply) -> Result<Value, String> {
    let error = |answer: &Map<String, Value>| {
        let error = answer.get("error").filter(|error| !error.is_null())?;
        Some(redacted(error.as_str().unwrap_or(NO_TEXT)))
    };
    let mut answer: Map<String, Value> = reply.read(error)?;
    let tcb_info: Value = match answer.get("tcb_info") {
        Some(Value::String(text)) => serde_json::from_str(text)
            .map_err(|e| format!("tcb_info is no JSON ({})", place(&e)))?,
        _ => return Err("no tcb_info in a string".to_owned()),
    };
    // Without the composition nobody can tell what runs here.
    if !tcb_info.get("app_compose").is_some_and(Value::is_string) {
        return Err("tcb_info is no object with an app_compose".to_owned());
    }
    let vm_config = answer.remove("vm_config").unwrap_or_else(|| Value::from(""));
    if !vm_config.is_string() {
        return Err("vm_config is no string".to_owned());
    }
    let mut info = Map::new();
    for field in INFO_FIELDS {
        if let Some(value) = answer.remove(field) {
            info.insert(field.to_owned(), value);
        }
    }
    info.insert("vm_config".to_owned(), vm_config);
    info.insert("tcb_info".to_owned(), tcb_info);
    Ok(Value::Object(info))
}

impl Reply {
    /// The answer, read once; or, redacted, the agent's reason for giving none.
    fn read<'a, T: Deserialize<'a>>(
        &'a self,
        error: impl Fn(&T) -> Option<String>,
    ) -> Result<T, String> {
        let answer = serde_json::from_slice::<T>(&self.body);
        match answer.as_ref().ok().and_then(error) {
            Some(text) => Err(format!("{}: the agent says: {text}", self.status)),
            None if self.status != StatusCode::OK => {
                Err(format!("{}, without a reason", self.status))
            }
            None => answer.map_err(|e| format!("not the expected JSON ({})", place(&e))),
        }
    }
}

/// The agent's words, redacted before any copy of them is made that is not erased.
fn said(error: &RawValue) -> String {
    let quoted = error.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let Some(quoted) = quoted else { return NO_TEXT.to_owned() };
    // serde would unescape into buffers of its own.
    let mut text = Zeroizing::new(String::with_capacity(quoted.len()));
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match (character, characters.as_str().chars().next()) {
            ('\\', Some('u')) => {
                characters.nth(4);
                text.push('?');
            }
            ('\\', Some(escaped)) => {
                characters.next();
                text.push(if escaped.is_ascii_alphabetic() { ' ' } else { escaped });
            }
            (plain, _) => text.push(plain),
        }
    }
    redacted(&text)
}

fn missing(field: &str) -> String {
    format!("not the expected JSON (a field is missing or of another type: {field})")
}

/// Where the reading ended. serde's own message would quote what it met there.
fn place(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "a field is missing or of another type",
        serde_json::error::Category::Eof => "it ends early",
        _ => "it is malformed",
    };
    format!("{kind}, line {} column {}", error.line(), error.column())
}

/// In place of an error that is not a string.
const NO_TEXT: &str = "an error that is no text";

/// What dstack's own clients read of `Info`, besides `tcb_info` and `vm_config`.
const INFO_FIELDS: [&str; 11] = [
    "app_id",
    "instance_id",
    "app_cert",
    "app_name",
    "device_id",
    "mr_aggregated",
    "os_image_hash",
    "key_provider_info",
    "compose_hash",
    "cloud_vendor",
    "cloud_product",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_shown_without_its_escapes_and_without_keys_in_any_spelling() {
        let told = |json: &str| {
            let reply = Reply {
                status: StatusCode::OK,
                body: Zeroizing::new(format!("{{\"error\":{json}}}").into_bytes()),
            };
            key(&reply).unwrap_err()
        };
        let plain = told(r#""no \"such\" path\n\/x""#);
        assert_eq!(plain, r#"200 OK: the agent says: no "such" path /x"#);
        for hidden in ["5f".repeat(32), "\\u0035\\u0066".repeat(32)] {
            let text = told(&format!("\"{hidden}\""));
            assert!(!text.contains("5f") && !text.contains("0035"), "{text}");
        }
        assert!(told("{}").contains("no text"));
        assert!(told("\"\\\\\"").ends_with("says: \\"));
    }
}
