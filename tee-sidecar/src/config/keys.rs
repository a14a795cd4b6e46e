//! The keys that exist, by path: what the environment can set and what a typo is compared with.

use super::raw::RawSettings;
use super::text::{Text, Texts};

/// Where a key's text is kept.
pub(super) type Slot = fn(&mut RawSettings) -> &mut Option<Text>;

/// Where a key's list of texts is kept.
pub(super) type ListSlot = fn(&mut RawSettings) -> &mut Option<Texts>;

/// Every key that holds one value and is not part of a list.
pub(super) const VALUES: &[(&str, Slot)] = &[
    ("server.listen", |raw| &mut raw.server.listen),
    ("server.adminListen", |raw| &mut raw.server.admin_listen),
    ("server.allowPlainHttp", |raw| &mut raw.server.allow_plain_http),
    ("server.tls.certFile", |raw| &mut raw.server.tls.cert_file),
    ("server.tls.keyFile", |raw| &mut raw.server.tls.key_file),
    ("server.drainSecs", |raw| &mut raw.server.drain_secs),
    ("upstream.url", |raw| &mut raw.upstream.url),
    ("upstream.model", |raw| &mut raw.upstream.model),
    ("upstream.onDisconnect", |raw| &mut raw.upstream.on_disconnect),
    ("upstream.cacheSalt", |raw| &mut raw.upstream.cache_salt),
    ("tee.provider", |raw| &mut raw.tee.provider),
    ("gpu.provider", |raw| &mut raw.gpu.provider),
    ("ledger.url", |raw| &mut raw.ledger.url),
    ("ledger.urlFile", |raw| &mut raw.ledger.url_file),
    ("ledger.stateDir", |raw| &mut raw.ledger.state_dir),
    ("ledger.retentionDays", |raw| &mut raw.ledger.retention_days),
    ("ledger.archiveDir", |raw| &mut raw.ledger.archive_dir),
    ("servingUrl", |raw| &mut raw.serving_url),
    ("service.servingUrl", |raw| &mut raw.service.serving_url),
    ("service.type", |raw| &mut raw.service.kind),
    ("service.model", |raw| &mut raw.service.model),
    ("service.verifiability", |raw| &mut raw.service.verifiability),
    ("service.inputPrice", |raw| &mut raw.service.input_price),
    ("service.outputPrice", |raw| &mut raw.service.output_price),
    ("service.cacheTokenBilling.enabled", |raw| &mut raw.service.cache_token_billing.enabled),
    ("service.cacheTokenBilling.divisor", |raw| &mut raw.service.cache_token_billing.divisor),
    ("service.cacheTokenBilling.writeMultiplier", |raw| {
        &mut raw.service.cache_token_billing.write_multiplier
    }),
    ("service.cacheTokenBilling.write1hMultiplier", |raw| {
        &mut raw.service.cache_token_billing.write_1h_multiplier
    }),
    ("network.url", |raw| &mut raw.network.url),
    ("network.chainID", |raw| &mut raw.network.chain_id),
    ("network.privateKeysFile", |raw| &mut raw.network.private_keys_file),
    ("network.contractAddress", |raw| &mut raw.network.contract_address),
    ("network.confirmations", |raw| &mut raw.network.confirmations),
    ("network.maxGasPrice", |raw| &mut raw.network.max_gas_price),
    ("interval.settlementProcessor", |raw| &mut raw.interval.settlement_processor),
    ("interval.forceSettlementProcessor", |raw| &mut raw.interval.force_settlement_processor),
    ("interval.autoSettleBufferTime", |raw| &mut raw.interval.auto_settle_buffer_time),
    ("settlement.minSettlementFee", |raw| &mut raw.settlement.min_settlement_fee),
    ("settlement.minReserveNeuron", |raw| &mut raw.settlement.min_reserve_neuron),
    ("settlement.owedPercentMax", |raw| &mut raw.settlement.owed_percent_max),
    ("auth.mode", |raw| &mut raw.auth.mode),
    ("admin.token", |raw| &mut raw.admin.token),
    ("admin.tokenFile", |raw| &mut raw.admin.token_file),
    ("limits.requestBytesMax", |raw| &mut raw.limits.request_bytes_max),
    ("limits.concurrentMax", |raw| &mut raw.limits.concurrent_max),
    ("limits.concurrentPerAccountMax", |raw| &mut raw.limits.concurrent_per_account_max),
    ("limits.requestsPerMinute", |raw| &mut raw.limits.requests_per_minute),
    ("limits.tokensPerMinute", |raw| &mut raw.limits.tokens_per_minute),
    ("limits.upstreamConnectSecs", |raw| &mut raw.limits.upstream_connect_secs),
    ("limits.upstreamIdleSecs", |raw| &mut raw.limits.upstream_idle_secs),
    ("limits.clientIdleSecs", |raw| &mut raw.limits.client_idle_secs),
    ("log.format", |raw| &mut raw.log.format),
    ("log.filter", |raw| &mut raw.log.filter),
    ("tracing.otlpEndpoint", |raw| &mut raw.tracing.otlp_endpoint),
    ("tracing.otlpHeaders", |raw| &mut raw.tracing.otlp_headers),
    ("tracing.otlpHeadersFile", |raw| &mut raw.tracing.otlp_headers_file),
    ("tracing.sampleRatio", |raw| &mut raw.tracing.sample_ratio),
];

