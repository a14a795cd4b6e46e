//! The sections about the 0G network and about prices, as written.

use serde::Deserialize;

use super::super::text::{Text, Texts};
use super::null_is_default;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct RawNetwork {
    pub(in super::super) url: Option<Text>,
    #[serde(rename = "chainID")]
    pub(in super::super) chain_id: Option<Text>,
    pub(in super::super) private_keys: Option<Texts>,
    pub(in super::super) private_keys_file: Option<Text>,
    pub(in super::super) contract_address: Option<Text>,
    pub(in super::super) confirmations: Option<Text>,
    pub(in super::super) max_gas_price: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct RawInterval {
    pub(in super::super) settlement_processor: Option<Text>,
    pub(in super::super) force_settlement_processor: Option<Text>,
    pub(in super::super) auto_settle_buffer_time: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct RawSettlement {
    pub(in super::super) min_settlement_fee: Option<Text>,
    pub(in super::super) min_reserve_neuron: Option<Text>,
    pub(in super::super) owed_percent_max: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct RawTieredPricing {
    #[serde(deserialize_with = "null_is_default")]
    pub(in super::super) tiers: Vec<RawTier>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct RawTier {
    pub(in super::super) max_input_tokens: Option<Text>,
    pub(in super::super) input_multiplier: Option<Text>,
    pub(in super::super) output_multiplier: Option<Text>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in super::super) struct RawCacheBilling {
    pub(in super::super) enabled: Option<Text>,
    pub(in super::super) divisor: Option<Text>,
    pub(in super::super) write_multiplier: Option<Text>,
    #[serde(rename = "write1hMultiplier")]
    pub(in super::super) write_1h_multiplier: Option<Text>,
}
