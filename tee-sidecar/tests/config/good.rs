//! What is accepted, and what becomes of it.

use std::path::Path;

use broker_core::{Cover, Neuron};
use tee_sidecar::config::{
    Auth, GpuProvider, LedgerUrl, LogFormat, OnDisconnect, Settings, TeeProvider, changed,
    effective,
};
use tee_sidecar::route::Route;

use super::support::{file, load};

#[test]
fn routes_are_named_with_or_without_v1() {
    for text in ["[tokenize, images/edits]", "[/v1/tokenize, v1/images/edits]"] {
        let settings = load(&format!("service: {{routes: {text}}}")).unwrap();
        assert_eq!(settings.service.routes, [Route::Tokenize, Route::ImageEdits], "{text}");
    }
}

#[test]
fn without_a_file_or_with_an_empty_one_the_defaults_hold() {
    let settings = Settings::load(None, []).unwrap();
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.admin_listen.to_string(), "127.0.0.1:3080");
    assert_eq!(settings.upstream.url, "http://127.0.0.1:8000");
    assert_eq!(settings.upstream.model, None);
    assert_eq!(settings.upstream.on_disconnect, OnDisconnect::Abort);
    assert_eq!((settings.tee, settings.gpu), (TeeProvider::Auto, GpuProvider::Auto));
    let LedgerUrl::Sqlite(path) = &settings.ledger else { panic!("{:?}", settings.ledger) };
    assert_eq!(path, Path::new("./data/ledger.db"));
    assert_eq!(settings.state_dir(), Path::new("./data"));
    assert_eq!(settings.service.kind, "chatbot");
    assert_eq!(settings.service.verifiability, "TeeML");
    assert!(settings.service.tariff.input_price.is_zero());
    assert_eq!(settings.service.routes, Route::BY_DEFAULT);
    assert!(matches!(settings.auth, Auth::Open));
    assert!(settings.admin_token.is_none());
    assert_eq!(settings.limits.request_bytes_max, 32 << 20);
    assert_eq!(settings.limits.requests_per_minute, None);
    assert_eq!((settings.log.format, settings.log.filter.as_str()), (LogFormat::Text, "info"));

    let defaults = effective(&settings);
    for yaml in ["", "# nothing\n", "---\n", "~", "server:\nlimits: ~\nauth: {apiKeys: }\n", "{}"] {
        assert_eq!(effective(&load(yaml).unwrap()), defaults, "{yaml:?}");
    }
}

#[test]
fn prices_are_exact_whatever_their_size_and_quotes() {
    let largest = u128::MAX.to_string();
    for (text, price) in [
        ("7", 7),
        ("'7'", 7),
        ("18446744073709551616", 1 << 64),
        (largest.as_str(), u128::MAX),
        ("9007199254740993", 9_007_199_254_740_993),
    ] {
        let settings = load(&format!("service: {{inputPrice: {text}}}")).unwrap();
        assert_eq!(settings.service.tariff.input_price, Neuron::new(price), "{text}");
    }
}

