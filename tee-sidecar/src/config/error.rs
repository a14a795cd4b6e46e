//! What is wrong with a configuration, in the words the host wrote it with.

use std::fmt;

use super::text::Text;

/// Every problem found in one configuration; there is at least one.
#[derive(Debug)]
pub struct ConfigError(Vec<Problem>);

impl ConfigError {
    /// The problems, in the order of the configuration.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Vec<Problem>> for ConfigError {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for ConfigError {
    /// One problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One refused value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key, as `limits.concurrentMax`; or the name of what else was at fault.
    pub key: String,
    /// The value as written; `None` where there is none, and always for secrets.
    pub value: Option<String>,
    /// What the value has to be.
    pub rule: String,
    /// The value came from an environment variable, not from the file.
    pub from_environment: bool,
}

impl Problem {
    /// A problem of a key as a whole.
    pub(super) fn of(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, rule: rule.into(), from_environment: false }
    }

    /// A problem of the value of a key; the value is shown where showing it is harmless.
    pub(super) fn with(key: &str, given: &Text, rule: impl Into<String>) -> Self {
        let value = is_harmless(key, given.as_str()).then(|| shortened(given.as_str()));
        let from_environment = given.is_from_environment();
        Self { value, from_environment, ..Self::of(key, rule) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, ": {value:?}")?;
        }
        write!(f, ": {}", self.rule)?;
        if self.from_environment {
            f.write_str(" (the value is from the environment)")?;
        }
        Ok(())
    }
}

/// False for secrets, and for addresses that may carry a password or a token.
fn is_harmless(key: &str, value: &str) -> bool {
    let leaf = key.rsplit('.').next().unwrap_or(key);
    let leaf = leaf.split('[').next().unwrap_or(leaf);
    !SECRET_KEYS.contains(&leaf) && !value.contains(['@', '?'])
}

fn shortened(value: &str) -> String {
    let mut text: String = value.chars().take(VALUE_CHARS_MAX).collect();
    if text.len() < value.len() {
        text.push('…');
    }
    text
}

/// The last part of the path of every key that holds a secret.
const SECRET_KEYS: [&str; 4] = ["key", "token", "privateKeys", "otlpHeaders"];

/// An error message repeats this much of a value at most.
const VALUE_CHARS_MAX: usize = 80;
