//! A finished exchange, by our id or the engine's.

use actix_web::{HttpRequest, web};
use broker_core::{
    Charged, HoldState, LedgerError, Receipt, ReceiptId, ReleaseReason, Tariff, UserId,
};
use serde_json::value::RawValue;

use super::AppState;
use crate::fault::Fault;

/// A finished exchange.
pub(super) struct Found {
    pub(super) receipt: Receipt,
    /// The signed document of it; records of older versions have none.
    pub(super) document: Option<Box<RawValue>>,
}

impl Found {
    pub(super) fn of(receipt: Receipt, tariff: &Tariff) -> Self {
        let document = receipt.document(tariff).and_then(|text| RawValue::from_string(text).ok());
        Self { receipt, document }
    }
}

/// The exchange with this id. Whoever knows an id of ours may have its receipt, which holds hashes
/// and counts; only an engine's id needs to be told apart.
pub(super) async fn find(
    request: &HttpRequest,
    id: String,
    state: &AppState,
) -> Result<Found, Fault> {
    let ours = ReceiptId::parse(&id).or_else(|| ReceiptId::parse(id.strip_prefix("chatcmpl-")?));
    let owner = state.auth.optional_account(request).await;
    if let Some(found) = in_ledger(state, ours, &id, &owner).await? {
        return Ok(found);
    }
    let Some(ours) = ours else { return Err(no_signature("no signature has this id")) };
    if let Some((receipt, tariff)) = state.exchange.refusal(&ours).await? {
        return Ok(Found::of(receipt, &tariff));
    }
    // It may have been written while that was waited for.
    match in_ledger(state, Some(ours), &id, &owner).await? {
        Some(found) => Ok(found),
        None => Err(why_not(state, ours).await?),
    }
}

async fn in_ledger(
    state: &AppState,
    ours: Option<ReceiptId>,
    id: &str,
    owner: &Result<Option<UserId>, Fault>,
) -> Result<Option<Found>, Fault> {
    let (reader, text) = (state.reader.clone(), id.to_owned());
    if let Some(ours) = ours {
        let charged = read(move || reader.charged(&ours)).await?;
        if let Some(Charged { receipt, tariff, .. }) = charged {
            return Ok(Some(Found::of(receipt, &tariff)));
        }
        return Ok(None);
    }
    let owner = owner.clone()?;
    let charged = read(move || {
        let receipt = reader.receipt_by_upstream_id(&text, owner.as_ref())?;
        receipt.map_or(Ok(None), |receipt| reader.charged(&receipt.id))
    });
    Ok(charged.await?.map(|Charged { receipt, tariff, .. }| Found::of(receipt, &tariff)))
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
