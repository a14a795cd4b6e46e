//! What differs between two configurations, by key.

use std::collections::BTreeMap;

use broker_core::Digest32;
use serde_json::Value;

use super::effective::document;
use super::{ApiKey, Auth, LedgerUrl, Settings};

/// The keys that have another value in `new` than in `old`, in the order of their names. Values are
/// not shown: some are secrets.
pub fn changed(old: &Settings, new: &Settings) -> Vec<String> {
    let (before, after) = (values(old), values(new));
    let mut keys: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys.retain(|key| before.get(key) != after.get(key));
    keys
}

/// Every key and its value; in a secret's place its hash.
fn values(settings: &Settings) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    flatten(&mut values, String::new(), document(settings));
    let mut hide = |key: &str, secret: &[u8]| {
        values.insert(key.to_owned(), Value::from(Digest32::sha256(secret).to_string()));
    };
    if let Some(token) = &settings.admin_token {
        hide("admin.token", token.expose().as_bytes());
    }
    if let Some(headers) = &settings.tracing.headers {
        hide("tracing.otlpHeaders", headers.expose().as_bytes());
    }
    if let Some(network) = &settings.network {
        hide("network.privateKeys", network.wallet.expose());
    }
    if let LedgerUrl::Postgres(url) = &settings.ledger {
        hide("ledger.url", url.expose().as_bytes());
    }
    if let Auth::ApiKeys(keys) = &settings.auth {
        let entry = |key: &ApiKey| {
            let hash = Digest32::sha256(key.key.expose().as_bytes());
            Value::from(format!("{} {hash} {:?}", key.account, key.cover))
        };
        values.insert("auth.apiKeys".to_owned(), keys.iter().map(entry).collect());
    }
    values
}

fn flatten(values: &mut BTreeMap<String, Value>, path: String, value: Value) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(values, path, value);
            }
        }
        value => {
            values.insert(path, value);
        }
    }
}
