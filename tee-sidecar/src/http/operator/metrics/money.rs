//! The ledger, the receipt log, and fees on their way to the chain.

use broker_core::Timestamp;
use prometheus_client::metrics::info::Info;

use super::super::super::AppState;
use super::{Page, age};
use crate::network::Network;
use crate::signals::Books;

pub(super) fn of_ledger(page: &mut Page, state: &AppState, is_readable: bool) {
    let ledger = &state.exchange.shared.ledger;
    // Sidecars on one ledger are told from those on another.
    let log = state.exchange.shared.log.to_string();
    page.0.register("ledger", "The receipt log of the ledger", Info::new(vec![("log", log)]));
    page.flag("ledger_up", "0 once the ledger's writer has stopped", ledger.is_healthy());
    let help =
        "0 where this scrape could not read the ledger in time; sums are older then, or gone";
    page.flag("ledger_readable", help, is_readable);
    let (waiting, most) = ledger.queue();
    let help = "Commands that wait for the ledger's writer";
    page.gauge("ledger_queue_commands", help, waiting as f64);
    let help = "How many may wait; beyond them new work is refused";
    page.gauge("ledger_queue_commands_max", help, most as f64);
    let silence = state.lead.silence().unwrap_or_default();
    let help = "Since when the ledger's database has not answered; 0 for a file";
    page.gauge("ledger_silence_seconds", help, silence.as_secs_f64());
}

pub(super) fn of_books(page: &mut Page, books: &Books, now: Timestamp) {
    page.money("held_neuron", "Set aside for requests in flight, all sidecars'", books.held);
    page.money("owed_neuron", "Captured fees that are not settled yet", books.owed);
    page.money("vouchered_neuron", "Of these, under a voucher", books.vouchered);
    page.money("settled_neuron", "Fees that the chain paid", books.settled);
    page.gauge("users", "Accounts", books.users as f64);
    page.gauge("users_frozen", "Accounts that are frozen", books.frozen as f64);
    let help = "Age of the oldest fee that is under no voucher; 0 where there is none";
    page.gauge("unsealed_fee_age_seconds", help, age(now, books.oldest_unsealed));
    let help = "Entries that wait for their place in the chain; 10000 stands for more";
    page.gauge("ledger_unlinked", help, books.unlinked as f64);
    page.gauge("receipt_log_leaves", "Receipts in the receipt log", books.leaves as f64);
    let help = "Receipts that wait for their leaf in the log; 512 stands for more";
    page.gauge("receipt_log_waiting", help, books.unlogged as f64);
    let help = "Age of the oldest of these";
    page.gauge("receipt_log_lag_seconds", help, age(now, books.oldest_unlogged));
}

pub(super) fn of_network(page: &mut Page, network: &Network, now: Timestamp, started: Timestamp) {
    let waits_for = network.gate.waits_for();
    page.flag("settlement_gate_open", "1 while paid requests are taken", waits_for.is_empty());
    let help = "Reasons why paid requests are refused";
    page.gauge("settlement_gate_reasons", help, waits_for.len() as f64);
    let help = "1 where this sidecar collects the fees";
    page.flag("settlement_leader", help, network.settler.leads());
    let status = network.settler.status();
    let found: Vec<_> = status.obstacles.iter().map(|obstacle| obstacle.kind()).collect();
    let all = found.iter().copied().chain(OBSTACLES);
    let marks: Vec<_> = all.map(|kind| (kind, found.contains(&kind))).collect();
    let help = "What the last self-check found in the way of settlement";
    page.marks("settlement_obstacle", help, "kind", &marks);
    page.money("wallet_neuron", "The wallet at the last self-check", status.wallet);
    let help = "Vouchers whose end is not known yet";
    page.gauge("vouchers_open", help, status.open as f64);
    let help = "Age of the oldest fee that was due at the last pass and is under no voucher";
    page.gauge("overdue_fee_age_seconds", help, age(now, status.overdue));
    let help = "What stood in the way of the last settlement pass; the log says what";
    page.gauge("settlement_problems", help, status.problems.len() as f64);
    let help = "Vouchers that the contract would refuse; the log says why";
    page.gauge("vouchers_refused", help, status.refused.len() as f64);
    page.counter("settlement_passes", "Settlement passes that ran to their end", status.passes);
    page.counter("settlement_failures", "Settlement passes that did not", status.failures);
    let last = status.last_pass.unwrap_or(started);
    let help = "Since when the last settlement pass ran to its end, or the sidecar started";
    page.gauge("settlement_last_pass_age_seconds", help, age(now, Some(last)));
}

/// Shown with 0 where they are not in the way, so that their coming is seen.
const OBSTACLES: [&str; 7] = [
    "wrong_network",
    "chain_silent",
    "no_service",
    "other_signer",
    "not_acknowledged",
    "no_gas",
    "gas_too_dear",
];
