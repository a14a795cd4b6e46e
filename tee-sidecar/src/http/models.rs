//! `GET /v1/models`

use actix_web::{HttpRequest, HttpResponse, web};
use broker_core::{CacheBilling, Fraction, Neuron, Tariff, Tier};
use schemars::JsonSchema;
use serde::Serialize;

use super::AppState;
use super::error::{ApiError, Ids};
use crate::fault::Fault;
use crate::shapes;

/// The one model that is served.
#[derive(Serialize, JsonSchema)]
pub(super) struct Models {
    /// `list`
    object: &'static str,
    data: [Model; 1],
}

#[derive(Serialize, JsonSchema)]
struct Model {
    id: String,
    canonical_id: String,
    /// `model`
    object: &'static str,
    owned_by: &'static str,
    /// The name under which it is advertised on the chain.
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// Tokens of prompt and answer together.
    max_model_len: u64,
    /// The same.
    context_length: u64,
    pricing: Pricing,
    verifiability: String,
    /// The evidence is of hardware, not of the simulation.
    tee_attested: bool,
}

/// Prices, as 0G's clients read them.
#[derive(Debug, Serialize, JsonSchema)]
struct Pricing {
    /// Neuron for one prompt token, a decimal string.
    #[schemars(with = "shapes::Neuron")]
    prompt: Neuron,
    /// Neuron for one generated token, a decimal string.
    #[schemars(with = "shapes::Neuron")]
    completion: Neuron,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tiered_pricing: Vec<TierBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_token_billing: Option<CacheBody>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PriceTier")]
struct TierBody {
    max_input_tokens: u64,
    input_multiplier: String,
    output_multiplier: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CachePricing")]
struct CacheBody {
    divisor: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_multiplier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_1h_multiplier: Option<String>,
}

impl Pricing {
    fn of(tariff: &Tariff) -> Self {
        let schedule = tariff.schedule.as_deref();
        let tiers = schedule.map(|schedule| schedule.tiers.as_slice()).unwrap_or_default();
        Self {
            prompt: tariff.input_price,
            completion: tariff.output_price,
            tiered_pricing: tiers.iter().map(TierBody::of).collect(),
            cache_token_billing: schedule.and_then(|s| s.cache.as_ref()).map(CacheBody::of),
        }
    }
}

impl TierBody {
    fn of(tier: &Tier) -> Self {
        Self {
            max_input_tokens: tier.max_input_tokens,
            input_multiplier: exact(tier.input),
            output_multiplier: exact(tier.output),
        }
    }
}

impl CacheBody {
    fn of(cache: &CacheBilling) -> Self {
        Self {
            divisor: cache.divisor,
            write_multiplier: cache.write.map(exact),
            write_1h_multiplier: cache.write_1h.map(exact),
        }
    }
}

/// `3`, or `3/2`: a decimal point would round.
fn exact(Fraction { numerator, denominator }: Fraction) -> String {
    if denominator == 1 { numerator.to_string() } else { format!("{numerator}/{denominator}") }
}

/// The one model that is served, in OpenAI's shape, with its prices.
pub(super) async fn list(
    request: HttpRequest,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    state.pace.step(&request).map_err(|fault| ApiError::of(&request, fault))?;
    let shared = &state.exchange.shared;
    let model = shared.catalog.model(&*state.exchange.engine).await.map_err(|error| {
        tracing::warn!(%error, "engine not ready");
        let fault = Fault::BadGateway("the model server cannot be reached; try again");
        ApiError::of(&request, fault)
    })?;
    let service = &state.service;
    let advertised = shared.catalog.advertised();
    let name = advertised.unwrap_or_else(|| model.name.clone());
    let model = Model {
        id: model.name.clone(),
        canonical_id: model.name.clone(),
        object: "model",
        owned_by: "tee-sidecar",
        name,
        kind: service.kind.clone(),
        max_model_len: model.context_tokens,
        context_length: model.context_tokens,
        pricing: Pricing::of(&shared.prices.now()),
        verifiability: service.verifiability.clone(),
        tee_attested: !state.reports.is_simulated(),
    };
    let mut response = HttpResponse::Ok();
    Ids::of(&request).write(&mut response);
    Ok(response.json(Models { object: "list", data: [model] }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use broker_core::Schedule;
    use serde_json::json;

    use super::*;

    #[test]
    fn prices_are_exact_strings_and_a_schedule_is_told_where_there_is_one() {
        let mut tariff = Tariff::per_token(Neuron::new(1 << 70), Neuron::new(2));
        let plain = json!({"prompt": "1180591620717411303424", "completion": "2"});
        assert_eq!(json!(Pricing::of(&tariff)), plain);
        let fraction = |numerator, denominator| Fraction { numerator, denominator };
        let (input, output) = (fraction(3, 2), fraction(2, 1));
        tariff.schedule = Some(Arc::new(Schedule {
            tiers: vec![Tier { max_input_tokens: 0, input, output }],
            cache: Some(CacheBilling { divisor: 4, write: Some(fraction(5, 4)), write_1h: None }),
        }));
        let pricing = json!(Pricing::of(&tariff));
        let tier = json!({
            "max_input_tokens": 0, "input_multiplier": "3/2", "output_multiplier": "2"
        });
        assert_eq!(pricing["tiered_pricing"], json!([tier]));
        let cache = json!({"divisor": 4, "write_multiplier": "5/4"});
        assert_eq!(pricing["cache_token_billing"], cache);
    }
}
