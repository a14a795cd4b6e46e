//! The engines of the one model: which there are, how each does, and whose turn it is.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::UpstreamError;

/// All engines, shared by the clients of all threads.
#[derive(Debug)]
pub struct Engines(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Those of the settings.
    configured: Vec<String>,
    /// The address of the service that was registered on the chain.
    registered: Option<String>,
    /// That was none of the settings', so it is the only one.
    is_apart: bool,
    list: Vec<Arc<Engine>>,
    /// Where the next search begins, so that equals take turns.
    turn: usize,
}

/// One engine.
#[derive(Debug)]
pub struct Engine {
    url: String,
    standing: Mutex<Standing>,
    in_flight: AtomicUsize,
    failures: AtomicU64,
    last_failure: Mutex<Option<Instant>>,
    /// It is in the list no more.
    is_leaving: AtomicBool,
}

/// How an engine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has asked it yet.
    Unasked,
    /// It serves the model.
    Well,
    /// It failed a request since it was well: taken where no other is, until it is asked again.
    Faltered,
    /// It gets no requests, or those that nobody else takes.
    Ill(Ailment),
}

/// What an engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// No connection.
    Unreachable,
    /// It does not say in time which model it serves.
    Silent,
    /// What it says is no list of models, or the configured one is not in it.
    Unclear,
    /// It serves another model than those before it, or with another context.
    Different,
}

impl Ailment {
    /// What is wrong, for everybody: no addresses, no words of the engine's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "it cannot be reached",
            Self::Silent => "it does not say in time which model it serves",
            Self::Unclear => "it does not list the model that is served here",
            Self::Different => "it serves another model, or another context, than the others",
        }
    }
}

impl From<&UpstreamError> for Ailment {
    fn from(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Connect(_) => Self::Unreachable,
            UpstreamError::Timeout(_) => Self::Silent,
            UpstreamError::Gone(_) | UpstreamError::Broken(_) => Self::Unclear,
        }
    }
}

impl Engine {
    fn at(url: &str) -> Arc<Self> {
        Arc::new(Self {
            url: url.to_owned(),
            standing: Mutex::new(Standing::Unasked),
            in_flight: AtomicUsize::default(),
            failures: AtomicU64::default(),
            last_failure: Mutex::default(),
            is_leaving: AtomicBool::default(),
        })
    }

    /// Its address, without a slash or `/v1` at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it does.
    pub fn standing(&self) -> Standing {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that it works on.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Requests that it failed before an answer began.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Sets how it does; returns how it did.
    pub(super) fn stands(&self, standing: Standing) -> Standing {
        let mut now = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *now, standing)
    }

    /// It failed a request.
    pub(super) fn failed(&self, ailment: Option<Ailment>) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        match ailment {
            Some(ailment) => {
                if self.stands(Standing::Ill(ailment)) != Standing::Ill(ailment) {
                    tracing::warn!(engine = self.url, "engine ill: {}", ailment.as_str());
                }
            }
            None => self.faltered(),
        }
    }

    fn drained(&self) {
        tracing::info!(engine = self.url, "engine drained: it can be stopped");
    }

    /// It failed a request in a way that is the answer: an error of its own.
    pub(super) fn erred(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.faltered();
    }

    /// Whether what it did a moment ago is still held against it.
    pub(super) fn is_on_probation(&self) -> bool {
        let last = *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < PROBATION)
    }

    /// It is taken last, until it has been asked again, some time after this.
    pub(super) fn faltered(&self) {
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let mut now = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == Standing::Well {
            *now = Standing::Faltered;
        }
    }
}

/// A request's place at an engine; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Engine>);

impl Seat {
    pub(super) const fn engine(&self) -> &Arc<Engine> {
        &self.0
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        if before == 1 && self.0.is_leaving.load(Ordering::Acquire) {
            self.0.drained();
        }
    }
}

impl Engines {
    /// Engines at these addresses, without `/v1` at their ends.
    pub fn of(urls: &[String]) -> Arc<Self> {
        let configured = urls.to_vec();
        let list = urls.iter().map(|url| Engine::at(url)).collect();
        let (registered, is_apart, turn) = Default::default();
        Arc::new(Self(Mutex::new(State { configured, registered, is_apart, list, turn })))
    }

    /// Those that get requests now, in the order of the settings.
    pub fn all(&self) -> Vec<Arc<Engine>> {
        self.state().list.clone()
    }