/// Every key that holds a list of values.
pub(super) const LISTS: &[(&str, ListSlot)] = &[
    ("server.allowOrigins", |raw| &mut raw.server.allow_origins),
    ("upstream.urls", |raw| &mut raw.upstream.urls),
    ("network.privateKeys", |raw| &mut raw.network.private_keys),
    ("service.routes", |raw| &mut raw.service.routes),
    ("limits.routeBytesMax", |raw| &mut raw.limits.route_bytes_max),
];

/// A list of objects; only a file can hold it.
pub(super) const API_KEYS: &str = "auth.apiKeys";

/// The other list of objects.
pub(super) const TIERS: &str = "service.tieredPricing.tiers";

/// The lists of objects, and the keys of one entry of each.
pub(super) const OBJECT_LISTS: &[(&str, &[&str])] = &[
    (API_KEYS, &["account", "key", "keyFile", "creditNeuron"]),
    (TIERS, &["maxInputTokens", "inputMultiplier", "outputMultiplier"]),
];

/// True for a key path that holds one value.
pub(super) fn is_value(key: &str) -> bool {
    let in_list = LISTS.iter().any(|(list, _)| {
        key.strip_prefix(list).is_some_and(|rest| rest.starts_with('[') && rest.ends_with(']'))
    });
    in_list
        || entry_of(key).is_some_and(|(_, keys, _, leaf)| keys.contains(&leaf))
        || VALUES.iter().any(|(known, _)| *known == key)
}

/// True for a key path that holds a list of values.
pub(super) fn is_list(key: &str) -> bool {
    LISTS.iter().any(|(known, _)| *known == key)
}

/// True for the path of a key, or of a section of keys, that this program knows.
pub(super) fn exists(key: &str) -> bool {
    let is_within = |known: &str| {
        known.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_value(key) || all().any(is_within)
}

/// Keys of 0G's own provider broker that mean nothing here, and what to write instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("networks", "write network with url, chainID, contractAddress and privateKeys"),
    ("contractAddress", "write network.contractAddress"),
    ("gasPrice", "the network is asked for it; network.maxGasPrice caps it"),
    ("maxGasPrice", "write network.maxGasPrice"),
    ("network.transactionLimit", "gas is estimated; leave it out"),
    ("network.gasEstimationBuffer", "gas is estimated; leave it out"),
    ("allowOrigins", "write server.allowOrigins"),
    ("database", "write ledger.url: a file, or a PostgreSQL database of its own"),
    ("service.targetUrl", "write upstream.url, or register the service with its URL"),
    ("interval.reconciliationProcessor", "the chain is asked all the time; leave it out"),
];

/// What a host who comes from there is told.
pub(super) fn elsewhere(key: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(theirs, _)| *theirs == key).map(|(_, rule)| *rule)
}

/// The known key that takes the fewest edits to reach from `key`, whatever the case.
pub(super) fn nearest(key: &str) -> String {
    if let Some((list, keys, index, leaf)) = entry_of(key) {
        let leaf = keys.iter().min_by_key(|known| distance(known, leaf));
        return format!("{list}{index}].{}", leaf.unwrap_or(&""));
    }
    all().min_by_key(|known| distance(known, key)).unwrap_or_default().to_owned()
}

fn all() -> impl Iterator<Item = &'static str> {
    let values = VALUES.iter().map(|(known, _)| *known);
    let lists = LISTS.iter().map(|(known, _)| *known);
    values.chain(lists).chain(OBJECT_LISTS.iter().map(|(known, _)| *known))
}

/// A path within a list of objects: the list, its keys, where in it, and the rest of the path.
fn entry_of(key: &str) -> Option<(&'static str, &'static [&'static str], &str, &str)> {
    OBJECT_LISTS.iter().find_map(|(list, keys)| {
        let (index, leaf) = key.strip_prefix(list)?.split_once("].")?;
        Some((*list, *keys, index, leaf))
    })
}

/// Insertions, deletions and replacements between two texts, whatever the case.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<u8> = left.to_ascii_lowercase().into_bytes();
    let mut above: Vec<usize> = (0..=left.len()).collect();
    for (row, r) in right.to_ascii_lowercase().bytes().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        let mut before = row + 1;
        current.push(before);
        for (l, pair) in left.iter().zip(above.windows(2)) {
            let [diagonal, up] = pair else { continue };
            before = (diagonal + usize::from(*l != r)).min(up + 1).min(before + 1);
            current.push(before);
        }
        above = current;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (left, right, edits) in
            [("", "", 0), ("abc", "ABC", 0), ("kitten", "sitting", 3), ("", "ab", 2), ("ab", "", 2)]
        {
            assert_eq!(distance(left, right), edits, "{left} {right}");
        }
    }

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        assert_eq!(nearest("limits.concurentMax"), "limits.concurrentMax");
        assert_eq!(nearest("servingURL"), "servingUrl");
        assert_eq!(nearest("auth.apiKeys[2].credit_neuron"), "auth.apiKeys[2].creditNeuron");
    }
}
