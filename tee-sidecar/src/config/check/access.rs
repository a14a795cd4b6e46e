//! `auth.*` and `admin.*`: who may ask. No message of this file repeats a key or token.

use std::collections::BTreeMap;

use broker_core::{Cover, Neuron, UserId};

use super::super::raw::{RawAdmin, RawApiKey, RawAuth};
use super::super::secret::{self, Secret};
use super::super::text::Text;
use super::super::{ApiKey, Auth, Server};
use super::is_loopback;
use super::values::Check;

/// Reads `auth.*`; which modes are allowed depends on who can reach the listeners, and on whether
/// there is a chain that says who may spend what.
pub(super) fn auth(check: &mut Check, raw: &RawAuth, server: &Server, on_network: bool) -> Auth {
    let choices =
        [("open", Mode::Open), ("apiKeys", Mode::ApiKeys), ("sessionTokens", Mode::SessionTokens)];
    let given = raw.mode.as_ref();
    let key = "auth.mode";
    let problems_before = check.problems.len();
    let default = if on_network { Mode::SessionTokens } else { Mode::Open };
    let mode = check.choice(key, given, &choices, default);
    if check.problems.len() > problems_before {
        return Auth::Open;
    }
    if !matches!(mode, Mode::ApiKeys) && !raw.api_keys.is_empty() {
        check.refuse_key("auth.apiKeys", "has entries, which need auth.mode: apiKeys");
    }
    match mode {
        Mode::Open if on_network => {
            if let Some(given) = given {
                let rule = "open has no accounts that fees could be collected from, so it does not \
                            go with network; leave it out, or set apiKeys";
                check.refuse(key, given, rule);
            }
            Auth::Open
        }
        Mode::Open => {
            if !is_loopback(server.listen) || !is_loopback(server.admin_listen) {
                let rule = "open serves everyone without a key, so server.listen and \
                            server.adminListen must be loopback; set auth.mode: apiKeys";
                match given {
                    Some(given) => check.refuse(key, given, rule),
                    None => check.refuse_key(key, rule),
                }
            }
            Auth::Open
        }
        Mode::SessionTokens if on_network => Auth::SessionTokens,
        Mode::SessionTokens => {
            if let Some(given) = given {
                let rule = "needs `network`, whose accounts these tokens belong to";
                check.refuse(key, given, rule);
            }
            Auth::Open
        }
        Mode::ApiKeys => Auth::ApiKeys(api_keys(check, &raw.api_keys, on_network)),
    }
}

/// Reads `admin.*`.
pub(super) fn admin_token(
    check: &mut Check,
    raw: &RawAdmin,
    server: &Server,
) -> Option<Secret<String>> {
    let (token, file) = (raw.token.as_ref(), raw.token_file.as_ref());
    let token = secret(check, "admin.token", token, "admin.tokenFile", file, 1);
    if matches!(token, Given::Nothing) && !is_loopback(server.admin_listen) {
        let rule = "is required, as admin.token or admin.tokenFile, \
                    because server.adminListen is not loopback";
        check.refuse_key("admin.token", rule);
    }
    token.into_option()
}

#[derive(Clone, Copy)]
enum Mode {
    Open,
    ApiKeys,
    SessionTokens,
}

fn api_keys(check: &mut Check, raw: &[RawApiKey], on_network: bool) -> Vec<ApiKey> {
    if raw.is_empty() {
        check.refuse_key("auth.apiKeys", "must have an entry when auth.mode is apiKeys");
    }
    let mut keys: Vec<ApiKey> = Vec::new();
    let mut covers: BTreeMap<UserId, Cover> = BTreeMap::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = format!("auth.apiKeys[{index}]");
        let Some(entry) = api_key(check, raw, &path) else { continue };
        if let Some(given) = raw.account.as_ref()
            && on_network
            && entry.account.parse::<UserId>().is_ok()
        {
            let rule = "is an account of the chain, whose money is in its escrow and is spent with \
                        session tokens only; use a name that is no address";
            check.refuse(&format!("{path}.account"), given, rule);
        }
        // Two keys of one account are how a key is replaced without an interruption.
        let account = UserId::of_account(&entry.account);
        if covers.get(&account).is_some_and(|cover| *cover != entry.cover) {
            let rule = "must be the same in every entry of one account";
            check.refuse_key(&format!("{path}.creditNeuron"), rule);
        }
        covers.insert(account, entry.cover);
        if keys.iter().any(|earlier| earlier.key.expose() == entry.key.expose()) {
            check.refuse_key(&format!("{path}.key"), "is the key of an earlier entry too");
        }
        keys.push(entry);
    }
    keys
}