    /// Whether one of them is known to be well.
    pub fn any_well(&self) -> bool {
        let fit =
            |engine: &Arc<Engine>| matches!(engine.standing(), Standing::Well | Standing::Faltered);
        self.state().list.iter().any(fit)
    }

    /// Whether all of them are.
    pub fn all_well(&self) -> bool {
        self.state().list.iter().all(|engine| engine.standing() == Standing::Well)
    }

    /// Whether there is one only.
    pub fn is_single(&self) -> bool {
        self.state().list.len() == 1
    }

    /// Other engines in the settings. Returns whether requests to come go to others than before.
    pub(super) fn configure(&self, urls: &[String]) -> bool {
        let mut state = self.state();
        state.configured = urls.to_vec();
        let is_named = state.registered.as_ref().is_none_or(|url| urls.contains(url));
        state.is_apart &= !is_named;
        if let Some(url) = state.registered.as_ref().filter(|_| !is_named && !state.is_apart) {
            tracing::warn!(
                url,
                "the service is registered with an engine that is in the settings no more: POST \
                 /v1/service with another one's URL, or after a restart all requests go there"
            );
        }
        state.settle()
    }

    /// The service is registered with this address: one of the settings' stands for all of them.
    /// Returns whether requests to come go to others than before.
    pub(super) fn register(&self, url: Option<&str>) -> bool {
        let url = url.map(|url| url.trim_end_matches('/').to_owned());
        let mut state = self.state();
        // Said again it changes nothing: what it stood for may have left the settings since.
        if state.registered != url {
            state.is_apart = url.as_ref().is_some_and(|url| !state.configured.contains(url));
            state.registered = url;
        }
        state.settle()
    }

    /// A place at the engine that has the fewest requests and was not tried. A single engine is
    /// asked however it does: there is no other, and it may be back.
    pub(super) fn choose(&self, tried: &[Arc<Engine>]) -> Option<Seat> {
        let mut guard = self.state();
        let State { list, turn, .. } = &mut *guard;
        let is_single = list.len() == 1;
        let order = list.iter().enumerate().cycle().skip(*turn).take(list.len());
        let free = order.filter(|(_, engine)| !tried.iter().any(|t| Arc::ptr_eq(t, engine)));
        let ranked = free.filter_map(|(at, engine)| {
            let rank = rank(engine.standing()).or(is_single.then_some(0))?;
            Some((rank, engine.in_flight(), at, engine))
        });
        // The first of equals is the one whose turn it is.
        let (_, _, at, engine) = ranked.min_by_key(|(rank, in_flight, ..)| (*rank, *in_flight))?;
        engine.in_flight.fetch_add(1, Ordering::AcqRel);
        let seat = Seat(engine.clone());
        *turn = at.saturating_add(1).checked_rem(list.len()).unwrap_or(0);
        Some(seat)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes over what is wanted. Who stays keeps its requests and its standing; who leaves
    /// finishes what it has.
    fn settle(&mut self) -> bool {
        let apart = self.registered.as_ref().filter(|_| self.is_apart);
        let wanted = apart.map_or(self.configured.as_slice(), std::slice::from_ref);
        if self.list.iter().map(|engine| &engine.url).eq(wanted) {
            return false;
        }
        let stays = |url: &String| self.list.iter().find(|engine| engine.url == *url).cloned();
        let list: Vec<_> =
            wanted.iter().map(|url| stays(url).unwrap_or_else(|| Engine::at(url))).collect();
        for engine in &self.list {
            if !list.iter().any(|kept| Arc::ptr_eq(kept, engine)) {
                engine.is_leaving.store(true, Ordering::Release);
                let in_flight = engine.in_flight();
                tracing::info!(engine = engine.url, in_flight, "engine gets nothing new");
                if in_flight == 0 {
                    engine.drained();
                }
            }
        }
        (self.list, self.turn) = (list, 0);
        true
    }
}

/// The lower, the sooner taken; `None` for those that are not.
const fn rank(standing: Standing) -> Option<u8> {
    match standing {
        Standing::Well => Some(0),
        Standing::Faltered => Some(1),
        // It may only be busy: better than to refuse everybody.
        Standing::Ill(Ailment::Unreachable | Ailment::Silent) => Some(2),
        Standing::Unasked | Standing::Ill(Ailment::Unclear | Ailment::Different) => None,
    }
}

/// For so long an engine that failed a request is taken last, whatever it says of itself: one whose
/// every request fails at once would always be the one with the fewest.
const PROBATION: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
