//! What the environment may set, and how.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use tee_sidecar::config::{Auth, Settings, effective};

use super::support::{file, load_with, paths, program, stderr, stdout};

#[test]
fn every_key_can_be_set_and_has_an_effect() {
    let defaults = effective(&Settings::load(None, []).unwrap());
    for (name, value, line) in SETS {
        // Keys that go with others only: in a file that has the others.
        let yaml = match name {
            name if name.contains("__NETWORK__PRIVATEKEYS") => WITHOUT_KEY,
            name if name.contains("__NETWORK__") => ON_NETWORK,
            name if name.contains("__CACHETOKENBILLING__") => WITH_CACHE,
            name if name.contains("__TLS__") => WITH_TLS,
            _ => "",
        };
        let settings = load_with(yaml, &[(name, value)]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let printed = effective(&settings);
        assert!(printed.contains(line), "{name}: {printed}");
        assert!(!defaults.contains(line), "{name}: {line} is the default");
        let lower = name.to_ascii_lowercase();
        assert_eq!(effective(&load_with(yaml, &[(&lower, value)]).unwrap()), printed, "{lower}");
    }
}

const WITHOUT_KEY: &str = "network: {url: http://a, chainID: 1, \
    contractAddress: 0x0165878A594ca255338adfa4d48449f69242Eb8F}";
const ON_NETWORK: &str = "network: {url: http://a, chainID: 1, \
    privateKeys: [0x1111111111111111111111111111111111111111111111111111111111111111], \
    contractAddress: 0x0165878A594ca255338adfa4d48449f69242Eb8F}";
const WITH_TLS: &str = "server: {tls: {certFile: cert.pem, keyFile: key.pem}}";
const WITH_CACHE: &str = "service: {cacheTokenBilling: {enabled: true}}";

#[test]
fn the_table_of_effects_has_every_key() {
    let printed = effective(&Settings::load(None, []).unwrap());
    for key in paths(&serde_yaml_ng::from_str(&printed).unwrap()) {
        let name = format!("SIDECAR__{}", key.replace('.', "__").to_ascii_uppercase());
        let is_set = SETS.iter().any(|(set, ..)| *set == name);
        // Whether the mode may be changed depends on the list, which only a file can hold.
        // The other list of objects is in the file only, too.
        let in_file = key.starts_with("auth.") || key == "service.tieredPricing.tiers";
        assert!(is_set || in_file, "{name} is not in the table");
    }
}

#[test]
fn the_mode_is_set_for_the_keys_of_the_file() {
    let yaml = "auth: {mode: open, apiKeys: [{account: a, key: k123456789abcdef}]}";
    let settings = load_with(yaml, &[("SIDECAR__AUTH__MODE", "apiKeys")]).unwrap();
    assert!(matches!(settings.auth, Auth::ApiKeys(keys) if keys.len() == 1));
}

#[test]
fn the_environment_wins_over_the_file() {
    let yaml = "servingUrl: http://file\nlimits: {concurrentMax: 7, clientIdleSecs: 0}";
    let settings = load_with(
        yaml,
        &[
            ("SIDECAR__LIMITS__CONCURRENTMAX", "8"),
            ("SIDECAR__LIMITS__CLIENTIDLESECS", "9"),
            ("SIDECAR__SERVICE__SERVINGURL", "http://env"),
        ],
    )
    .unwrap();
    assert_eq!(settings.limits.concurrent_max, 8);
    assert_eq!(settings.limits.client_idle_secs, 9);
    assert_eq!(settings.service.serving_url.as_deref(), Some("http://env"));
}

#[test]
fn a_token_from_the_environment_stays_text() {
    for token in ["0123", "true", "null", "~", "1e3"] {
        let settings = load_with("", &[("SIDECAR__ADMIN__TOKEN", token)]).unwrap();
        assert_eq!(settings.admin_token.unwrap().expose(), token);
    }
}

#[test]
fn a_token_file_from_the_environment_is_read() {
    let token = file("from-a-file\n");
    let path = token.path().to_str().unwrap();
    let settings = load_with("", &[("SIDECAR__ADMIN__TOKENFILE", path)]).unwrap();
    assert_eq!(settings.admin_token.unwrap().expose(), "from-a-file");
}

#[test]
fn what_the_environment_sets_wrongly_is_named() {
    for (env, key, rule) in REFUSED {
        let error = load_with("", env).expect_err(key);
        let problem = &error.problems()[0];
        assert_eq!(problem.key, *key, "{error}");
        assert!(error.to_string().contains(rule), "{error}");
    }
}

#[test]
fn names_of_others_are_none_of_our_business() {
    let env = [
        ("SIDECAR_EVIDENCE_DIR", "x"),
        ("SIDECAR", "x"),
        ("SIDECAR_SERVER__LISTEN", "x"),
        ("MY_SIDECAR__SERVER__LISTEN", "x"),
        ("PATH", "/bin"),
    ];
    load_with("", &env).unwrap();
}

#[test]
fn bytes_that_are_no_text_are_refused_only_where_they_are_ours() {
    let bytes = OsString::from_vec(vec![0xff, 0xfe]);
    Settings::load(None, [(OsString::from("OTHER"), bytes.clone())]).unwrap();
    Settings::load(None, [(bytes.clone(), OsString::from("x"))]).unwrap();
    let ours = [(OsString::from("SIDECAR__UPSTREAM__MODEL"), bytes)];
    let error = Settings::load(None, ours).unwrap_err();
    assert!(error.to_string().contains("SIDECAR__UPSTREAM__MODEL: must be UTF-8"), "{error}");
}

#[test]
fn the_program_reads_its_environment() {
    let output = program(&["check-config"], &[("SIDECAR__LIMITS__CONCURRENTMAX", "12345")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("concurrentMax: 12345\n"));
    let output = program(&["check-config"], &[("SIDECAR__LIMITS__CONCURENTMAX", "12345")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("nearest is SIDECAR__LIMITS__CONCURRENTMAX"));
}

/// A variable, its value, and a line of the printed configuration.
#[rustfmt::skip]
const SETS: &[(&str, &str, &str)] = &[
    ("SIDECAR__SERVER__LISTEN", "127.0.0.1:81", "listen: 127.0.0.1:81\n"),
    ("SIDECAR__SERVER__ADMINLISTEN", "127.0.0.1:82", "adminListen: 127.0.0.1:82\n"),
    ("SIDECAR__SERVER__ALLOWPLAINHTTP", "true", "allowPlainHttp: true\n"),
    ("SIDECAR__SERVER__ALLOWORIGINS", "https://a.b, http://c:8000",
     "allowOrigins:\n  - https://a.b\n  - http://c:8000\n"),
    ("SIDECAR__SERVICE__ROUTES", "score, tokenize", "routes:\n  - score\n  - tokenize\n"),
    ("SIDECAR__SERVER__TLS__CERTFILE", "/tls/cert.pem", "certFile: /tls/cert.pem\n"),
    ("SIDECAR__SERVER__TLS__KEYFILE", "/tls/key.pem", "keyFile: /tls/key.pem\n"),
    ("SIDECAR__SERVER__DRAINSECS", "600", "drainSecs: 600\n"),
    ("SIDECAR__UPSTREAM__URL", "http://engine/v1", "url: http://engine\n"),
    ("SIDECAR__UPSTREAM__URLS", "http://a/v1, http://b", "url: http://a\n  urls:\n  - http://b\n"),
    ("SIDECAR__UPSTREAM__MODEL", "0123", "model: '0123'\n"),
    ("SIDECAR__UPSTREAM__CACHESALT", "account", "cacheSalt: account\n"),
    ("SIDECAR__LIMITS__ROUTEBYTESMAX", "score = 64, /v1/images/edits=1073741824",
     "routeBytesMax:\n  - score=64\n  - images/edits=1073741824\n"),
    ("SIDECAR__UPSTREAM__ONDISCONNECT", "drain", "onDisconnect: drain\n"),
    ("SIDECAR__TEE__PROVIDER", "tdx", "provider: tdx\n"),
    ("SIDECAR__GPU__PROVIDER", "none", "provider: none\n"),
    ("SIDECAR__LEDGER__URL", "sqlite://a.db", "url: sqlite://a.db\n"),
    ("SIDECAR__LEDGER__STATEDIR", "/state", "stateDir: /state\n"),
    ("SIDECAR__LEDGER__RETENTIONDAYS", "30", "retentionDays: 30\n"),
    ("SIDECAR__LEDGER__ARCHIVEDIR", "/archive", "archiveDir: /archive\n"),
    ("SIDECAR__SERVINGURL", "http://me", "servingUrl: http://me\n"),
    ("SIDECAR__SERVICE__SERVINGURL", "http://me", "servingUrl: http://me\n"),
    ("SIDECAR__SERVICE__TYPE", "image", "type: image\n"),
    ("SIDECAR__SERVICE__MODEL", "true", "model: 'true'\n"),
    ("SIDECAR__SERVICE__VERIFIABILITY", "None", "verifiability: None\n"),
    ("SIDECAR__SERVICE__INPUTPRICE", "18446744073709551616",
     "inputPrice: '18446744073709551616'\n"),
    ("SIDECAR__SERVICE__OUTPUTPRICE", "2", "outputPrice: '2'\n"),
    ("SIDECAR__SERVICE__CACHETOKENBILLING__ENABLED", "true", "enabled: true\n"),
    ("SIDECAR__SERVICE__CACHETOKENBILLING__DIVISOR", "10", "divisor: 10\n"),
    ("SIDECAR__SERVICE__CACHETOKENBILLING__WRITEMULTIPLIER", "1.25", "writeMultiplier: 5/4\n"),
    ("SIDECAR__SERVICE__CACHETOKENBILLING__WRITE1HMULTIPLIER", "2", "write1hMultiplier: '2'\n"),
    ("SIDECAR__NETWORK__URL", "https://chain", "url: https://chain\n"),
    ("SIDECAR__NETWORK__CHAINID", "16661", "chainID: 16661\n"),
    ("SIDECAR__NETWORK__PRIVATEKEYS",
     "0x2222222222222222222222222222222222222222222222222222222222222222",
     "privateKeys:\n  - <secret>\n"),
    ("SIDECAR__NETWORK__CONTRACTADDRESS", "0x47340d900bdFec2BD393c626E12ea0656F938d84",
     "contractAddress: 0x47340d900bdFec2BD393c626E12ea0656F938d84\n"),
    ("SIDECAR__NETWORK__CONFIRMATIONS", "0", "confirmations: 0\n"),
    ("SIDECAR__NETWORK__MAXGASPRICE", "7", "maxGasPrice: '7'\n"),
    ("SIDECAR__INTERVAL__SETTLEMENTPROCESSOR", "5m1s", "settlementProcessor: 301\n"),
    ("SIDECAR__INTERVAL__FORCESETTLEMENTPROCESSOR", "600", "forceSettlementProcessor: 600\n"),
    ("SIDECAR__INTERVAL__AUTOSETTLEBUFFERTIME", "1h", "autoSettleBufferTime: 3600\n"),
    ("SIDECAR__SETTLEMENT__MINSETTLEMENTFEE", "5", "minSettlementFee: '5'\n"),
    ("SIDECAR__SETTLEMENT__MINRESERVENEURON", "6", "minReserveNeuron: '6'\n"),
    ("SIDECAR__SETTLEMENT__OWEDPERCENTMAX", "7", "owedPercentMax: 7\n"),
    ("SIDECAR__ADMIN__TOKEN", "t", "token: <secret>\n"),
    ("SIDECAR__LIMITS__REQUESTBYTESMAX", "64", "requestBytesMax: 64\n"),
    ("SIDECAR__LIMITS__CONCURRENTMAX", "3", "concurrentMax: 3\n"),
    ("SIDECAR__LIMITS__CONCURRENTPERACCOUNTMAX", "4", "concurrentPerAccountMax: 4\n"),
    ("SIDECAR__LIMITS__REQUESTSPERMINUTE", "5", "requestsPerMinute: 5\n"),
    ("SIDECAR__LIMITS__TOKENSPERMINUTE", "6", "tokensPerMinute: 6\n"),
    ("SIDECAR__LIMITS__UPSTREAMCONNECTSECS", "7", "upstreamConnectSecs: 7\n"),
    ("SIDECAR__LIMITS__UPSTREAMIDLESECS", "8", "upstreamIdleSecs: 8\n"),
    ("SIDECAR__LIMITS__CLIENTIDLESECS", "9", "clientIdleSecs: 9\n"),
    ("SIDECAR__LOG__FORMAT", "json", "format: json\n"),
    ("SIDECAR__LOG__FILTER", "debug", "filter: debug\n"),
    ("SIDECAR__TRACING__OTLPENDPOINT", "http://c:4318", "otlpEndpoint: http://c:4318\n"),
    ("SIDECAR__TRACING__OTLPHEADERS", "a=b", "otlpHeaders: <secret>\n"),
    ("SIDECAR__TRACING__SAMPLERATIO", "0.25", "sampleRatio: 1/4\n"),
];

/// An environment, what is named in the error, and a part of the rule.
type Refused = (&'static [(&'static str, &'static str)], &'static str, &'static str);

#[rustfmt::skip]
const REFUSED: &[Refused] = &[
    (&[("SIDECAR__LIMITS__CONCURRENTMAX", "0")], "limits.concurrentMax",
     "\"0\": must be a whole number from 1 to 100000 (the value is from the environment)"),
    (&[("SIDECAR__LIMITS__CONCURENTMAX", "5")], "SIDECAR__LIMITS__CONCURENTMAX",
     "nearest is SIDECAR__LIMITS__CONCURRENTMAX"),
    (&[("SIDECAR__SERVER_LISTEN", "5")], "SIDECAR__SERVER_LISTEN",
     "nearest is SIDECAR__SERVER__LISTEN"),
    (&[("SIDECAR__", "5")], "SIDECAR__", "sets no known key"),
    (&[("SIDECAR__SERVER", "5")], "SIDECAR__SERVER", "sets no known key"),
    (&[("SIDECAR__SERVER__ALLOWPLAINHTTP", "1")], "server.allowPlainHttp", "true, false"),
    (&[("SIDECAR__UPSTREAM__MODEL", "")], "upstream.model", "1 to 256 characters"),
    (&[("SIDECAR__AUTH__MODE", "apiKeys")], "auth.apiKeys", "must have an entry"),
    (&[("SIDECAR__AUTH__APIKEYS", "a,b")], "SIDECAR__AUTH__APIKEYS",
     "a list of objects, which the environment cannot set"),
    (&[("SIDECAR__AUTH__APIKEYS__0__KEY", "a")], "SIDECAR__AUTH__APIKEYS__0__KEY", "keyFile"),
    (&[("SIDECAR__NETWORK__PRIVATEKEYS", "a")], "network.privateKeys",
     "64 hex digits, with or without 0x (the value is from the environment)"),
    (&[("SIDECAR__NETWORK__PRIVATEKEYS", "a,b")], "network.privateKeys", "exactly one key"),
    (&[("SIDECAR__SERVICE__TIEREDPRICING__TIERS__0__MAXINPUTTOKENS", "1")],
     "SIDECAR__SERVICE__TIEREDPRICING__TIERS__0__MAXINPUTTOKENS", "the environment cannot set"),
    (&[("SIDECAR__SERVER__ALLOWORIGINS", "https://a,*")], "server.allowOrigins[1]",
     "\"*\": must be an exact origin"),
    (&[("SIDECAR__SERVER__TLS__CERTFILE", "a")], "server.tls.keyFile",
     "is required with server.tls.certFile"),
    (&[("SIDECAR__INTERVAL__SETTLE", "a")], "SIDECAR__INTERVAL__SETTLE", "sets no known key"),
    (&[("SIDECAR__LOG__FORMAT", "text"), ("sidecar__log__format", "json")], "log.format",
     "sets it twice"),
    (&[("SIDECAR__SERVINGURL", "http://a"), ("SIDECAR__SERVICE__SERVINGURL", "http://b")],
     "service.servingUrl", "sets it twice"),
];
