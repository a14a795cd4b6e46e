//! The chain, when fees are collected there, and the prices that depend on the request.

use broker_core::{Fraction, LocalSigner, Neuron, Signer};
use tee_sidecar::config::{Auth, Settings, effective};

use super::support::{file, load};

const KEY: &str = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const CONTRACT: &str = "0x0165878A594ca255338adfa4d48449f69242Eb8F";

/// A file with a network of which `change` says more.
fn network(change: &str) -> String {
    format!(
        "network: {{url: 'http://127.0.0.1:8545', chainID: 31337, privateKeys: [{KEY}], \
         contractAddress: '{CONTRACT}'}}\n{change}"
    )
}

fn wallet(settings: &Settings) -> String {
    let network = settings.network.as_ref().unwrap();
    LocalSigner::from_secret(network.wallet.expose()).unwrap().address().to_string()
}

#[test]
fn a_network_brings_session_tokens_and_the_defaults_of_0g() {
    let settings = load(&network("")).unwrap();
    assert_eq!(wallet(&settings), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    assert!(matches!(settings.auth, Auth::SessionTokens));
    let network = settings.network.unwrap();
    assert_eq!((network.url.as_str(), network.chain_id), ("http://127.0.0.1:8545", 31_337));
    assert_eq!(network.contract.to_string(), CONTRACT);
    assert_eq!((network.confirmations, network.max_gas_price), (0, None));
    let policy = settings.settlement.policy;
    assert_eq!(settings.settlement.every_secs, 300);
    assert_eq!((policy.age_millis, policy.refund_buffer_secs), (86_400_000, 18_000));
    assert_eq!(settings.settlement.min_reserve, Neuron::new(1_000_000_000_000_000_000));
    assert_eq!(policy.min_fee, Neuron::new(4_000_000_000_000_000));
    assert!(load("").unwrap().network.is_none());
}

#[test]
fn the_wallet_is_read_from_the_list_or_a_file_in_any_spelling() {
    let upper = KEY.to_uppercase();
    for list in [format!("[{KEY}]"), format!("['0x{upper}']"), format!("\n  - 0x{KEY}\n")] {
        let yaml = network("").replace(&format!("[{KEY}]"), &list);
        let yaml = if list.starts_with('[') {
            yaml
        } else {
            format!(
                "network:\n  url: http://a\n  chainID: 1\n  contractAddress: '{CONTRACT}'\n  \
                 privateKeys:{list}"
            )
        };
        let settings = load(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        assert_eq!(wallet(&settings), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "{yaml}");
    }
    for text in [format!("{KEY}\n"), format!("0x{KEY}"), format!("  {KEY}\r\n\n")] {
        let key = file(&text);
        let path = key.path().display();
        let yaml = network("")
            .replace(&format!("privateKeys: [{KEY}]"), &format!("privateKeysFile: '{path}'"));
        assert_eq!(wallet(&load(&yaml).unwrap()), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    }
}

#[test]
fn nothing_that_is_printed_shows_the_wallet() {
    let settings = load(&network("")).unwrap();
    let printed = effective(&settings);
    assert!(printed.contains("privateKeys:\n  - <secret>\n"), "{printed}");
    for text in [printed.clone(), format!("{settings:?} {settings:#?}")] {
        let bytes = hex::decode(KEY).unwrap();
        assert!(!text.contains(KEY) && !text.contains(&format!("{bytes:?}")), "{text}");
    }
    // The placeholder is no key, and the rest loads again to the same.
    let error = load(&printed).unwrap_err();
    assert_eq!(error.problems()[0].key, "network.privateKeys");
    assert!(error.to_string().contains("placeholder"), "{error}");
    let again = load(&printed.replace("<secret>", KEY)).unwrap();
    assert_eq!(effective(&again), printed);
}

#[test]
fn times_are_seconds_or_durations() {
    for (text, seconds) in
        [("600", 600), ("'600'", 600), ("600s", 600), ("10m", 600), ("1h", 3600), ("1h0m5s", 3605)]
    {
        let yaml = format!("interval: {{settlementProcessor: {text}}}");
        assert_eq!(load(&yaml).unwrap().settlement.every_secs, seconds, "{text}");
    }
    let yaml = "interval: {forceSettlementProcessor: 10m, autoSettleBufferTime: 60s}\n\
                settlement: {minSettlementFee: 18446744073709551616, owedPercentMax: 80}";
    let policy = load(yaml).unwrap().settlement.policy;
    assert_eq!((policy.age_millis, policy.refund_buffer_secs), (600_000, 60));
    assert_eq!((policy.min_fee, policy.owed_percent), (Neuron::new(1 << 64), 80));
}

#[test]
fn tiers_and_cache_prices_are_exact_fractions_and_print_so() {
    let yaml = "service:\n  tieredPricing:\n    tiers:\n\
                \x20   - {maxInputTokens: 1000}\n\
                \x20   - {maxInputTokens: 0, inputMultiplier: 1.5, outputMultiplier: 10/4}\n\
                \x20 cacheTokenBilling: {enabled: true, writeMultiplier: 1.25}\n";
    let settings = load(yaml).unwrap();
    let schedule = settings.service.tariff.schedule.clone().unwrap();
    let fraction = |numerator, denominator| Fraction { numerator, denominator };
    assert_eq!(schedule.tiers[0].input, fraction(1, 1));
    assert_eq!(schedule.tiers[1].input, fraction(3, 2));
    assert_eq!(schedule.tiers[1].output, fraction(5, 2));
    let cache = schedule.cache.unwrap();
    assert_eq!((cache.divisor, cache.write), (4, Some(fraction(5, 4))));
    assert_eq!(cache.write_1h, None);
    let printed = effective(&settings);
    let again = load(&printed).unwrap();
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
    // What is switched off has no effect.
    let off = load("service: {cacheTokenBilling: {enabled: false, divisor: 9}}").unwrap();
    assert!(off.service.tariff.schedule.is_none());
}

#[test]
fn api_keys_go_with_a_network_and_open_does_not() {
    let keys = "auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}";
    assert!(matches!(load(&network(keys)).unwrap().auth, Auth::ApiKeys(_)));
    // Session tokens name who asks, so anyone may reach the public routes.
    load(&network("server: {listen: 0.0.0.0:8080, allowPlainHttp: true}")).unwrap();
}

#[test]
fn every_bad_value_of_the_network_is_one_problem_that_names_key_and_rule() {
    for (from, to, key, rule) in BAD {
        let yaml = network("").replace(from, to);
        assert_ne!(yaml, network(""), "{from} is not there");
        let error = load(&yaml).expect_err(&yaml);
        assert_eq!(error.problems().len(), 1, "{yaml}: {error}");
        assert_eq!(error.problems()[0].key, *key, "{yaml}: {error}");
        assert!(error.to_string().contains(rule), "{yaml}: {error}");
    }
    for (more, key, rule) in BAD_ELSEWHERE {
        let yaml = network(more);
        let error = load(&yaml).expect_err(&yaml);
        assert_eq!(error.problems().len(), 1, "{yaml}: {error}");
        assert_eq!(error.problems()[0].key, *key, "{yaml}: {error}");
        assert!(error.to_string().contains(rule), "{yaml}: {error}");
    }
}

/// A part of the good section, what stands there instead, the key at fault, a part of the rule.
#[rustfmt::skip]
const BAD: &[(&str, &str, &str, &str)] = &[
    ("url: 'http://127.0.0.1:8545', ", "", "network.url", "is required"),
    ("http://127.0.0.1:8545", "ws://a", "network.url", "http:// or https://"),
    ("chainID: 31337, ", "", "network.chainID", "is required"),
    ("31337", "0", "network.chainID", "whole number from 1"),
    ("31337", "0x7a69", "network.chainID", "whole number from 1"),
    ("chainID", "chainId", "network.chainId", "nearest is network.chainID"),
    ("privateKeys: [59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d], ", "",
     "network.privateKeys", "is required, as network.privateKeys or privateKeysFile"),
    ("[59c", "[0x0x59c", "network.privateKeys", "64 hex digits"),
    ("[59c6", "[59", "network.privateKeys", "64 hex digits"),
    ("[59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d]",
     "['0000000000000000000000000000000000000000000000000000000000000000']",
     "network.privateKeys", "no secp256k1 key"),
    ("90d]", "90d, 59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d]",
     "network.privateKeys", "exactly one key"),
    ("90d]", "90d], privateKeysFile: f", "network.privateKeys", "together with"),
    ("[59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d]", "59c6",
     "network.privateKeys", "must be a list of values"),
    (", contractAddress: '0x0165878A594ca255338adfa4d48449f69242Eb8F'", "",
     "network.contractAddress", "is required"),
    ("69242Eb8F", "69242eB8F", "network.contractAddress", "the checksum of its capitals"),
    ("0x0165878A594ca255338adfa4d48449f69242Eb8F", "0x0000000000000000000000000000000000000000",
     "network.contractAddress", "must be the InferenceServing contract"),
    ("0x0165", "0165", "network.contractAddress", "0x and 40 hex digits"),
    ("chainID", "confirmations: -1, chainID", "network.confirmations", "from 0 to 10000"),
    ("chainID", "maxGasPrice: 0, chainID", "network.maxGasPrice", "above 0; leave it out"),
    ("chainID", "maxGasPrice: 1gwei, chainID", "network.maxGasPrice", "whole number of neuron"),
];

/// What stands beside the good section, the key at fault, a part of the rule.
#[rustfmt::skip]
const BAD_ELSEWHERE: &[(&str, &str, &str)] = &[
    ("auth: {mode: open}", "auth.mode", "open has no accounts"),
    ("auth: {apiKeys: [{account: a, key: k123456789abcdef}]}", "auth.apiKeys",
     "auth.mode: apiKeys"),
    ("auth: {mode: apiKeys, apiKeys: [{account: '0x0165878A594ca255338adfa4d48449f69242Eb8F', \
      key: k123456789abcdef}]}", "auth.apiKeys[0].account", "use a name that is no address"),
    ("interval: {settlementProcessor: 0}", "interval.settlementProcessor", "1 to 86400 seconds"),
    ("interval: {settlementProcessor: 5min}", "interval.settlementProcessor", "as 300, 5m"),
    ("interval: {settlementProcessor: 300000000000}", "interval.settlementProcessor", "seconds"),
    ("interval: {settlementProcessor: 500ms}", "interval.settlementProcessor", "seconds"),
    ("interval: {settlementProcessor: 1m1h}", "interval.settlementProcessor", "seconds"),
    ("interval: {settlementProcessor: ''}", "interval.settlementProcessor", "seconds"),
    ("interval: {settlementProcessor: m}", "interval.settlementProcessor", "seconds"),
    ("interval: {forceSettlementProcessor: 299}", "interval.forceSettlementProcessor",
     "must not be shorter than interval.settlementProcessor, which is 300 seconds"),
    ("interval: {autoSettleBufferTime: 169h}", "interval.autoSettleBufferTime", "1 to 604800"),
    ("interval: {settleProcessor: 1}", "interval.settleProcessor", "interval.settlementProcessor"),
    ("settlement: {minSettlementFee: 0.004}", "settlement.minSettlementFee", "number of neuron"),
    ("settlement: {minReserveNeuron: 1e18}", "settlement.minReserveNeuron", "number of neuron"),
    ("settlement: {owedPercentMax: 101}", "settlement.owedPercentMax", "from 1 to 100"),
    ("server: {allowOrigins: ['*']}", "server.allowOrigins[0]", "exact origin"),
    ("server: {allowOrigins: ['https://a/']}", "server.allowOrigins[0]", "exact origin"),
    ("server: {allowOrigins: ['https://a:443']}", "server.allowOrigins[0]", "exact origin"),
    ("service: {routes: [chat]}", "service.routes[0]", "must be one of chat/completions, "),
    ("service: {routes: [score, v1/score]}", "service.routes[1]", "in the list twice"),
    ("service: {routes: []}", "service.routes", "names no route"),
    ("service: {routes: chat}", "service.routes", "must be a list of values"),
    ("server: {allowOrigins: https://a}", "server.allowOrigins", "must be a list of values"),
    ("service: {tieredPricing: {tiers: [{inputMultiplier: 2}]}}",
     "service.tieredPricing.tiers[0].maxInputTokens", "is required"),
    ("service: {tieredPricing: {tiers: [{maxInputTokens: 0}, {maxInputTokens: 5}]}}",
     "service.tieredPricing.tiers[1].maxInputTokens", "only the last may be 0"),
    ("service: {tieredPricing: {tiers: [{maxInputTokens: 5}, {maxInputTokens: 5}]}}",
     "service.tieredPricing.tiers[1].maxInputTokens", "above that of the entry before it"),
    ("service: {tieredPricing: {tiers: [{maxInputTokens: 5, inputMultiplier: 0}]}}",
     "service.tieredPricing.tiers[0].inputMultiplier", "must be above 0"),
    ("service: {tieredPricing: {tiers: [{maxInputTokens: 5, outputMultiplier: 1/0}]}}",
     "service.tieredPricing.tiers[0].outputMultiplier", "as 2, 1.5 or 3/2"),
    ("service: {tieredPricing: {tiers: [{maxTokens: 5}]}}",
     "service.tieredPricing.tiers[0].maxTokens", "nearest is service.tieredPricing.tiers[0].max"),
    ("service: {tieredPricing: {tiers: 5}}", "service.tieredPricing.tiers", "list of entries"),
    ("service: {cacheTokenBilling: {enabled: true, divisor: 0}}",
     "service.cacheTokenBilling.divisor", "from 1 to"),
    ("service: {cacheTokenBilling: {enabled: true, writeMultiplier: .5}}",
     "service.cacheTokenBilling.writeMultiplier", "must be above 0"),
];
