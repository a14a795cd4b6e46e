//! `/v1/user`: how each account stands.

use actix_web::{HttpResponse, web};
use broker_core::ledger::statement::Statement;
use broker_core::{Neuron, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::super::AppState;
use super::refused::Refused;
use super::{List, network, read};
use crate::fault::Fault;
use crate::shapes;

/// `GET /v1/user`
pub(super) async fn list(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let statements = read(&state, "list account", |reader| reader.statements()).await?;
    Ok(HttpResponse::Ok().json(List::new(statements.iter().map(shown).collect())))
}

/// `GET /v1/user/{address}`
pub(super) async fn by_address(
    address: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Refused> {
    let context = "get account";
    let user: UserId =
        address.parse().map_err(|error| Refused::bad(context, format!("{error}")))?;
    let known = read(&state, context, move |reader| reader.statement(&user)).await?;
    let unknown = || Fault::NotFound("no account has this address here".into());
    let known = known.ok_or_else(|| Refused::new(context, unknown()))?;
    Ok(HttpResponse::Ok().json(shown(&known)))
}

/// `POST /v1/sync-account`: reads all known accounts from the chain again; 202 once that is done.
pub(super) async fn sync(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let context = "sync account";
    let network = network(&state, context)?;
    let statements = read(&state, context, |reader| reader.statements()).await?;
    for known in statements.iter().filter(|known| known.books.nonce.is_some()) {
        let read = network.accounts.reread(known.user).await;
        read.map_err(|fault| Refused::new(context, fault))?;
    }
    Ok(HttpResponse::Accepted().finish())
}

/// How an account stands; amounts in neuron.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Account")]
pub(crate) struct Shown {
    #[schemars(with = "shapes::Address")]
    user: UserId,
    /// What may be held and owed at most.
    #[schemars(with = "shapes::Neuron")]
    lock_balance: Neuron,
    unlimited: bool,
    /// Set aside for requests that are being answered.
    #[schemars(with = "shapes::Neuron")]
    held: Neuron,
    /// Charged, and not paid yet.
    #[schemars(with = "shapes::Neuron")]
    owed: Neuron,
    /// Of that, what no voucher has.
    #[schemars(with = "shapes::Neuron")]
    earned: Neuron,
    /// Of that, what a voucher has.
    #[schemars(with = "shapes::Neuron")]
    vouchered: Neuron,
    /// What the chain has paid.
    #[schemars(with = "shapes::Neuron")]
    settled: Neuron,
    /// The last voucher's number, as a decimal string.
    nonce: Option<String>,
    /// The sum of the voucher whose end is not known yet.
    #[schemars(with = "Option<shapes::Neuron>")]
    open_voucher: Option<Neuron>,
    frozen: bool,
}

fn shown(known: &Statement) -> Shown {
    let Statement { user, account, books, settled, open, .. } = known;
    Shown {
        user: *user,
        lock_balance: account.cover,
        unlimited: account.unlimited,
        held: account.held,
        owed: account.owed().unwrap_or_default(),
        earned: account.earned,
        vouchered: account.vouchered,
        settled: *settled,
        nonce: books.nonce.map(|nonce| nonce.to_string()),
        open_voucher: open.as_ref().map(|open| open.voucher.total),
        frozen: account.frozen,
    }
}
