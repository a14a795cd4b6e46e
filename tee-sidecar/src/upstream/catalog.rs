//! Which model the engines serve, how long its context is, and which of them are there at all.
//!
//! Asked when first needed, and then every few seconds by [`Catalog::watch`]: an engine may start
//! after us, restart, or come back with another model. Where there are several they serve one model
//! with one context: the one that is known, as long as any of them has it, else that of the first
//! that answers. Whoever says something else is ill.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::engines::{Ailment, Engine, Engines, Standing};
use super::{Upstream, UpstreamError};

/// The context assumed of an engine that does not tell, in tokens.
const CONTEXT_TOKENS_DEFAULT: u64 = 131_072;
/// How often engines are asked again, and how often where one of them is not well.
const ASKED_EVERY: Duration = Duration::from_secs(5);
const ILL_ASKED_EVERY: Duration = Duration::from_secs(1);

/// The served model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The name that requests ask for.
    pub name: String,
    /// Tokens of prompt and answer together.
    pub context_tokens: u64,
}

/// The served model, as the engines last told it.
#[derive(Debug)]
pub struct Catalog {
    engines: Arc<Engines>,
    configured: Option<String>,
    /// What clients are told; the engine may have the model under another name.
    advertised: RwLock<Option<String>>,
    state: RwLock<State>,
    /// Held while the engines are asked; the last failure, for those who waited for the answer.
    asking: Mutex<Option<(Instant, UpstreamError)>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    known: Option<Arc<Model>>,
    /// One of them answered the last question.
    up: bool,
    /// Each of them said that it is vLLM.
    takes_salt: bool,
    /// How often what they told was forgotten.
    forgotten: u64,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    owned_by: Option<String>,
    #[serde(default)]
    max_model_len: Option<u64>,
}

/// What one engine told.
#[derive(Debug)]
struct Told {
    model: Arc<Model>,
    is_vllm: bool,
}

impl Catalog {
    /// A catalog for the model named in the settings; without a name the first engine's first
    /// model.
    pub fn new(configured: Option<String>, engines: Arc<Engines>) -> Self {
        let (advertised, state, asking) = Default::default();
        Self { engines, configured, advertised, state, asking }
    }

    /// The engines.
    pub const fn engines(&self) -> &Arc<Engines> {
        &self.engines
    }

    /// Other engines in the settings, for requests to come.
    pub fn configure(&self, urls: &[String]) {
        if self.engines.configure(urls) && !self.engines.any_well() {
            self.forget();
        }
    }

    /// A registered service, or none: its engine's address, and the name that clients are told.
    pub fn steer(&self, url: Option<&str>, model: &str) {
        let moved = self.engines.register(url);
        if moved || self.advertised().as_deref() != Some(model) {
            self.advertise(Some(model.to_owned()));
            self.forget();
        }
    }

    /// The name that clients are told, where it was set.
    pub fn advertised(&self) -> Option<String> {
        self.advertised.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the name that clients are told. An engine that lists a model of this name serves it.
    pub fn advertise(&self, model: Option<String>) {
        *self.advertised.write().unwrap_or_else(PoisonError::into_inner) = model;
    }

    /// Forgets what the engines told: they are others now, or have to serve another model.
    fn forget(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let forgotten = state.forgotten.saturating_add(1);
        *state = State { forgotten, ..State::default() };
    }

    /// The model, if an engine has ever told.
    pub fn known(&self) -> Option<Arc<Model>> {
        self.state().known
    }

    /// Whether an engine answered when they were last asked. Asks nobody.
    pub fn was_up(&self) -> bool {
        self.state().up
    }

    /// Whether all engines are known to be ones that take `cache_salt`: vLLM, which says so.
    pub fn takes_salt(&self) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).takes_salt
    }

    /// Whether an engine answered when they were last asked; asks them where they never were.
    pub async fn is_up(&self, engine: &dyn Upstream) -> bool {
        let state = self.state();
        match state.known {
            Some(_) => state.up,
            None => self.model(engine).await.is_ok(),
        }
    }

    /// The model; asks the engines if it is not known.
    ///
    /// # Errors
    /// None of them told. Those who waited for the question share its failure.
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

    /// Asks the engines again and again, for ever.
    pub async fn watch(&self, engine: &dyn Upstream) {
        let mut asked = Instant::now();
        loop {
            sleep(ILL_ASKED_EVERY).await;
            if asked.elapsed() >= ASKED_EVERY || !self.engines.all_well() {
                // What is wrong has been logged when it began.
                let _ = self.ask(engine).await;
                asked = Instant::now();
            }
        }
    }

    /// Asks all of them at once, and has each one's standing follow from what it says. Where they
    /// became others meanwhile, what was told counts no more, and those are asked.
    async fn ask(&self, client: &dyn Upstream) -> Result<Arc<Model>, UpstreamError> {
        loop {
            if let Some(told) = self.ask_once(client).await {
                return told;
            }
        }
    }

    async fn ask_once(&self, client: &dyn Upstream) -> Option<Result<Arc<Model>, UpstreamError>> {
        let before = self.state();
        let engines = self.engines.all();
        let told = join_all(engines.iter().map(|engine| async {
            let body = client.models(engine.url()).await?;
            self.read(&body)
        }));
        let told = told.await;
        let serves = |model: &Arc<Model>| told.iter().flatten().any(|told| told.model == *model);
        let first = || told.iter().flatten().next().map(|told| told.model.clone());
        let model = before.known.clone().filter(serves).or_else(first);
        for (engine, told) in engines.iter().zip(&told) {
            examine(engine, told.as_ref().map(|told| &*told.model), model.as_deref());
        }
        let mut well = told.iter().flatten().filter(|told| Some(&told.model) == model.as_ref());
        let state = match &model {
            Some(_) => {
                let takes_salt = well.all(|told| told.is_vllm);
                State { known: model.clone(), up: true, takes_salt, ..before }
            }
            None => State { up: false, ..before.clone() },
        };
        if !self.learn(&before, state) {
            return None;
        }
        let failed = || told.into_iter().find_map(Result::err);
        Some(model.ok_or_else(|| failed().unwrap_or(UpstreamError::Connect("no engine".into()))))
    }

    /// Takes over what was told since `before`; false where that was forgotten meanwhile.
    fn learn(&self, before: &State, told: State) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.forgotten != before.forgotten {
            return false;
        }
        if let (Some(before), Some(now)) = (&before.known, &told.known)
            && before != now
        {
            let (before, served) = (&before.name, &now.name);
            tracing::warn!(before, served, "another model is served now: set upstream.model");
        }
        if before.takes_salt && !told.takes_salt {
            tracing::warn!(
                "an engine does not say that it is vLLM: with upstream.cacheSalt 'auto' prefix \
                 caches are not kept apart any more"
            );
        }
        *state = told;
        true
    }

    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read(&self, body: &[u8]) -> Result<Told, UpstreamError> {
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
        let context_tokens = context_tokens.unwrap_or(CONTEXT_TOKENS_DEFAULT);
        let model = Arc::new(Model { name: entry.id, context_tokens });
        Ok(Told { model, is_vllm: entry.owned_by.as_deref() == Some("vllm") })
    }
}

