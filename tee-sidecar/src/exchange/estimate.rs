//! What a request would cost at most, signed: nothing is held and nothing forwarded.

use broker_core::{Address, Digest32, Neuron, Signature, Tariff};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::Exchange;
use super::request::Request;
use crate::fault::Fault;
use crate::route::Route;
use crate::shapes;

/// How long the prices of an estimate are meant to stay. They may change sooner: a request is
/// charged under the prices it was admitted under, which its estimate names.
const VALID_MILLIS: u64 = 5 * 60 * 1000;

/// A signed upper bound of a request's fee, for the prices it names.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Estimate {
    /// The served model.
    pub model: String,
    /// SHA-256 of the request's bytes, in hex.
    #[schemars(with = "shapes::Hash")]
    pub request_hash: String,
    /// Prompt tokens at most.
    pub input_tokens_max: u64,
    /// Generated tokens at most, over all answers asked for.
    pub output_tokens_max: u64,
    /// The prices.
    #[serde(flatten)]
    pub prices: Prices,
    /// The fee at most, in neuron.
    #[schemars(with = "shapes::Neuron")]
    pub max_fee: Neuron,
    /// When it was made, in milliseconds since 1970.
    pub issued_at: u64,
    /// Until when the prices are meant to stay, in milliseconds since 1970.
    pub expires_at: u64,
    /// What is signed.
    pub text: String,
    /// The attested key's `personal_sign` over the text.
    #[schemars(with = "shapes::Signature")]
    pub signature: String,
    /// That key's address.
    #[schemars(with = "shapes::Address")]
    pub signing_address: Address,
    /// `ecdsa`
    pub signing_algo: &'static str,
}

/// The prices of an estimate.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Prices {
    /// Neuron for one prompt token.
    #[schemars(with = "shapes::Neuron")]
    pub input_price: Neuron,
    /// Neuron for one generated token.
    #[schemars(with = "shapes::Neuron")]
    pub output_price: Neuron,
    /// What changes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<shapes::Object>")]
    pub schedule: Option<std::sync::Arc<broker_core::Schedule>>,
}

impl Exchange {
    /// Estimates a chat completion.
    ///
    /// # Errors
    /// The request would be refused for its shape, its model or its size.
    pub async fn estimate(&self, body: Bytes, request_id: &str) -> Result<Estimate, Fault> {
        let shared = &self.shared;
        let request = Request::parse(Route::Chat, body, None)?;
        let model = self.model_for(&request, request_id).await?;
        let bound = request.size.bound(model.context_tokens);
        let tariff = shared.prices.now();
        let max_fee = super::ceiling(&tariff, bound)?;
        let issued_at = shared.clock.now();
        let mut estimate = Estimate {
            model: model.name.clone(),
            request_hash: Digest32::sha256(&request.received).to_string(),
            input_tokens_max: bound.input,
            output_tokens_max: bound.output,
            prices: Prices::of(tariff),
            max_fee,
            issued_at: issued_at.0,
            expires_at: issued_at.plus_millis(VALID_MILLIS).0,
            text: String::new(),
            signature: String::new(),
            signing_address: shared.signer.address(),
            signing_algo: "ecdsa",
        };
        estimate.text = text(&estimate);
        let signature: Signature = shared.signer.sign_text(&estimate.text).map_err(|error| {
            tracing::error!(request_id, %error, "an estimate is not signed");
            Fault::Internal
        })?;
        estimate.signature = signature.to_string();
        Ok(estimate)
    }
}

impl Prices {
    fn of(tariff: Tariff) -> Self {
        let Tariff { input_price, output_price, schedule } = tariff;
        Self { input_price, output_price, schedule }
    }
}

/// `tee-sidecar.estimate.v1`, the hash of the request, the hash of the model's name, both bounds,
/// both prices, the fee and both times, with colons between them. Hashes are in hex and the rest
/// decimal numbers, so nothing of a client's own words is signed, and no other text of ours begins
/// like this one.
fn text(estimate: &Estimate) -> String {
    let Estimate { request_hash, input_tokens_max, output_tokens_max, prices, .. } = estimate;
    let Estimate { max_fee, issued_at, expires_at, .. } = estimate;
    let Prices { input_price, output_price, .. } = prices;
    let model = Digest32::sha256(estimate.model.as_bytes());
    format!(
        "tee-sidecar.estimate.v1:{request_hash}:{model}:{input_tokens_max}:{output_tokens_max}:\
         {input_price}:{output_price}:{max_fee}:{issued_at}:{expires_at}"
    )
}
