//! What the guest agent answers, and what of it is believed.
//!
//! The causes of errors here never hold a piece of an answer: it may be a key.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

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

/// The agent's reason for refusing, which it gives in place of an answer.
pub(super) fn complaint(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Complaint {
        error: String,
    }
    serde_json::from_slice(body).ok().map(|Complaint { error }| error)
}

/// The quote, if it is said to be for `report_data`. Whether it is stands in its bytes, which the
/// caller looks at.
pub(super) fn quote(body: &[u8], report_data: &ReportData) -> Result<Quote, String> {
    #[derive(Deserialize)]
    struct Answer {
        quote: String,
        event_log: String,
        report_data: String,
        #[serde(default)]
        vm_config: String,
    }
    let answer: Answer = read(body)?;
    if answer.quote.is_empty() {
        return Err("an empty quote: this guest does not run on TDX".to_owned());
    }
    let bytes = hex::decode(&answer.quote).map_err(|_| "the quote is no hex".to_owned())?;
    let echo = hex::decode(&answer.report_data);
    if echo.ok().as_deref() != Some(report_data.as_bytes().as_slice()) {
        return Err("it answers for another report data".to_owned());
    }
    serde_json::from_str::<Vec<IgnoredAny>>(&answer.event_log)
        .map_err(|e| format!("event_log is no list in JSON ({})", place(&e)))?;
    Ok(Quote { bytes, event_log: answer.event_log, vm_config: answer.vm_config })
}

/// The key.
pub(super) fn key(body: &[u8]) -> Result<AgentKey, String> {
    // Borrowed from the body, which is erased: no copy is made on the way.
    #[derive(Deserialize)]
    struct Answer<'a> {
        key: &'a str,
    }
    let answer: Answer<'_> = read(body)?;
    let mut key = Zeroizing::new([0; 32]);
    let decoded = hex::decode_to_slice(answer.key, key.as_mut_slice());
    // The error would tell a digit.
    decoded.map_err(|_| "the key is not 64 hex digits".to_owned())?;
    Ok(AgentKey(key))
}

/// What the guest says of itself. Only the fields that clients know are served on: whatever else an
/// agent may tell its own guest was not meant for the world.
pub(super) fn info(body: &[u8]) -> Result<Value, String> {
    let mut answer: Map<String, Value> = read(body)?;
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

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|e| format!("not the expected JSON ({})", place(&e)))
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
