//! `POST /v1/settle`

use std::time::Duration;

use actix_web::{HttpResponse, web};

use super::super::AppState;
use super::network;
use super::refused::Refused;
use crate::fault::Fault;
use crate::network::Network;

/// Asks for a pass that collects from everyone who owes: 202, whatever comes of it. 503 where
/// this sidecar does not lead.
pub(super) async fn settle(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let context = "settle fee";
    let network = network(&state, context)?;
    only_the_leader(&network, context)?;
    network.settler.ask();
    Ok(HttpResponse::Accepted().finish())
}

/// What is sent from the wallet is sent by one sidecar.
pub(super) fn only_the_leader(network: &Network, context: &'static str) -> Result<(), Refused> {
    if network.settler.leads() {
        return Ok(());
    }
    let message = "this sidecar does not have the lead, and only the one that has it sends from \
                   the wallet: ask the one whose /readyz says no such thing, or again later";
    let retry_after = Duration::from_secs(5);
    Err(Refused::new(context, Fault::Unavailable { message: message.into(), retry_after }))
}
