//! `/v1/user`: how each account stands.

use actix_web::{HttpResponse, web};
use broker_core::UserId;
use broker_core::ledger::statement::Statement;
use serde_json::{Value, json};

use super::super::AppState;
use super::refused::Refused;
use super::{network, read};
use crate::fault::Fault;

/// `GET /v1/user`
pub(super) async fn list(state: web::Data<AppState>) -> Result<HttpResponse, Refused> {
    let statements = read(&state, "list account", |reader| reader.statements()).await?;
    let items: Vec<Value> = statements.iter().map(shown).collect();
    let answer = json!({ "metadata": { "total": items.len() }, "items": items });
    Ok(HttpResponse::Ok().json(answer))
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

fn shown(known: &Statement) -> Value {
    let Statement { user, account, books, settled, open, .. } = known;
    json!({
        "user": user,
        "lockBalance": account.cover,
        "unlimited": account.unlimited,
        "held": account.held,
        "owed": account.owed().unwrap_or_default(),
        "earned": account.earned,
        "vouchered": account.vouchered,
        "settled": settled,
        "nonce": books.nonce.map(|nonce| nonce.to_string()),
        "openVoucher": open.as_ref().map(|open| open.voucher.total),
        "frozen": account.frozen,
    })
}
