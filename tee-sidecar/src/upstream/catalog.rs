//! Which model the engine serves, how long its context is, and whether it is there at all.
//!
//! Asked when first needed, and then every few seconds by [`Catalog::watch`]: an engine may start
//! after us, restart, or come back with another model.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::{Upstream, UpstreamError};

/// The context assumed of an engine that does not tell, in tokens.
const CONTEXT_TOKENS_DEFAULT: u64 = 131_072;
/// How often the engine is asked again.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// The served model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that requests ask for.
    pub name: String,
    /// Tokens of prompt and answer together.
    pub context_tokens: u64,
}

/// The served model, as the engine last told it.
#[derive(Debug, Default)]
pub struct Catalog {
    configured: Option<String>,
    /// What clients are told; the engine may have the model under another name.
    advertised: RwLock<Option<String>>,
    state: RwLock<State>,
    /// Held while the engine is asked; the last failure, for those who waited for the answer.
    asking: Mutex<Option<(Instant, UpstreamError)>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    known: Option<Arc<Model>>,
    /// The last question was answered.
    up: bool,
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

    /// The name that clients are told, where it was set.
    pub fn advertised(&self) -> Option<String> {
        self.advertised.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the name that clients are told. An engine that lists a model of this name serves it.
    pub fn advertise(&self, model: Option<String>) {
        *self.advertised.write().unwrap_or_else(PoisonError::into_inner) = model;
    }

    /// Forgets what the engine told: it is another one now, or has to serve another model.
    pub fn forget(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The model, if the engine has ever told.
    pub fn known(&self) -> Option<Arc<Model>> {
        self.state().known
    }

    /// Whether the engine answered when it was last asked. Asks nobody.
    pub fn was_up(&self) -> bool {
        self.state().up
    }

    /// Whether the engine answered when it was last asked; asks it where it never was.
    pub async fn is_up(&self, engine: &dyn Upstream) -> bool {
        let state = self.state();
        match state.known {
            Some(_) => state.up,
            None => self.model(engine).await.is_ok(),
        }
    }

    /// The model; asks the engine if it is not known.
    ///
    /// # Errors
    /// The engine did not tell. Those who waited for the question share its failure.
    pub async fn model(&self, engine: &dyn Upstream) -> Result<Arc<Model>, UpstreamError> {
        if let Some(model) = self.known() {
            return Ok(model);
        }
        let since = Instant::now();
        let mut last_failure = self.asking.lock().await;
        if let Some(model) = self.known() {
            return Ok(model);
        }
        match &*last_failure {
            Some((when, error)) if *when >= since => return Err(error.clone()),
            _ => {}
        }
        let asked = self.ask(engine).await;
        *last_failure = asked.as_ref().err().map(|error| (Instant::now(), error.clone()));
        asked
    }

    /// Asks the engine again and again, for ever.
    pub async fn watch(&self, engine: &dyn Upstream) {
        loop {
            sleep(ASKED_EVERY).await;
            // What is wrong has been logged when it began.
            let _ = self.ask(engine).await;
        }
    }

    async fn ask(&self, engine: &dyn Upstream) -> Result<Arc<Model>, UpstreamError> {
        let told = match engine.models().await {
            Ok(body) => self.read(&body),
            Err(error) => Err(error),
        };
        let before = self.state();
        let after = match &told {
            Ok(model) => State { known: Some(Arc::new(model.clone())), up: true },
            Err(_) => State { known: before.known.clone(), up: false },
        };
        match &told {
            Ok(model) if before.known.as_deref() != Some(model) || !before.up => {
                let context_tokens = model.context_tokens;
                tracing::info!(model = model.name, context_tokens, "engine ready");
            }
            Err(error) if before.up => tracing::warn!(%error, "engine gone"),
            _ => {}
        }
        let known = after.known.clone();
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = after;
        told.map(|model| known.unwrap_or_else(|| Arc::new(model)))
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self, body: &[u8]) -> Result<Model, UpstreamError> {
        let list: List = serde_json::from_slice(body)
            .map_err(|_| UpstreamError::Broken("/v1/models is no list of models".into()))?;
        let advertised = self.advertised();
        let is_advertised = |entry: &Entry| Some(&entry.id) == advertised.as_ref();
        let mut listed = list.data;
        let at = match &self.configured {
            Some(name) => listed.iter().position(|entry| entry.id == *name),
            None => (!listed.is_empty()).then_some(0),
        };
        let at = match at {
            // The host's own choice counts most.
            Some(at) if self.configured.is_some() => Some(at),
            first => listed.iter().position(is_advertised).or(first),
        };
        let entry = at.map(|at| listed.swap_remove(at));
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
        let advertised = Catalog::new(None);
        advertised.advertise(Some("b:7".into()));
        assert_eq!(advertised.read(body).unwrap().name, "b:7");
        advertised.advertise(Some("c".into()));
        assert_eq!(advertised.read(body).unwrap().name, "a");
        assert!(Catalog::new(None).read(b"<html>").is_err());
    }
}
