//! Which model the engine serves, and how long its context is: asked once, as soon as it answers.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

use super::{Upstream, UpstreamError};

/// The context assumed of an engine that does not tell, in tokens.
const CONTEXT_TOKENS_DEFAULT: u64 = 131_072;

/// The served model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that requests ask for.
    pub name: String,
    /// Tokens of prompt and answer together.
    pub context_tokens: u64,
}

/// The served model, once known.
#[derive(Debug, Default)]
pub struct Catalog {
    configured: Option<String>,
    known: OnceCell<Arc<Model>>,
    asking: Mutex<()>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    max_model_len: Option<u64>,
}

impl Catalog {
    /// A catalog for the model named in the settings; without a name the engine's first model.
    pub fn new(configured: Option<String>) -> Self {
        Self { configured, ..Self::default() }
    }

    /// The model, if the engine has told.
    pub fn known(&self) -> Option<Arc<Model>> {
        self.known.get().cloned()
    }

    /// The model; asks the engine if need be. Callers wait for one question.
    pub async fn model(&self, engine: &dyn Upstream) -> Result<Arc<Model>, UpstreamError> {
        if let Some(model) = self.known() {
            return Ok(model);
        }
        let _one_question = self.asking.lock().await;
        if let Some(model) = self.known() {
            return Ok(model);
        }
        let model = Arc::new(self.read(&engine.models().await?)?);
        tracing::info!(model = model.name, context_tokens = model.context_tokens, "engine ready");
        // Nobody else sets it while the question is locked.
        let _ = self.known.set(model.clone());
        Ok(model)
    }

    fn read(&self, body: &[u8]) -> Result<Model, UpstreamError> {
        let list: List = serde_json::from_slice(body)
            .map_err(|_| UpstreamError::Broken("/v1/models is no list of models".into()))?;
        let entry = match &self.configured {
            Some(name) => list.data.into_iter().find(|entry| entry.id == *name),
            None => list.data.into_iter().next(),
        };
        let Some(entry) = entry else {
            let what = self.configured.as_deref().unwrap_or("any model");
            return Err(UpstreamError::Broken(format!("/v1/models does not list {what}")));
        };
        let context_tokens = entry.max_model_len.filter(|len| *len > 0);
        Ok(Model {
            name: entry.id,
            context_tokens: context_tokens.unwrap_or(CONTEXT_TOKENS_DEFAULT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_model_is_found_and_else_the_first_taken() {
        let body = br#"{"data":[{"id":"a","max_model_len":4096},{"id":"b:7"}]}"#;
        let first = Catalog::new(None).read(body).unwrap();
        assert_eq!((first.name.as_str(), first.context_tokens), ("a", 4096));
        let named = Catalog::new(Some("b:7".into())).read(body).unwrap();
        assert_eq!((named.name.as_str(), named.context_tokens), ("b:7", CONTEXT_TOKENS_DEFAULT));
        assert!(Catalog::new(Some("c".into())).read(body).is_err());
        assert!(Catalog::new(None).read(b"<html>").is_err());
    }
}
