//! The sections about the 0G network and about prices, printed.

use broker_core::{Fraction, Tariff};
use serde_json::{Value, json};

use super::super::{Network, Settlement, secret};

/// `network`; without a chain every key is empty.
pub(super) fn section(network: Option<&Network>) -> Value {
    let keys: &[&str] = if network.is_some() { &[secret::PRESENT] } else { &[] };
    json!({
        "url": network.map(|network| &network.url),
        "chainID": network.map(|network| network.chain_id),
        "privateKeys": keys,
        "contractAddress": network.map(|network| network.contract),
        "confirmations": network.map(|network| network.confirmations),
        "maxGasPrice": network.and_then(|network| network.max_gas_price),
    })
}

/// `interval`, in seconds.
pub(super) fn interval(settlement: &Settlement) -> Value {
    json!({
        "settlementProcessor": settlement.every_secs,
        "forceSettlementProcessor": settlement.policy.age_millis / 1000,
        "autoSettleBufferTime": settlement.policy.refund_buffer_secs,
    })
}

/// `settlement`
pub(super) fn settlement(settlement: &Settlement) -> Value {
    json!({
        "minSettlementFee": settlement.policy.min_fee,
        "minReserveNeuron": settlement.min_reserve,
        "owedPercentMax": settlement.policy.owed_percent,
    })
}

/// `service.tieredPricing`
pub(super) fn tiered_pricing(tariff: &Tariff) -> Value {
    let tiers = tariff.schedule.iter().flat_map(|schedule| &schedule.tiers);
    let tiers = tiers.map(|tier| {
        json!({
            "maxInputTokens": tier.max_input_tokens,
            "inputMultiplier": fraction(tier.input),
            "outputMultiplier": fraction(tier.output),
        })
    });
    json!({ "tiers": tiers.collect::<Vec<_>>() })
}

/// `service.cacheTokenBilling`
pub(super) fn cache_token_billing(tariff: &Tariff) -> Value {
    let cache = tariff.schedule.as_ref().and_then(|schedule| schedule.cache);
    json!({
        "enabled": cache.is_some(),
        "divisor": cache.map(|cache| cache.divisor),
        "writeMultiplier": cache.and_then(|cache| cache.write).map(fraction),
        "write1hMultiplier": cache.and_then(|cache| cache.write_1h).map(fraction),
    })
}

/// In its shortest form.
pub(super) fn fraction(Fraction { numerator, denominator }: Fraction) -> String {
    if denominator == 1 { numerator.to_string() } else { format!("{numerator}/{denominator}") }
}
