//! `GET /healthz` and `/readyz`

use std::borrow::Cow;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::AppState;

const NO_LEDGER: &str = "the ledger's writer has stopped: see the log, mend the disk, restart";
const FOLLOWS: &str = "this sidecar does not have the lead, and collects no fees";
const SILENT: &str = "the ledger's database gives no answer to this sidecar";
const ENDED: &str = "the keyset of receipts has ended and the next one is not attested: look at \
                     the clock, and the log";
/// It is asked several times a second.
const SILENCE_MAX: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Cow<'static, str>>,
    /// What an operator may want to know, and nobody has to mend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<&'static str>,
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
    if !shared.catalog.is_up(&*state.exchange.engine).await {
        reasons.push("the model server does not say which model it serves".into());
    }
    if let Some(network) = &state.network {
        reasons.extend(network.gate.waits_for().into_iter().map(Cow::from));
    }
    let leads = state.network.as_ref().is_none_or(|network| network.settler.leads());
    let notes = if leads { Vec::new() } else { vec![FOLLOWS] };
    if reasons.is_empty() {
        return HttpResponse::Ok().json(Health { status: "ready", reasons, notes });
    }
    HttpResponse::ServiceUnavailable().json(Health { status: "not ready", reasons, notes })
}
