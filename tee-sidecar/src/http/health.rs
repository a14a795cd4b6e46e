//! `GET /healthz` and `/readyz`

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use serde::Serialize;

use super::AppState;
use crate::ledger::End;
use crate::tls::Tls;
use crate::upstream::engines::{Ailment, Standing};

const NO_LEDGER: &str = "the ledger's writer has stopped: see the log, mend the disk, restart";
const FOLLOWS: &str = "this sidecar does not have the lead, and collects no fees";
const NOT_RELOADED: &str = "the configuration was not taken over: see the log";
const SILENT: &str = "the ledger's database gives no answer to this sidecar";
const ENDED: &str = "the keyset of receipts has ended and the next one is not attested: look at \
                     the clock, and the log";
/// It is asked several times a second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What readiness tells beside its reasons. Everyone may read it: the log has the rest.
#[derive(Default)]
pub struct Notices {
    /// Whose certificate may be in trouble.
    pub tls: Option<Arc<Tls>>,
    /// The last configuration that was to be taken over was refused.
    pub reload_refused: AtomicBool,
    /// How the run before this one ended, for `/metrics`.
    pub last_end: Option<End>,
}

impl Notices {
    fn told(&self) -> Vec<&'static str> {
        let refused = self.reload_refused.load(Ordering::Relaxed);
        let tls = self.tls.as_ref().and_then(|tls| tls.note());
        tls.into_iter().chain(refused.then_some(NOT_RELOADED)).collect()
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Cow<'static, str>>,
    /// What an operator has to know, and what stands in nobody's way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<Cow<'static, str>>,
}

/// The process runs; a restart would not help.
pub(super) async fn live(state: web::Data<AppState>) -> HttpResponse {
    if state.exchange.shared.ledger.is_healthy() {
        return HttpResponse::Ok().json(Health {
            status: "ok",
            reasons: Vec::new(),
            notes: Vec::new(),
        });
    }
    HttpResponse::ServiceUnavailable().json(Health {
        status: "failed",
        reasons: vec![NO_LEDGER.into()],
        notes: Vec::new(),
    })
}

/// The process can answer; if not, why.
pub(super) async fn ready(state: web::Data<AppState>) -> HttpResponse {
    let is_up = state.exchange.shared.catalog.is_up(&*state.exchange.engine).await;
    let reasons = reasons(&state, is_up);
    let leads = state.network.as_ref().is_none_or(|network| network.settler.leads());
    let mut notes: Vec<_> = state.notices.told().into_iter().map(Cow::from).collect();
    if !leads {
        notes.push(FOLLOWS.into());
    }
    notes.extend(of_engines(&state).map(Cow::from));
    if reasons.is_empty() {
        return HttpResponse::Ok().json(Health { status: "ready", reasons, notes });
    }
    HttpResponse::ServiceUnavailable().json(Health { status: "not ready", reasons, notes })
}

/// The engines that get no requests, or the last, where there are others, by their place in the
/// settings.
fn of_engines(state: &AppState) -> impl Iterator<Item = String> {
    let engines = state.exchange.shared.catalog.engines().all();
    let count = engines.len();
    engines.into_iter().zip(1..).filter_map(move |(engine, number)| {
        let (what, why) = match engine.standing() {
            Standing::Ill(ailment @ (Ailment::Unreachable | Ailment::Silent)) => {
                ("gets requests last", ailment.as_str())
            }
            Standing::Ill(ailment) => ("gets no requests", ailment.as_str()),
            Standing::Unasked => ("gets no requests", "it was not asked for its model yet"),
            Standing::Well | Standing::Faltered => return None,
        };
        let note = format!("model server {number} of {count} {what}: {why}; see the log");
        (count > 1).then_some(note)
    })
}

/// Why no paid work is taken, where the model server is up or not.
pub(super) fn reasons(state: &AppState, is_up: bool) -> Vec<Cow<'static, str>> {
    let shared = &state.exchange.shared;
    let mut reasons: Vec<Cow<'static, str>> = Vec::new();
    if !shared.stop.is_running() {
        reasons.push("stopping".into());
    }
    if !shared.ledger.is_healthy() {
        reasons.push(NO_LEDGER.into());
    }
    if state.lead.silence().is_some_and(|silence| silence > SILENCE_MAX) {
        reasons.push(SILENT.into());
    }
    if shared.identities.has_ended(shared.clock.now()) {
        reasons.push(ENDED.into());
    }
    if !is_up {
        reasons.push("the model server does not say which model it serves".into());
    }
    if let Some(network) = &state.network {
        reasons.extend(network.gate.waits_for().into_iter().map(Cow::from));
    }
    reasons
}
