//! The configuration as written: its shape is checked here, its values are not.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path, Segment};

use super::error::Problem;
use super::keys;
use super::text::{Text, Texts};

mod chain;

pub(super) use chain::{
    RawCacheBilling, RawInterval, RawNetwork, RawSettlement, RawTier, RawTieredPricing,
};

/// The file, key by key. Every key may be absent or null.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawSettings {
    #[serde(deserialize_with = "null_is_default")]
    pub(super) server: RawServer,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) upstream: RawUpstream,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) tee: RawProvider,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) gpu: RawProvider,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) ledger: RawLedger,
    pub(super) serving_url: Option<Text>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) service: RawService,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) auth: RawAuth,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) admin: RawAdmin,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) limits: RawLimits,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) log: RawLog,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) tracing: RawTracing,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) network: RawNetwork,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) interval: RawInterval,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) settlement: RawSettlement,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawServer {
    pub(super) listen: Option<Text>,
    pub(super) admin_listen: Option<Text>,
    pub(super) allow_plain_http: Option<Text>,
    pub(super) allow_origins: Option<Texts>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) tls: RawTls,
    pub(super) drain_secs: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawTls {
    pub(super) cert_file: Option<Text>,
    pub(super) key_file: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawUpstream {
    pub(super) url: Option<Text>,
    pub(super) urls: Option<Texts>,
    pub(super) model: Option<Text>,
    pub(super) on_disconnect: Option<Text>,
    pub(super) cache_salt: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawProvider {
    pub(super) provider: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawLedger {
    pub(super) url: Option<Text>,
    pub(super) url_file: Option<Text>,
    pub(super) state_dir: Option<Text>,
    pub(super) retention_days: Option<Text>,
    pub(super) archive_dir: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawService {
    pub(super) serving_url: Option<Text>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Text>,
    pub(super) model: Option<Text>,
    pub(super) verifiability: Option<Text>,
    pub(super) input_price: Option<Text>,
    pub(super) output_price: Option<Text>,
    pub(super) routes: Option<Texts>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) tiered_pricing: RawTieredPricing,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) cache_token_billing: RawCacheBilling,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawAuth {
    pub(super) mode: Option<Text>,
    #[serde(deserialize_with = "null_is_default")]
    pub(super) api_keys: Vec<RawApiKey>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawApiKey {
    pub(super) account: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) key_file: Option<Text>,
    pub(super) credit_neuron: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    pub(super) token: Option<Text>,
    pub(super) token_file: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawLimits {
    pub(super) request_bytes_max: Option<Text>,
    pub(super) route_bytes_max: Option<Texts>,
    pub(super) concurrent_max: Option<Text>,
    pub(super) concurrent_per_account_max: Option<Text>,
    pub(super) requests_per_minute: Option<Text>,
    pub(super) tokens_per_minute: Option<Text>,
    pub(super) upstream_connect_secs: Option<Text>,
    pub(super) upstream_idle_secs: Option<Text>,
    pub(super) client_idle_secs: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) format: Option<Text>,
    pub(super) filter: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RawTracing {
    pub(super) otlp_endpoint: Option<Text>,
    pub(super) otlp_headers: Option<Text>,
    pub(super) otlp_headers_file: Option<Text>,
    pub(super) sample_ratio: Option<Text>,
}

impl RawSettings {
    /// Reads YAML text; an empty text is a configuration without keys.
    pub(super) fn parse(yaml: &str) -> Result<Self, Problem> {
        let document = serde_yaml_ng::Deserializer::from_str(yaml);
        serde_path_to_error::deserialize::<_, Option<Self>>(document)
            .map(Option::unwrap_or_default)
            .map_err(|error| shape_problem(error.path(), error.inner()))
    }
}

/// A section whose keys are all commented out reads as null, and means its defaults.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The reader's own message repeats values, which may be secrets; only its kind is used.
fn shape_problem(path: &Path, error: &serde_yaml_ng::Error) -> Problem {
    let key = key_path(path);
    let message = error.to_string();
    let place = error.location().map(|at| format!(" (line {})", at.line())).unwrap_or_default();
    if message.contains("unknown field") {
        unknown_key(&key, &place)
    } else if message.contains("duplicate field") {
        Problem::of(twice_given(key, &message), format!("is given more than once{place}"))
    } else if message.contains("invalid ") {
        let rule = match key.as_str() {
            WHOLE => "is a mapping of keys to values",
            keys::API_KEYS => "must be a list of entries with account, key or keyFile",
            keys::TIERS => "must be a list of entries with maxInputTokens and multipliers",
            key if keys::is_list(key) => "must be a list of values, as [a, b]",
            key if keys::is_value(key) => "must be one value, not a list or a section",
            _ => "must be a section with keys of its own",
        };
        Problem::of(key, format!("{rule}{place}"))
    } else {
        Problem::of(key, format!("is no valid YAML: {message}"))
    }
}

/// The reader notices a second key when the path has left the first.
fn twice_given(section: String, message: &str) -> String {
    let name = message.split('`').nth(1).unwrap_or_default();
    let key = if section == WHOLE { name.to_owned() } else { format!("{section}.{name}") };
    if keys::exists(&key) { key } else { section }
}

fn unknown_key(key: &str, place: &str) -> Problem {
    // A missing space after a colon makes one long "key" of a key and its secret value.
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".[]".contains(c);
    if !key.chars().all(is_plain) || key.len() > KEY_CHARS_MAX {
        return Problem::of(WHOLE, format!("has a malformed key{place}"));
    }
    if let Some(rule) = keys::elsewhere(key) {
        return Problem::of(key, format!("is a key of 0G's provider broker; {rule}{place}"));
    }
    let nearest = keys::nearest(key);
    Problem::of(key, format!("is no key of this program; the nearest is {nearest}{place}"))
}

fn key_path(path: &Path) -> String {
    let mut text = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    if text.is_empty() { WHOLE.to_owned() } else { text }
}

/// Stands for a key where the file as a whole is at fault.
const WHOLE: &str = "configuration";

/// No key path that someone could have meant is longer.
const KEY_CHARS_MAX: usize = 64;
