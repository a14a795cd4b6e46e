//! `network.*`, `interval.*` and `settlement.*`: the chain, and when fees are collected there.
//! No message of this file repeats a key.

use broker_core::settlement::Policy;
use broker_core::{Address, LocalSigner, Neuron, UserId};
use zeroize::Zeroizing;

use super::super::raw::{RawInterval, RawNetwork, RawSettlement};
use super::super::secret::{self, Secret};
use super::super::{Network, Settlement};
use super::values::{self, Check};

/// Reads `network.*`; `None` where the section has no key, and where one is refused.
pub(super) fn network(check: &mut Check, raw: &RawNetwork) -> Option<Network> {
    if !is_given(raw) {
        return None;
    }
    let rule = "must be http:// or https:// with a host, and no credentials, query or fragment";
    let given = raw.url.as_ref();
    let url = check.parsed("network.url", given, None, rule, |text| {
        values::web_address(text).map(|_| Some(text.to_owned()))
    });
    let chain_id = check.limit("network.chainID", raw.chain_id.as_ref(), 1..=CHAIN_ID_MAX);
    let wallet = wallet(check, raw);
    let rule = "must be the InferenceServing contract: 0x and 40 hex digits, with the checksum of \
                its capitals where it has both cases";
    let contract = raw.contract_address.as_ref();
    let contract = check
        .parsed("network.contractAddress", contract, None, rule, |text| address(text).map(Some));
    for (key, is_missing) in [
        ("network.url", raw.url.is_none()),
        ("network.chainID", raw.chain_id.is_none()),
        ("network.contractAddress", raw.contract_address.is_none()),
    ] {
        if is_missing {
            check.refuse_key(key, "is required, because network has other keys");
        }
    }
    let given = raw.confirmations.as_ref();
    let confirmations =
        check.number("network.confirmations", given, 0..=CONFIRMATIONS_MAX, CONFIRMATIONS);
    let given = raw.max_gas_price.as_ref();
    let cap = check.neuron("network.maxGasPrice", given, Neuron::ZERO);
    if let Some(given) = given.filter(|given| given.as_str() == "0") {
        check.refuse("network.maxGasPrice", given, "must be above 0; leave it out for no cap");
    }
    Some(Network {
        url: url?,
        chain_id: chain_id?,
        wallet: wallet?,
        contract: contract?,
        confirmations,
        max_gas_price: given.map(|_| cap),
    })
}

/// An empty list of keys is how the printed configuration says that there is none.
fn is_given(raw: &RawNetwork) -> bool {
    let keys = raw.private_keys.as_ref().is_some_and(|keys| !keys.items().is_empty());
    let others = [
        &raw.url,
        &raw.chain_id,
        &raw.private_keys_file,
        &raw.contract_address,
        &raw.confirmations,
        &raw.max_gas_price,
    ];
    keys || others.into_iter().any(Option::is_some)
}

/// The one wallet, from the list or from the file that names it.
fn wallet(check: &mut Check, raw: &RawNetwork) -> Option<Secret<[u8; 32]>> {
    let listed = raw.private_keys.as_ref().filter(|keys| !keys.items().is_empty());
    let (key, from_environment, texts) = match (listed, &raw.private_keys_file) {
        (None, None) => {
            check.refuse_key(KEYS, "is required, as network.privateKeys or privateKeysFile");
            return None;
        }
        (Some(_), Some(_)) => {
            let rule = "must not be given together with network.privateKeysFile";
            check.refuse_key(KEYS, rule);
            return None;
        }
        (Some(keys), None) => {
            let texts = keys.items().iter().map(|key| Zeroizing::new(key.as_str().to_owned()));
            (KEYS, keys.is_from_environment(), texts.collect::<Vec<_>>())
        }
        (None, Some(path)) => match secret::read(path.as_str()) {
            Ok(text) => {
                let lines = text.expose().split(['\n', ',']).map(str::trim);
                let lines = lines.filter(|line| !line.is_empty());
                let texts = lines.map(|line| Zeroizing::new(line.to_owned())).collect();
                (KEYS_FILE, path.is_from_environment(), texts)
            }
            Err(rule) => {
                check.refuse(KEYS_FILE, path, rule);
                return None;
            }
        },
    };
    match secret_key(&texts) {
        Ok(wallet) => Some(wallet),
        Err(rule) => {
            check.refuse_secret(key, rule, from_environment);
            None
        }
    }
}