fn api_key(check: &mut Check, raw: &RawApiKey, path: &str) -> Option<ApiKey> {
    let account_path = format!("{path}.account");
    if raw.account.is_none() {
        check.refuse_key(&account_path, "is required");
    }
    let account = check.name(&account_path, raw.account.as_ref());
    let (key_path, file_path) = (format!("{path}.key"), format!("{path}.keyFile"));
    let (key, file) = (raw.key.as_ref(), raw.key_file.as_ref());
    let key = secret(check, &key_path, key, &file_path, file, API_KEY_CHARS_MIN);
    if let Given::Nothing = key {
        check.refuse_key(&key_path, "is required, as key or keyFile");
    }
    let credit = raw.credit_neuron.as_ref();
    let neuron = check.neuron(&format!("{path}.creditNeuron"), credit, Neuron::ZERO);
    let cover = if credit.is_some() { Cover::UpTo(neuron) } else { Cover::Unlimited };
    Some(ApiKey { account: account?, key: key.into_option()?, cover })
}

/// A secret that was asked for under two keys.
pub(super) enum Given {
    Secret(Secret<String>),
    Nothing,
    /// The problem has been noted.
    Refused,
}

impl Given {
    pub(super) fn into_option(self) -> Option<Secret<String>> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Nothing | Self::Refused => None,
        }
    }
}

/// Reads a secret from the key itself or from the file that `file_key` names.
pub(super) fn secret(
    check: &mut Check,
    key: &str,
    inline: Option<&Text>,
    file_key: &str,
    file: Option<&Text>,
    chars_min: usize,
) -> Given {
    // The printed configuration loads again: there an absent secret is a word of its own.
    let inline = inline.filter(|text| text.as_str() != secret::ABSENT);
    let (at, secret) = match (inline, file) {
        (None, None) => return Given::Nothing,
        (Some(_), Some(_)) => {
            check.refuse_key(key, format!("must not be given together with {file_key}"));
            return Given::Refused;
        }
        (Some(inline), None) => (key, Ok(Secret::new(inline.as_str().to_owned()))),
        (None, Some(path)) => (file_key, secret::read(path.as_str())),
    };
    let rule = match secret {
        Ok(secret) => match broken_rule(secret.expose(), chars_min) {
            None => return Given::Secret(secret),
            Some(rule) => rule,
        },
        Err(rule) => rule,
    };
    let given = if at == key { inline } else { file };
    if let Some(given) = given {
        check.refuse(at, given, rule);
    }
    Given::Refused
}

fn broken_rule(secret: &str, chars_min: usize) -> Option<String> {
    if secret.is_empty() {
        Some("must not be empty".to_owned())
    } else if secret == secret::PRESENT {
        Some("is the placeholder that check-config prints, not a secret".to_owned())
    } else if !secret.bytes().all(|b| b.is_ascii_graphic()) {
        Some("must be visible ASCII characters without spaces, to fit into a header".to_owned())
    } else if !(chars_min..=SECRET_CHARS_MAX).contains(&secret.len()) {
        Some(format!("must be {chars_min} to {SECRET_CHARS_MAX} characters"))
    } else {
        None
    }
}

/// A shorter key can be guessed.
const API_KEY_CHARS_MIN: usize = 16;

/// A longer secret does not fit into a request header.
const SECRET_CHARS_MAX: usize = 4096;
