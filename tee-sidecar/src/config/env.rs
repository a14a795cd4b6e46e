//! Overrides from the environment: `SIDECAR__LIMITS__CONCURRENTMAX` is `limits.concurrentMax`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use zeroize::Zeroizing;

use super::error::Problem;
use super::keys::{self, ListSlot, Slot};
use super::raw::RawSettings;
use super::text::{Text, Texts};

/// The environment of this process. Nothing else in the program reads it.
pub fn environment() -> std::env::VarsOs {
    std::env::vars_os()
}

/// Where the service manager wants to be told how far this process is, if it does.
pub fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// Replaces in `raw` what the environment sets; returns what it sets wrongly.
pub(super) fn override_with(
    raw: &mut RawSettings,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Sorted by name, so that the same environment always gives the same messages.
    let mut seen: BTreeMap<&'static str, Text> = BTreeMap::new();
    let env: BTreeMap<OsString, OsString> = env.into_iter().collect();
    for (name, value) in env {
        let name = name.to_string_lossy().into_owned();
        let Some(path) = path_of(&name) else { continue };
        let (key, slot) = match known(&name, &path) {
            Ok(known) => known,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let Ok(value) = value.into_string() else {
            problems.push(Problem::of(name, "must be UTF-8 text"));
            continue;
        };
        let value = Text::from_environment(Zeroizing::new(value));
        match seen.get(key) {
            Some(other) if other.as_str() != value.as_str() => {
                problems.push(Problem::of(key, "the environment sets it twice, to two values"));
            }
            _ => {
                match slot {
                    Place::Value(slot) => *slot(raw) = Some(value.clone()),
                    Place::List(slot) => *slot(raw) = Some(Texts::from_environment(&value)),
                }
                seen.insert(key, value);
            }
        }
    }
    problems
}

/// The lower-case key path of a variable of ours; `None` for a variable of others.
fn path_of(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    name.strip_prefix(PREFIX).map(|path| path.replace("__", "."))
}

/// Where what a variable sets is kept.
enum Place {
    Value(Slot),
    List(ListSlot),
}

fn known(name: &str, path: &str) -> Result<(&'static str, Place), Problem> {
    let within = |section: &str| {
        let rest = path.strip_prefix(section.to_ascii_lowercase().as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some((list, _)) = keys::OBJECT_LISTS.iter().find(|(list, _)| within(list)) {
        let secrets = if *list == keys::API_KEYS {
            " and its secrets into files named by keyFile"
        } else {
            ""
        };
        let rule = "is a list of objects, which the environment cannot set";
        return Err(Problem::of(
            name,
            format!("{list} {rule}; write the list in the file{secrets}"),
        ));
    }
    if let Some((key, slot)) = keys::LISTS.iter().find(|(key, _)| key.eq_ignore_ascii_case(path)) {
        return Ok((*key, Place::List(*slot)));
    }
    let Some((key, slot)) = keys::VALUES.iter().find(|(key, _)| key.eq_ignore_ascii_case(path))
    else {
        let nearest = variable_of(&keys::nearest(path));
        return Err(Problem::of(name, format!("sets no known key; the nearest is {nearest}")));
    };
    // Both spellings of one key: the environment wins over the file whichever the file used.
    Ok(if *key == "servingUrl" {
        ("service.servingUrl", Place::Value(|raw| &mut raw.service.serving_url))
    } else {
        (*key, Place::Value(*slot))
    })
}

/// The variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__")).to_ascii_uppercase()
}

/// What every variable of ours starts with, in lower case.
const PREFIX: &str = "sidecar__";