fn secret_key(texts: &[Zeroizing<String>]) -> Result<Secret<[u8; 32]>, &'static str> {
    let [text] = texts else {
        return Err("must have exactly one key: fees are collected by one wallet");
    };
    if text.as_str() == secret::PRESENT {
        return Err("is the placeholder that check-config prints, not a key");
    }
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, bytes.as_mut_slice())
        .map_err(|_| "must be the wallet's key as 64 hex digits, with or without 0x")?;
    LocalSigner::from_secret(&bytes).map_err(|_| "is no secp256k1 key")?;
    Ok(Secret::new(*bytes))
}

fn address(text: &str) -> Option<Address> {
    let user: UserId = text.parse().ok()?;
    let address = Address(*user.as_bytes());
    let digits = text.get(2..)?;
    let has_both = digits.contains(|c: char| c.is_ascii_uppercase())
        && digits.contains(|c: char| c.is_ascii_lowercase());
    // The capitals of a mixed spelling are a checksum: one that is wrong tells of a typo.
    let is_right = !has_both || address.to_string().get(2..) == Some(digits);
    (is_right && address.0 != [0; 20]).then_some(address)
}

/// Reads `interval.*` and `settlement.*`.
pub(super) fn settlement(
    check: &mut Check,
    interval: &RawInterval,
    raw: &RawSettlement,
) -> Settlement {
    let default = Settlement::default();
    let policy = Policy::default();
    let given = interval.settlement_processor.as_ref();
    let every_secs = check.duration(EVERY, given, 1..=DAY, default.every_secs);
    let given = interval.force_settlement_processor.as_ref();
    let age_secs = check.duration(FORCE, given, 1..=30 * DAY, policy.age_millis / 1000);
    if age_secs < every_secs {
        let rule = format!("must not be shorter than {EVERY}, which is {every_secs} seconds");
        match given {
            Some(given) => check.refuse(FORCE, given, rule),
            None => check.refuse_key(FORCE, rule),
        }
    }
    let given = interval.auto_settle_buffer_time.as_ref();
    // The contract pays a refund out after a week at most.
    let refund_buffer_secs = check.duration(BUFFER, given, 1..=7 * DAY, policy.refund_buffer_secs);
    let given = raw.min_settlement_fee.as_ref();
    let min_fee = check.neuron("settlement.minSettlementFee", given, policy.min_fee);
    let given = raw.min_reserve_neuron.as_ref();
    let min_reserve = check.neuron("settlement.minReserveNeuron", given, default.min_reserve);
    let given = raw.owed_percent_max.as_ref();
    let owed_percent =
        check.number("settlement.owedPercentMax", given, 1..=100, policy.owed_percent);
    let age_millis = age_secs.saturating_mul(1000);
    let policy = Policy { min_fee, owed_percent, age_millis, refund_buffer_secs };
    Settlement { policy, every_secs, min_reserve }
}

const KEYS: &str = "network.privateKeys";
const KEYS_FILE: &str = "network.privateKeysFile";
const EVERY: &str = "interval.settlementProcessor";
const FORCE: &str = "interval.forceSettlementProcessor";
const BUFFER: &str = "interval.autoSettleBufferTime";

/// Blocks on top of one that make it final, where the host does not say.
const CONFIRMATIONS: u64 = 0;
/// More is a typo: it would be days.
const CONFIRMATIONS_MAX: u64 = 10_000;
/// Chain ids above do not fit into a signature.
const CHAIN_ID_MAX: u64 = i64::MAX as u64 - 36;
const DAY: u64 = 86_400;
