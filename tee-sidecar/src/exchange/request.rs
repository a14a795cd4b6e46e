//! The request body: kept as it arrived, read only where a decision needs it.
//!
//! Nothing is re-serialised. Two transforms are named, each written into the client's own bytes: a
//! streamed completion is forwarded with `stream_options.include_usage` and
//! `continuous_usage_stats` set, so that the engine counts every token in every event; and where
//! the host wants that, `cache_salt` is the account's.

use bytes::Bytes;
use serde_json::Map;

use super::MODEL_BYTES_MAX;
use super::event::Purpose;
use crate::fault::Fault;
use crate::route::{Dialect, Route};

mod edit;
mod fields;
mod form;
mod size;

use edit::Edit;
pub(super) use edit::span;

pub(super) use fields::Given;
use fields::{boolean, fields, shape, string, wrong};
pub use size::Size;

/// A request that has the shape of one.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it asks for.
    pub route: Route,
    /// The bytes that arrived; these are hashed.
    pub received: Bytes,
    /// The bytes for the engine.
    pub forwarded: Bytes,
    /// The `Content-Type` of these.
    pub content_type: String,
    /// The model asked for; the engine has a default.
    pub model: Option<String>,
    /// Whether the answer is streamed.
    pub stream: bool,
    /// Which usage the client asked to see in a stream.
    pub usage_wanted: UsageWanted,
    /// What bounds its tokens.
    pub size: Size,
    /// Where the value of the client's `cache_salt` lies in the forwarded bytes.
    salt_at: Option<(usize, usize)>,
}

/// Which usage the client asked to see in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageWanted {
    /// The event after the last token (`include_usage`).
    pub at_end: bool,
    /// A running count in every event (`continuous_usage_stats`).
    pub running: bool,
}

impl Request {
    /// Reads what admission needs. `content_type` is the client's, and counts for forms only.
    ///
    /// # Errors
    /// What is wrong with the body and how to mend it. The text never quotes the body.
    pub fn parse(route: Route, received: Bytes, content_type: Option<&str>) -> Result<Self, Fault> {
        if route.is_multipart() {
            return form::parse(route, received, content_type);
        }
        let fields = fields(&received)?;
        let model = string("model", fields.model)?;
        if model.as_ref().is_some_and(|model| model.len() > MODEL_BYTES_MAX) {
            return Err(Fault::BadParameter {
                param: "model",
                message: format!("'model' is a name of at most {MODEL_BYTES_MAX} bytes"),
            });
        }
        shape(route, &fields)?;
        let stream = boolean("stream", fields.stream)?.unwrap_or(false);
        if stream && route.dialect() == Dialect::Media {
            return Err(form::not_streamed());
        }
        let stream = stream && route.streams();
        let asks_usage = stream && route.dialect() == Dialect::Completions;
        let options = if asks_usage { options(fields.stream_options)? } else { None };
        let usage_wanted = if asks_usage { wanted(options.as_ref())? } else { NOT_WANTED };
        let adds_usage = asks_usage && !(usage_wanted.at_end && usage_wanted.running);
        let edit = adds_usage
            .then(|| Edit::of(&received, "stream_options", fields.stream_options, &on(options)));
        let forwarded = edit.as_ref().map_or_else(|| received.clone(), |edit| edit.made(&received));
        let at = fields.cache_salt.text().and_then(|text| span(&received, text));
        let salt_at = at.map(|at| edit.as_ref().map_or(at, |edit| edit.moved(at)));
        let size = Size::of(route, &fields, &received)?;
        let content_type = JSON.to_owned();
        Ok(Self {
            route,
            model,
            stream,
            usage_wanted,
            forwarded,
            content_type,
            size,
            salt_at,
            received,
        })
    }

    /// Has the engine keep what it remembers of the prompt under the salt that `salt` makes of the
    /// client's own. Routes without a prefix cache stay as they are.
    ///
    /// # Errors
    /// The client's own is no text.
    pub fn salted(&mut self, salt: impl FnOnce(Option<&str>) -> String) -> Result<(), Fault> {
        if !self.route.takes_salt() {
            return Ok(());
        }
        let rule = format!("a text of 1 to {SALT_BYTES_MAX} bytes");
        let told = self.salt_at.and_then(|(start, end)| self.forwarded.get(start..end));
        let read = told.map(serde_json::from_slice::<Option<String>>).transpose();
        let given = read.map_err(|_| wrong("cache_salt", &rule))?.flatten();
        if given.as_ref().is_some_and(|given| !(1..=SALT_BYTES_MAX).contains(&given.len())) {
            return Err(wrong("cache_salt", &rule));
        }
        let value = format!("\"{}\"", salt(given.as_deref()));
        let edit = match self.salt_at {
            Some(at) => Edit::at(at, &value),
            None => Edit::new_member(&self.forwarded, "cache_salt", &value),
        };
        self.forwarded = edit.made(&self.forwarded);
        Ok(())
    }

    /// Whether the engine gets the bytes that arrived.
    pub fn is_unchanged(&self) -> bool {
        let Self { forwarded, received, .. } = self;
        // The usual case is seen without a look at what may be megabytes.
        let is_same = std::ptr::eq(forwarded.as_ref(), received.as_ref());
        is_same || forwarded == received
    }

    /// What its stream is read for.
    pub fn purpose(&self) -> Purpose {
        let Size { prompts, choices, .. } = self.size;
        Purpose {
            wanted: self.usage_wanted,
            several: prompts.saturating_mul(choices) > 1,
            prompts,
            per_prompt: choices,
            dialect: self.route.dialect(),
        }
    }
}

type Options = Map<String, serde_json::Value>;

fn options(given: Given<'_>) -> Result<Option<Options>, Fault> {
    let read = given.not_null().map(serde_json::from_str).transpose();
    read.map_err(|_| wrong("stream_options", "an object"))
}

fn wanted(options: Option<&Options>) -> Result<UsageWanted, Fault> {
    let flag = |name: &str| match options.and_then(|o| o.get(name)) {
        None | Some(serde_json::Value::Null) => Ok(false),
        Some(serde_json::Value::Bool(on)) => Ok(*on),
        Some(_) => Err(wrong("stream_options", "an object whose members are true or false")),
    };
    let at_end = flag("include_usage")?;
    // Engines send the running count only together with the final one.
    Ok(UsageWanted { at_end, running: at_end && flag("continuous_usage_stats")? })
}

/// The client's options with both of usage on, as JSON.
fn on(options: Option<Options>) -> String {
    let mut options = options.unwrap_or_default();
    for name in ["include_usage", "continuous_usage_stats"] {
        options.insert(name.into(), true.into());
    }
    serde_json::Value::Object(options).to_string()
}

/// What is not asked for.
const NOT_WANTED: UsageWanted = UsageWanted { at_end: false, running: false };
/// The longest `cache_salt` of a client's: what engines take.
const SALT_BYTES_MAX: usize = 128;
/// The type of every body but forms.
const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
