//! `GET /metrics`: what an operator watches, for Prometheus.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use broker_core::Neuron;
use broker_core::ledger::statement::Statement;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use super::super::AppState;
use super::read;
use super::refused::Refused;
use crate::fault::Fault;

/// What the ledger and the settler say at this moment.
pub(super) async fn text(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let asked = read(&state, CONTEXT, |reader| Ok((reader.statements()?, reader.unlinked()?)));
    let (statements, unlinked) = asked.await?;
    let mut registry = Registry::with_prefix("tee_sidecar");
    of_ledger(&mut registry, &statements);
    let help = "Entries that wait for their place in the chain; 10000 stands for more";
    gauge(&mut registry, "ledger_unlinked", help, unlinked as f64);
    if let Some(silence) = state.lead.silence() {
        let help = "Since when the ledger's database has not answered";
        gauge(&mut registry, "ledger_silence_seconds", help, silence.as_secs_f64());
    }
    of_network(&mut registry, &state);
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Refused::new(CONTEXT, Fault::Internal))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, FORMAT)).body(text))
}

fn of_ledger(registry: &mut Registry, statements: &[Statement]) {
    let sum = |amount: fn(&Statement) -> Neuron| {
        let sum = statements.iter().try_fold(Neuron::ZERO, |sum, s| sum.checked_add(amount(s)));
        number(sum.unwrap_or(Neuron::new(u128::MAX)))
    };
    gauge(registry, "held_neuron", "Set aside for requests in flight", sum(|s| s.account.held));
    gauge(
        registry,
        "owed_neuron",
        "Captured fees that are not settled yet",
        sum(|s| s.account.owed().unwrap_or_default()),
    );
    gauge(registry, "vouchered_neuron", "Of these, under a voucher", sum(|s| s.account.vouchered));
    gauge(registry, "settled_neuron", "Fees that the chain paid", sum(|s| s.settled));
    let count = |of: fn(&&Statement) -> bool| statements.iter().filter(of).count() as f64;
    gauge(registry, "users", "Accounts", count(|_| true));
    gauge(registry, "users_frozen", "Accounts that are frozen", count(|s| s.account.frozen));
}

fn of_network(registry: &mut Registry, state: &AppState) {
    let Some(network) = &state.network else { return };
    let waits_for = network.gate.waits_for();
    let open = if waits_for.is_empty() { 1.0 } else { 0.0 };
    gauge(registry, "settlement_gate_open", "1 while paid requests are taken", open);
    let help = "Reasons why paid requests are refused";
    gauge(registry, "settlement_gate_reasons", help, waits_for.len() as f64);
    let leads = if network.settler.leads() { 1.0 } else { 0.0 };
    gauge(registry, "settlement_leader", "1 where this sidecar collects the fees", leads);
    let status = network.settler.status();
    let obstacles = Family::<Kind, Gauge>::default();
    for obstacle in &status.obstacles {
        obstacles.get_or_create(&vec![("kind", obstacle.kind())]).set(1);
    }
    let help = "What the last self-check found in the way of settlement";
    registry.register("settlement_obstacle", help, obstacles);
    let wallet = number(status.wallet);
    gauge(registry, "wallet_neuron", "The wallet at the last self-check", wallet);
    let open = status.open as f64;
    gauge(registry, "vouchers_open", "Vouchers whose end is not known yet", open);
    let count = |texts: &[String]| texts.len() as f64;
    let help = "What stood in the way of the last settlement pass; the log says what";
    gauge(registry, "settlement_problems", help, count(&status.problems));
    let help = "Vouchers that the contract would refuse; the log says why";
    gauge(registry, "vouchers_refused", help, count(&status.refused));
    let mut counter = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    counter("settlement_passes", "Settlement passes that ran to their end", status.passes);
    counter("settlement_failures", "Settlement passes that did not", status.failures);
}

/// The labels of an obstacle.
type Kind = Vec<(&'static str, &'static str)>;

fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    registry.register(name, help, ConstGauge::new(value));
}

/// Prometheus knows floats only. The exact amounts are at `/v1/user` and in the ledger.
fn number(amount: Neuron) -> f64 {
    amount.get() as f64
}

const CONTEXT: &str = "metrics";
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
