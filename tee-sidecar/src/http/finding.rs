//! A finished exchange, by our id or the engine's.

use std::sync::Arc;

use actix_web::{HttpRequest, web};
use broker_core::{
    Charged, HoldState, LedgerError, Receipt, ReceiptId, ReleaseReason, Tariff, UserId,
};
use serde_json::value::RawValue;

use super::AppState;
use crate::exchange::recent::Ended;
use crate::fault::Fault;

/// A finished exchange.
pub(super) struct Found {
    pub(super) ended: Ended,
    /// The signed document of it; records of older versions have none.
    pub(super) document: Option<Box<RawValue>>,
}

impl Found {
    pub(super) fn of(ended: Ended) -> Self {
        let (receipt, tariff) = &*ended;
        let document = document(receipt, tariff);
        Self { ended, document }
    }
}

/// The signed document of a receipt, if it has one.
pub(super) fn document(receipt: &Receipt, tariff: &Tariff) -> Option<Box<RawValue>> {
    receipt.document(tariff).and_then(|text| RawValue::from_string(text).ok())
}

/// The exchange with this id. Whoever knows an id of ours may have its receipt, which holds hashes
/// and counts; only an engine's id needs to be told apart.
pub(super) async fn find(
    request: &HttpRequest,
    id: String,
    state: &AppState,
) -> Result<Found, Fault> {
    let ours = ReceiptId::parse(&id).or_else(|| ReceiptId::parse(id.strip_prefix("chatcmpl-")?));
    let Some(ours) = ours else {
        let owner = state.auth.optional_account(request).await?;
        let found = named(state, id, owner).await?;
        return found.ok_or_else(|| no_signature("no signature has this id"));
    };
    if let Some(found) = by_ours(state, ours).await? {
        return Ok(found);
    }
    if let Some(refusal) = state.exchange.refusal(&ours).await? {
        return Ok(Found::of(Arc::new(refusal)));
    }
    // It may have been written while that was waited for.
    match by_ours(state, ours).await? {
        Some(found) => Ok(found),
        None => Err(why_not(state, ours).await?),
    }
}

async fn by_ours(state: &AppState, id: ReceiptId) -> Result<Option<Found>, Fault> {
    let recent = state.exchange.recent();
    if let Some(ended) = recent.ended(&id) {
        return Ok(Some(Found::of(ended)));
    }
    let reader = state.reader.clone();
    let charged = read(move || reader.charged(&id)).await?;
    Ok(charged.map(|Charged { receipt, tariff, .. }| Found::of(recent.keep(receipt, tariff))))
}

/// The exchange whose engine gave it this id.
async fn named(
    state: &AppState,
    id: String,
    owner: Option<UserId>,
) -> Result<Option<Found>, Fault> {
    let recent = state.exchange.recent();
    // Where nobody is asked who they are, one account has all that is done, and no other's answer
    // can take an id of its own from it.
    let account = owner.or_else(|| state.auth.everybody());
    let known = account.and_then(|account| recent.named(account, &id));
    if let Some(ended) = known.and_then(|known| recent.ended(&known)) {
        return Ok(Some(Found::of(ended)));
    }
    let (reader, text) = (state.reader.clone(), id.clone());
    let charged = read(move || {
        let receipt = reader.receipt_by_upstream_id(&text, owner.as_ref())?;
        receipt.map_or(Ok(None), |receipt| reader.charged(&receipt.id))
    });
    let Some(Charged { receipt, tariff, .. }) = charged.await? else { return Ok(None) };
    if account == Some(receipt.user) {
        recent.name(receipt.user, id, receipt.id);
    }
    Ok(Some(Found::of(recent.keep(receipt, tariff))))
}

/// Why an exchange of ours has no receipt.
async fn why_not(state: &AppState, id: ReceiptId) -> Result<Fault, Fault> {
    let reader = state.reader.clone();
    Ok(match read(move || reader.hold_state(&id)).await? {
        Some(HoldState::Open) => {
            no_signature("the answer is not finished; ask for its signature afterwards")
        }
        Some(HoldState::Released(why)) => {
            let how = match why {
                ReleaseReason::Crashed => "its outcome is 'crashed'",
                ReleaseReason::Expired => "it was given up",
                ReleaseReason::NotForwarded => "it was not forwarded",
            };
            let text = format!("the exchange has no signature: {how}, and nothing was charged");
            Fault::NoSignature(text.into())
        }
        _ => no_signature("no signature has this id"),
    })
}

fn no_signature(text: &'static str) -> Fault {
    Fault::NoSignature(text.into())
}

/// Reads the ledger on a thread that may wait.
pub(super) async fn read<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, Fault> {
    match web::block(read).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, "the ledger cannot be read");
            Err(Fault::Internal)
        }
        Err(_cancelled) => Err(Fault::Internal),
    }
}