#[test]
fn the_engines_address_is_kept_without_slash_and_v1() {
    for (text, url) in [
        ("http://engine:8000", "http://engine:8000"),
        ("http://engine:8000/", "http://engine:8000"),
        ("http://engine:8000/v1", "http://engine:8000"),
        ("http://engine:8000/v1/", "http://engine:8000"),
        ("https://host/engine/v1", "https://host/engine"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://host/v10", "http://host/v10"),
    ] {
        let settings = load(&format!("upstream: {{url: '{text}'}}")).unwrap();
        assert_eq!(settings.upstream.url, url);
    }
}

#[test]
fn engines_are_one_address_or_a_list_or_both() {
    for (yaml, engines) in [
        ("{}", vec!["http://127.0.0.1:8000"]),
        ("{urls: []}", vec!["http://127.0.0.1:8000"]),
        ("{url: http://a}", vec!["http://a"]),
        ("{urls: [http://a/v1, http://b]}", vec!["http://a", "http://b"]),
        ("{url: http://a, urls: [http://b]}", vec!["http://a", "http://b"]),
        ("{url: http://b, urls: [http://a, http://b/v1]}", vec!["http://b", "http://a"]),
    ] {
        let settings = load(&format!("upstream: {yaml}")).unwrap();
        assert_eq!(settings.upstream.engines(), engines, "{yaml}");
        let again = load(&effective(&settings)).unwrap();
        assert_eq!(again.upstream.engines(), engines, "{yaml}");
    }
    let many = |count: u32| -> String { (0..count).map(|n| format!("'http://e{n}',")).collect() };
    assert!(load(&format!("upstream: {{urls: [{}]}}", many(64))).is_ok());
    assert!(load(&format!("upstream: {{urls: [{}]}}", many(65))).is_err());
}

#[test]
fn a_route_has_its_own_limit_or_that_of_all() {
    let limits =
        load("limits: {requestBytesMax: 100, routeBytesMax: [score=64, images/edits=999]}");
    let limits = limits.unwrap().limits;
    for route in Route::ALL {
        let expected = match route {
            Route::Score => 64,
            Route::ImageEdits => 999,
            _ => 100,
        };
        assert_eq!(limits.body_bytes_max(route), expected, "{route:?}");
    }
}

#[test]
fn the_serving_address_has_two_names_that_must_agree() {
    for yaml in [
        "servingUrl: https://me",
        "service: {servingUrl: https://me}",
        "servingUrl: https://me\nservice: {servingUrl: https://me}",
    ] {
        assert_eq!(load(yaml).unwrap().service.serving_url.as_deref(), Some("https://me"));
    }
}

#[test]
fn a_secret_is_the_text_as_written() {
    // YAML would read these as numbers, truths and dates.
    for token in ["0123", "true", "1.50", "0x10", "2026-01-01", "1_000"] {
        let settings = load(&format!("admin: {{token: {token}}}")).unwrap();
        assert_eq!(settings.admin_token.unwrap().expose(), token);
    }
}

#[test]
fn a_secret_file_loses_one_line_end() {
    for (text, secret) in
        [("token\n", "token"), ("token\r\n", "token"), ("token", "token"), ("0123\n", "0123")]
    {
        let token = file(text);
        let yaml = format!("admin: {{tokenFile: '{}'}}", token.path().display());
        assert_eq!(load(&yaml).unwrap().admin_token.unwrap().expose(), secret);
    }
    for text in ["", "\n", "token\n\n", "to ken\n"] {
        let token = file(text);
        let yaml = format!("admin: {{tokenFile: '{}'}}", token.path().display());
        assert_eq!(load(&yaml).unwrap_err().problems()[0].key, "admin.tokenFile", "{text:?}");
    }
}

#[test]
fn api_keys_have_accounts_and_covers() {
    let key = file("0000000000000003\n");
    let yaml = format!(
        "auth:\n  mode: apiKeys\n  apiKeys:\n\
         \x20 - {{account: alice, key: 0000000000000001, creditNeuron: 18446744073709551616}}\n\
         \x20 - {{account: alice, key: 0000000000000002, creditNeuron: '18446744073709551616'}}\n\
         \x20 - {{account: bob, keyFile: '{}'}}\n",
        key.path().display()
    );
    let Auth::ApiKeys(keys) = load(&yaml).unwrap().auth else { panic!("the mode is apiKeys") };
    let keys: Vec<_> = keys.iter().map(|k| (k.account.as_str(), k.key.expose(), k.cover)).collect();
    let credit = Cover::UpTo(Neuron::new(1 << 64));
    assert_eq!(
        keys,
        [
            ("alice", &"0000000000000001".to_owned(), credit),
            ("alice", &"0000000000000002".to_owned(), credit),
            ("bob", &"0000000000000003".to_owned(), Cover::Unlimited),
        ]
    );
}

#[test]
fn a_listener_may_be_reachable_when_the_host_has_asked_for_it() {
    let settings = load(concat!(
        "server: {listen: 0.0.0.0:8080, adminListen: '[::]:3080', allowPlainHttp: true}\n",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}\n",
        "admin: {token: t}\n",
    ));
    assert!(settings.unwrap().server.allow_plain_http);
    let settings = load(concat!(
        "server: {listen: 0.0.0.0:8080, adminListen: '[::]:3080',\n",
        "  tls: {certFile: c, keyFile: k}}\n",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}\n",
        "admin: {token: t}\n",
    ));
    assert!(!settings.unwrap().server.allow_plain_http);
    // Port 0 lets the system choose, so two of them never collide.
    load("server: {listen: 127.0.0.1:0, adminListen: 127.0.0.1:0}").unwrap();
    load("server: {listen: 127.0.0.2:80, adminListen: '[::1]:80'}").unwrap();
}

#[test]
fn what_differs_between_two_configurations_is_named_and_never_shown() {
    let base = "admin: {token: secret-1}\nservice: {inputPrice: 7}\n\
                auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}\n";
    let old = load(base).unwrap();
    assert_eq!(changed(&old, &load(base).unwrap()), Vec::<String>::new());
    for (from, to, keys) in [
        ("secret-1", "secret-2", vec!["admin.token"]),
        ("k123456789abcdef", "k123456789abcdeF", vec!["auth.apiKeys"]),
        ("account: a", "account: b", vec!["auth.apiKeys"]),
        ("Price: 7", "Price: 8", vec!["service.inputPrice"]),
        (
            "service:",
            "server: {tls: {certFile: a, keyFile: b}}\nservice:",
            vec!["server.tls.certFile", "server.tls.keyFile"],
        ),
    ] {
        assert_eq!(changed(&old, &load(&base.replace(from, to)).unwrap()), keys, "{to}");
    }
    let [one, other] = ["one", "other"].map(|password| {
        load(&format!("ledger: {{url: 'postgres://u:{password}@127.0.0.1/d'}}")).unwrap()
    });
    assert_eq!(changed(&one, &other), ["ledger.url"]);
}

#[cfg(feature = "simulator")]
#[test]
fn a_build_with_the_simulator_may_simulate() {
    let settings = load("tee: {provider: simulated}\ngpu: {provider: simulated}").unwrap();
    assert_eq!(settings.tee, TeeProvider::Simulated);
    assert_eq!(settings.gpu, GpuProvider::Simulated);
}

#[test]
fn what_is_printed_loads_again_to_the_same() {
    for yaml in [
        "",
        "servingUrl: https://me\nupstream: {model: 'true', onDisconnect: drain}\n\
         limits: {requestsPerMinute: 60, tokensPerMinute: 100000}\n\
         service: {inputPrice: 340282366920938463463374607431768211455, model: '0123'}\n\
         ledger: {url: 'sqlite:///var/lib/ledger.db'}\n\
         server: {drainSecs: 0, tls: {certFile: /a/cert.pem, keyFile: /a/key.pem}}\n\
         log: {format: json, filter: 'info,a=debug'}\n\
         tracing: {otlpEndpoint: 'http://c:4318', sampleRatio: 0.05}\n",
    ] {
        let settings = load(yaml).unwrap();
        let printed = effective(&settings);
        let again = load(&printed).unwrap();
        assert_eq!(effective(&again), printed);
        assert_eq!(format!("{again:?}"), format!("{settings:?}"));
    }
}