/// Notes what an engine told, beside the model that is served.
fn examine(engine: &Engine, told: Result<&Model, &UpstreamError>, model: Option<&Model>) {
    let standing = match told {
        Ok(told) if Some(told) == model && engine.is_on_probation() => Standing::Faltered,
        Ok(told) if Some(told) == model => Standing::Well,
        Ok(_) => Standing::Ill(Ailment::Different),
        Err(error) => Standing::Ill(error.into()),
    };
    let before = engine.stands(standing);
    if before == standing {
        return;
    }
    let url = engine.url();
    match (told, model) {
        (Ok(told), Some(model)) if told != model => tracing::warn!(
            engine = url,
            model = told.name,
            context_tokens = told.context_tokens,
            served = model.name,
            served_context_tokens = model.context_tokens,
            "engine ill: all of them have to serve the same model with the same context"
        ),
        (Ok(_), _) if before == Standing::Faltered => {}
        (Ok(told), _) => {
            let context_tokens = told.context_tokens;
            tracing::info!(engine = url, model = told.name, context_tokens, "engine ready");
        }
        (Err(error), _) => tracing::warn!(engine = url, %error, "engine gone"),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Post, Reply, Tag, UpstreamFuture};
    use super::*;

    fn catalog(configured: Option<&str>) -> Catalog {
        let engines = Engines::of(&["http://a".to_owned()]);
        Catalog::new(configured.map(str::to_owned), engines)
    }

    /// The engine at `http://a` answers late: when it is another one's turn already.
    struct Late(Catalog);

    impl Upstream for Late {
        fn post(&self, _: Post<'_>, _: Tag<'_>, _: bool) -> UpstreamFuture<'_, Reply> {
            Box::pin(async { Err(UpstreamError::Broken("not asked here".into())) })
        }

        fn models(&self, engine: &str) -> UpstreamFuture<'_, Bytes> {
            let is_old = engine == "http://a";
            Box::pin(async move {
                if is_old {
                    self.0.steer(Some("http://b"), "advertised");
                }
                let (name, context) = if is_old { ("old", 4096) } else { ("new", 512) };
                let list = format!(r#"{{"data":[{{"id":"{name}","max_model_len":{context}}}]}}"#);
                Ok(Bytes::from(list))
            })
        }
    }

    // Its context would bound what is held for requests that go to the other one.
    #[tokio::test]
    async fn what_an_engine_of_before_tells_too_late_counts_no_more() {
        let late = Late(catalog(None));
        let model = late.0.model(&late).await.unwrap();
        assert_eq!((model.name.as_str(), model.context_tokens), ("new", 512));
        assert_eq!(late.0.known(), Some(model));
    }

    #[test]
    fn the_configured_model_is_found_and_else_the_first_taken() {
        let body = br#"{"data":[{"id":"a","max_model_len":4096},{"id":"b:7"}]}"#;
        let first = catalog(None).read(body).unwrap().model;
        assert_eq!((first.name.as_str(), first.context_tokens), ("a", 4096));
        let named = catalog(Some("b:7")).read(body).unwrap().model;
        assert_eq!((named.name.as_str(), named.context_tokens), ("b:7", CONTEXT_TOKENS_DEFAULT));
        assert!(catalog(Some("c")).read(body).is_err());
        let advertised = catalog(None);
        advertised.advertise(Some("b:7".into()));
        assert_eq!(advertised.read(body).unwrap().model.name, "b:7");
        advertised.advertise(Some("c".into()));
        assert_eq!(advertised.read(body).unwrap().model.name, "a");
        assert!(catalog(None).read(b"<html>").is_err());
        let says = |who: &str| {
            let body = format!(r#"{{"data":[{{"id":"a","owned_by":"{who}"}}]}}"#);
            catalog(None).read(body.as_bytes()).unwrap().is_vllm
        };
        assert!(says("vllm") && !says("sglang"));
    }
}
