//! The keys that exist, by path: what the environment can set and what a typo is compared with.

use super::raw::RawSettings;
use super::text::Text;

/// Where a key's text is kept.
pub(super) type Slot = fn(&mut RawSettings) -> &mut Option<Text>;

/// Every key that holds one value and is not part of a list.
pub(super) const VALUES: &[(&str, Slot)] = &[
    ("server.listen", |raw| &mut raw.server.listen),
    ("server.adminListen", |raw| &mut raw.server.admin_listen),
    ("server.allowPlainHttp", |raw| &mut raw.server.allow_plain_http),
    ("upstream.url", |raw| &mut raw.upstream.url),
    ("upstream.model", |raw| &mut raw.upstream.model),
    ("upstream.onDisconnect", |raw| &mut raw.upstream.on_disconnect),
    ("tee.provider", |raw| &mut raw.tee.provider),
    ("gpu.provider", |raw| &mut raw.gpu.provider),
    ("ledger.url", |raw| &mut raw.ledger.url),
    ("servingUrl", |raw| &mut raw.serving_url),
    ("service.servingUrl", |raw| &mut raw.service.serving_url),
    ("service.type", |raw| &mut raw.service.kind),
    ("service.model", |raw| &mut raw.service.model),
    ("service.verifiability", |raw| &mut raw.service.verifiability),
    ("service.inputPrice", |raw| &mut raw.service.input_price),
    ("service.outputPrice", |raw| &mut raw.service.output_price),
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
];

/// The list of objects; only a file can hold it.
pub(super) const API_KEYS: &str = "auth.apiKeys";

/// The keys of one entry of [`API_KEYS`].
pub(super) const API_KEY_ENTRY: &[&str] = &["account", "key", "keyFile", "creditNeuron"];

/// Keys that later releases have, and what to say to a host who uses one today.
pub(super) const LATER: &[(&str, &str)] = &[
    ("server.tls", "this release does not serve TLS itself; leave the section out"),
    ("network", "this release does not have the 0G network; leave the section out"),
    ("interval", "this release does not settle on a chain; leave the section out"),
    ("settlement", "this release does not settle on a chain; leave the section out"),
];

/// True for a key path that holds one value.
pub(super) fn is_value(key: &str) -> bool {
    let entry = key.strip_prefix(API_KEYS).and_then(|rest| rest.split_once("]."));
    entry.is_some_and(|(_, leaf)| API_KEY_ENTRY.contains(&leaf))
        || VALUES.iter().any(|(known, _)| *known == key)
}

/// True for the path of a key, or of a section of keys, that this program knows.
pub(super) fn exists(key: &str) -> bool {
    let known = VALUES.iter().map(|(known, _)| *known).chain(LATER.iter().map(|(known, _)| *known));
    let is_within = |known: &str| {
        known.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_value(key) || known.chain([API_KEYS]).any(is_within)
}

/// The known key that takes the fewest edits to reach from `key`, whatever the case.
pub(super) fn nearest(key: &str) -> String {
    if let Some((entry, leaf)) = key.strip_prefix(API_KEYS).and_then(|rest| rest.split_once("].")) {
        let leaf = API_KEY_ENTRY.iter().min_by_key(|known| distance(known, leaf));
        return format!("{API_KEYS}{entry}].{}", leaf.unwrap_or(&"key"));
    }
    let known = VALUES.iter().map(|(known, _)| *known).chain([API_KEYS]);
    known.min_by_key(|known| distance(known, key)).unwrap_or_default().to_owned()
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
