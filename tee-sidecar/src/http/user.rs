//! `GET /v1/user/{address}/unsettledfee`

use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{Address, Neuron, UserId};
use schemars::JsonSchema;
use serde::Serialize;

use super::AppState;
use super::error::{ApiError, Ids};
use crate::fault::Fault;
use crate::shapes;

/// What the user owes this provider and the chain has not paid yet.
#[derive(Serialize, JsonSchema)]
pub(super) struct UnsettledFee {
    /// Neuron, as a decimal string.
    #[schemars(with = "shapes::Neuron")]
    #[serde(rename = "unsettledFee")]
    unsettled_fee: Neuron,
}

/// One's own fees, and nobody else's.
pub(super) async fn unsettled_fee(
    request: HttpRequest,
    address: web::Path<String>,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let ids = Ids::of(&request);
    let fee = fee(&request, &address, &state).await;
    let fee = fee.map_err(|fault| ApiError::new(ids.clone(), fault))?;
    let mut response = HttpResponse::Ok();
    ids.write(&mut response);
    Ok(response.json(UnsettledFee { unsettled_fee: fee }))
}

async fn fee(request: &HttpRequest, address: &str, state: &AppState) -> Result<Neuron, Fault> {
    if state.network.is_none() {
        return Err(Fault::NotFound("there is no such route".into()));
    }
    state.pace.step(request)?;
    let user = state.auth.account(request).await?;
    if parse(address)? != user {
        return Err(Fault::Forbidden("only one's own unsettled fee is told"));
    }
    let reader = state.reader.clone();
    match web::block(move || reader.account(&user)).await {
        Ok(Ok(account)) => account.owed().ok_or(Fault::Internal),
        Ok(Err(error)) => {
            tracing::error!(%error, "unsettled fee");
            Err(Fault::Internal)
        }
        Err(_cancelled) => Err(Fault::Internal),
    }
}

/// An address in lower case, or in the mixed case that checks itself.
fn parse(address: &str) -> Result<UserId, Fault> {
    let parsed = address.parse::<UserId>().ok().filter(|user| {
        let checked = Address(*user.as_bytes()).to_string();
        address == checked || address == checked.to_ascii_lowercase()
    });
    parsed.ok_or_else(|| {
        let text = "an address is 0x and 40 hex digits, in lower case or with its checksum";
        Fault::BadRequest(text.into())
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn an_address_is_lower_case_or_checks_itself() {
        let checked = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
        let wrong = checked.replacen('C', "c", 1);
        assert_eq!(parse(checked), parse(&checked.to_lowercase()));
        assert!(parse(checked).is_ok());
        for bad in [wrong.as_str(), &checked[2..], &checked[..41], "0x", "", "open"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
