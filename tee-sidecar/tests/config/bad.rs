//! The table of bad configurations: each names its key, its value and the rule it breaks.

use super::support::{load, program_with, stderr};

#[test]
fn every_bad_value_is_reported_as_key_value_and_rule() {
    for (yaml, key, value, rule) in BAD {
        let error = load(yaml).expect_err(yaml);
        let problem = error.problems().iter().find(|problem| problem.key == *key);
        let problem = problem.unwrap_or_else(|| panic!("{yaml}: {key} is not in {error}"));
        assert_eq!(problem.value.as_deref(), *value, "{yaml}");
        assert!(problem.rule.contains(rule), "{yaml}: {problem} lacks {rule:?}");
        let line = error.to_string();
        assert!(line.contains(key) && line.contains(rule), "{yaml}: {line}");
    }
}

#[test]
fn a_bad_value_is_one_problem_and_no_second_one_follows_from_it() {
    for (yaml, ..) in BAD {
        // A reachable address breaks the rule of its listener and that of the mode `open`.
        if !yaml.contains("0.0.0.0") {
            let error = load(yaml).expect_err(yaml);
            assert_eq!(error.problems().len(), 1, "{yaml}: {error}");
        }
    }
}

#[test]
fn all_bad_values_of_a_file_are_reported_together() {
    let error = load(concat!(
        "server: {listen: nowhere}\n",
        "upstream: {url: ftp://engine}\n",
        "network: {privateKeys: [short]}\n",
        "limits: {concurrentMax: 0, clientIdleSecs: soon}\n",
        "auth: {mode: apiKeys, apiKeys: [{account: a, key: short}, {key: short}]}\n",
        "log: {format: xml}\n",
    ));
    let keys: Vec<String> =
        error.unwrap_err().problems().iter().map(|problem| problem.key.clone()).collect();
    assert_eq!(
        keys,
        [
            "server.listen",
            "upstream.url",
            "network.privateKeys",
            "network.url",
            "network.chainID",
            "network.contractAddress",
            "auth.apiKeys[0].key",
            "auth.apiKeys[1].account",
            "auth.apiKeys[1].key",
            "limits.concurrentMax",
            "limits.clientIdleSecs",
            "log.format",
        ]
    );
}

#[test]
fn the_program_refuses_bad_values_with_64_and_names_them() {
    for (yaml, key, _, rule) in BAD.iter().step_by(4) {
        for command in ["serve", "check-config"] {
            let output = program_with(&[command], yaml);
            let text = stderr(&output);
            assert_eq!(output.status.code(), Some(64), "{command} {yaml}: {text}");
            assert!(text.lines().all(|line| line.starts_with("tee-sidecar: ")), "{text}");
            assert!(text.contains(key) && text.contains(rule), "{yaml}: {text}");
            assert!(output.stdout.is_empty(), "{yaml}");
        }
    }
}

/// YAML, the key at fault, its value as shown, and a part of the rule.
type Row = (&'static str, &'static str, Option<&'static str>, &'static str);

#[rustfmt::skip]
const BAD: &[Row] = &[
    // The shape.
    ("limits: {concurentMax: 5}", "limits.concurentMax", None, "nearest is limits.concurrentMax"),
    ("servingURL: http://h", "servingURL", None, "nearest is servingUrl"),
    ("limits:\n  clientIdleSecs: 1\n  clientIdle: 1", "limits.clientIdle", None, "(line 3)"),
    ("auth: {mode: apiKeys, apiKeys: [{acount: a}]}", "auth.apiKeys[0].acount", None,
     "nearest is auth.apiKeys[0].account"),
    ("server: {tlss: {}}", "server.tlss", None, "is no key of this program"),
    ("networks: {ethereum0g: {}}", "networks", None, "write network with url, chainID"),
    ("network: {transactionLimit: 1}", "network.transactionLimit", None, "gas is estimated"),
    ("upstream: {url: http://a, url: http://b}", "upstream.url", None, "more than once"),
    ("log: {format: text}\nlog: {format: json}", "log", None, "more than once"),
    ("limits: 7", "limits", None, "must be a section"),
    ("limits: [1]", "limits", None, "must be a section"),
    ("server: {listen: [a]}", "server.listen", None, "must be one value"),
    ("log: {format: {a: b}}", "log.format", None, "must be one value"),
    ("auth: {apiKeys: alice}", "auth.apiKeys", None, "must be a list"),
    ("auth: {apiKeys: [alice]}", "auth.apiKeys[0]", None, "must be a section"),
    ("just text", "configuration", None, "is a mapping of keys to values"),
    ("- a", "configuration", None, "is a mapping of keys to values"),
    ("\tlog: {}", "configuration", None, "is no valid YAML"),
    ("log: {}\n---\nlog: {}", "configuration", None, "is no valid YAML"),
    ("admin:\n  {token:secret-that-stuck: }", "configuration", None, "malformed key"),
    // server
    ("server: {listen: localhost:8080}", "server.listen", Some("localhost:8080"), "an IP address"),
    ("server: {listen: 127.0.0.1}", "server.listen", Some("127.0.0.1"), "and a port"),
    ("server: {listen: 127.0.0.1:99999}", "server.listen", Some("127.0.0.1:99999"), "and a port"),
    ("server: {adminListen: ':80'}", "server.adminListen", Some(":80"), "an IP address"),
    ("server: {listen: 0.0.0.0:8080}", "server.listen", Some("0.0.0.0:8080"),
     "needs server.allowPlainHttp: true"),
    ("server: {listen: '[::]:8080'}\n\
      auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}", "server.listen",
     Some("[::]:8080"), "needs server.allowPlainHttp: true"),
    ("server: {adminListen: 0.0.0.0:3080}\nadmin: {token: t}", "server.adminListen",
     Some("0.0.0.0:3080"), "needs server.allowPlainHttp: true"),
    ("server: {tls: {keyFile: b}}", "server.tls.certFile", None, "with server.tls.keyFile"),
    ("server: {tls: {certFile: a/, keyFile: b}}", "server.tls.certFile", Some("a/"), "of a file"),
    ("server: {tls: {certFile: a, keyFile: ''}}", "server.tls.keyFile", Some(""), "of a file"),
    ("server: {tls: {certFile: a, keyFile: a}}", "server.tls.certFile", Some("a"), "another file"),
    ("server: {tls: {certFile: a.pem, keyFile: a.csr}}", "server.tls.certFile", Some("a.pem"),
     "another file"),
    ("server: {tls: {certFile: a.csr, keyFile: b}}", "server.tls.certFile", Some("a.csr"),
     "must not end in .csr"),
    ("server: {tls: {cert: a}}", "server.tls.cert", None, "nearest is server.tls.certFile"),
    ("server: {drainSecs: 3601}", "server.drainSecs", Some("3601"), "from 0 to 3600"),
    ("server: {allowPlainHttp: yes}", "server.allowPlainHttp", Some("yes"), "true, false"),
    ("server: {listen: 127.0.0.1:3080}", "server.adminListen", None, "must differ"),
    ("server: {adminListen: 127.0.0.1:8080}", "server.adminListen", Some("127.0.0.1:8080"),
     "must differ"),
    // upstream
    ("upstream: {url: 127.0.0.1:8000}", "upstream.url", Some("127.0.0.1:8000"),
     "http:// or https://"),
    ("upstream: {url: ftp://engine}", "upstream.url", Some("ftp://engine"), "http:// or https://"),
    ("upstream: {url: 'http://'}", "upstream.url", Some("http://"), "with a host"),
    ("upstream: {url: ''}", "upstream.url", Some(""), "with a host"),
    ("upstream: {url: http://me:pass@engine}", "upstream.url", None, "no credentials"),
    ("upstream: {url: 'http://engine?key=1'}", "upstream.url", None, "no credentials, query"),
    ("upstream: {url: 'http://engine#a'}", "upstream.url", Some("http://engine#a"), "or fragment"),
    ("upstream: {url: 'http://en gine'}", "upstream.url", Some("http://en gine"), "with a host"),
    ("upstream: {urls: http://a}", "upstream.urls", None, "must be a list"),
    ("upstream: {urls: [http://a, ftp://b]}", "upstream.urls[1]", Some("ftp://b"), "https://"),
    ("upstream: {urls: [http://a, http://a/v1]}", "upstream.urls[1]", Some("http://a/v1"), "twice"),
    ("upstream: {url: http://a, urls: [http://me:pass@b]}", "upstream.urls[0]", None,
     "no credentials"),
    ("upstream: {model: ''}", "upstream.model", Some(""), "1 to 256 characters"),
    ("upstream: {model: 'a b'}", "upstream.model", Some("a b"), "without spaces"),
    ("upstream: {cacheSalt: true}", "upstream.cacheSalt", Some("true"), "auto, account, none"),
    ("upstream: {onDisconnect: ignore}", "upstream.onDisconnect", Some("ignore"), "abort, drain"),
    // providers
    ("tee: {provider: sgx}", "tee.provider", Some("sgx"), "auto, tdx, dstack, simulated"),
    ("tee: {provider: TDX}", "tee.provider", Some("TDX"), "must be one of"),
    ("gpu: {provider: h100}", "gpu.provider", Some("h100"), "auto, nvml, none, simulated"),
    #[cfg(not(feature = "simulator"))]
    ("tee: {provider: simulated}", "tee.provider", Some("simulated"), "cargo feature `simulator`"),
    #[cfg(not(feature = "simulator"))]
    ("gpu: {provider: simulated}", "gpu.provider", Some("simulated"), "cargo feature `simulator`"),
    // ledger
    ("ledger: {url: ledger.db}", "ledger.url", Some("ledger.db"), "sqlite://PATH"),
    ("ledger: {url: 'sqlite://'}", "ledger.url", Some("sqlite://"), "path of a file"),
    ("ledger: {url: 'sqlite://:memory:'}", "ledger.url", Some("sqlite://:memory:"), "of a file"),
    ("ledger: {url: 'sqlite://file:a'}", "ledger.url", Some("sqlite://file:a"), "of a file"),
    ("ledger: {url: 'sqlite://./data/'}", "ledger.url", Some("sqlite://./data/"), "of a file"),
    ("ledger: {url: 'postgres:///ledger'}", "ledger.url", None, "must be postgres://USER:"),
    ("ledger: {url: 'postgres://db/a b'}", "ledger.url", None, "without spaces"),
    ("ledger: {url: 'postgres://me:<secret>@db/a'}", "ledger.url", None, "the placeholder"),
    ("ledger: {url: 'sqlite://a', urlFile: b}", "ledger.url", None, "not be given together with"),
    ("ledger: {urlFile: /nowhere}", "ledger.urlFile", Some("/nowhere"), "cannot be read"),
    ("ledger: {retentionDays: 0}", "ledger.retentionDays", Some("0"), "from 1 to 36500"),
    ("ledger: {retentionDays: 30d}", "ledger.retentionDays", Some("30d"), "whole number of days"),
    ("ledger: {archiveDir: ''}", "ledger.archiveDir", Some(""), "the path of a folder"),
    ("ledger: {stateDir: ''}", "ledger.stateDir", Some(""), "the path of a folder"),
    // service
    ("servingUrl: here", "service.servingUrl", Some("here"), "http:// or https://"),
    ("servingUrl: http://a\nservice: {servingUrl: http://b}", "servingUrl", Some("http://a"),
     "another name of service.servingUrl"),
    ("service: {type: ''}", "service.type", Some(""), "1 to 256 characters"),
    ("service: {inputPrice: 1.5}", "service.inputPrice", Some("1.5"), "whole number of neuron"),
    ("service: {inputPrice: 1e18}", "service.inputPrice", Some("1e18"), "whole number of neuron"),
    ("service: {outputPrice: -1}", "service.outputPrice", Some("-1"), "without sign"),
    ("service: {outputPrice: '1_000'}", "service.outputPrice", Some("1_000"), "or separator"),
    ("service: {inputPrice: 340282366920938463463374607431768211456}", "service.inputPrice",
     Some("340282366920938463463374607431768211456"), "2^128-1"),
    // auth
    ("auth: {mode: none}", "auth.mode", Some("none"), "open, apiKeys, sessionTokens"),
    ("auth: {mode: sessionTokens}", "auth.mode", Some("sessionTokens"), "needs `network`"),
    ("server: {listen: 0.0.0.0:80, allowPlainHttp: true}", "auth.mode", None, "must be loopback"),
    ("server: {listen: 0.0.0.0:80, allowPlainHttp: true}\nauth: {mode: open}", "auth.mode",
     Some("open"), "must be loopback"),
    ("server: {adminListen: 0.0.0.0:80, allowPlainHttp: true}\nadmin: {token: t}", "auth.mode",
     None, "must be loopback"),
    ("auth: {apiKeys: [{account: a, key: k123456789abcdef}]}", "auth.apiKeys", None,
     "need auth.mode: apiKeys"),
    ("auth: {mode: apiKeys}", "auth.apiKeys", None, "must have an entry"),
    ("auth: {mode: apiKeys, apiKeys: [{key: k123456789abcdef}]}", "auth.apiKeys[0].account", None,
     "is required"),
    ("auth: {mode: apiKeys, apiKeys: [{account: 'a b', key: k123456789abcdef}]}",
     "auth.apiKeys[0].account", Some("a b"), "without spaces"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a}]}", "auth.apiKeys[0].key", None, "is required"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: ''}]}", "auth.apiKeys[0].key", None,
     "must not be empty"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: k12345678901234}]}", "auth.apiKeys[0].key",
     None, "16 to 4096 characters"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: 'k123456789abcdef g'}]}",
     "auth.apiKeys[0].key", None, "visible ASCII"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdéf}]}",
     "auth.apiKeys[0].key", None, "visible ASCII"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: <secret>}]}", "auth.apiKeys[0].key", None,
     "placeholder"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef, keyFile: f}]}",
     "auth.apiKeys[0].key", None, "together with auth.apiKeys[0].keyFile"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, keyFile: no/such/file}]}",
     "auth.apiKeys[0].keyFile", Some("no/such/file"), "cannot be read"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef, creditNeuron: 1.0}]}",
     "auth.apiKeys[0].creditNeuron", Some("1.0"), "whole number of neuron"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}, \
      {account: b, key: k123456789abcdef}]}", "auth.apiKeys[1].key", None, "of an earlier entry"),
    ("auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef, creditNeuron: 5}, \
      {account: a, key: k123456789abcdeg}]}", "auth.apiKeys[1].creditNeuron", None,
     "same in every entry of one account"),
    ("auth: {mode: apiKeys, apiKeys: [\
      {account: 0x52908400098527886e0f7030069857d2e4169ee7, key: k123456789abcdef}, \
      {account: 0x52908400098527886E0F7030069857D2E4169EE7, key: k123456789abcdeg, \
       creditNeuron: 1}]}",
     "auth.apiKeys[1].creditNeuron", None, "same in every entry of one account"),
    // admin
    ("server: {adminListen: 0.0.0.0:3080, allowPlainHttp: true}", "admin.token", None,
     "is required, as admin.token or admin.tokenFile"),
    ("admin: {token: ''}", "admin.token", None, "must not be empty"),
    ("admin: {token: 'two words'}", "admin.token", None, "visible ASCII"),
    ("admin: {token: <secret>}", "admin.token", None, "placeholder"),
    ("admin: {token: t, tokenFile: f}", "admin.token", None, "together with admin.tokenFile"),
    ("admin: {tokenFile: no/such/file}", "admin.tokenFile", Some("no/such/file"), "cannot be read"),
    ("admin: {tokenFile: /dev/null}", "admin.tokenFile", Some("/dev/null"), "empty file"),
    ("admin: {tokenFile: /dev/zero}", "admin.tokenFile", Some("/dev/zero"), "which is no secret"),
    // limits
    ("limits: {requestBytesMax: 0}", "limits.requestBytesMax", Some("0"), "from 64 to 1073741824"),
    ("limits: {requestBytesMax: 32MiB}", "limits.requestBytesMax", Some("32MiB"), "whole number"),
    ("limits: {concurrentMax: 0}", "limits.concurrentMax", Some("0"), "from 1 to 100000"),
    ("limits: {concurrentMax: 18446744073709551616}", "limits.concurrentMax",
     Some("18446744073709551616"), "from 1 to 100000"),
    ("limits: {concurrentPerAccountMax: +5}", "limits.concurrentPerAccountMax", Some("+5"),
     "whole number"),
    ("limits: {requestsPerMinute: 0}", "limits.requestsPerMinute", Some("0"), "leave it out"),
    ("limits: {tokensPerMinute: many}", "limits.tokensPerMinute", Some("many"), "whole number"),
    ("limits: {routeBytesMax: {score: 64}}", "limits.routeBytesMax", None, "must be a list"),
    ("limits: {routeBytesMax: [score]}", "limits.routeBytesMax[0]", Some("score"), "as audio/"),
    ("limits: {routeBytesMax: [score=63]}", "limits.routeBytesMax[0]", Some("score=63"), "64 to"),
    (
        "limits: {routeBytesMax: [models=64]}",
        "limits.routeBytesMax[0]",
        Some("models=64"),
        "a route",
    ),
    ("limits: {routeBytesMax: [score=64, v1/score=65]}", "limits.routeBytesMax[1]",
     Some("v1/score=65"), "already"),
    ("limits: {upstreamConnectSecs: 5000000000}", "limits.upstreamConnectSecs",
     Some("5000000000"), "from 1 to 300"),
    ("limits: {upstreamIdleSecs: 0}", "limits.upstreamIdleSecs", Some("0"), "from 1 to 86400"),
    ("limits: {clientIdleSecs: 60000000000}", "limits.clientIdleSecs", Some("60000000000"),
     "from 1 to 86400"),
    ("limits: {clientIdleSecs: ''}", "limits.clientIdleSecs", Some(""), "whole number"),
    // log
    ("log: {format: xml}", "log.format", Some("xml"), "text, json"),
    ("log: {filter: 'tee_sidecar=loud'}", "log.filter", Some("tee_sidecar=loud"), "a filter"),
    ("log: {filter: ''}", "log.filter", Some(""), "a filter"),
    // tracing
    ("tracing: {otlpEndpoint: 'collector:4318'}", "tracing.otlpEndpoint", Some("collector:4318"),
     "http://127.0.0.1:4318"),
    ("tracing: {otlpEndpoint: 'grpc://c:4317'}", "tracing.otlpEndpoint", Some("grpc://c:4317"),
     "must be http://"),
    ("tracing: {otlpEndpoint: 'http://c/?key=secret'}", "tracing.otlpEndpoint", None,
     "tracing.otlpHeaders"),
    ("tracing: {sampleRatio: 5}", "tracing.sampleRatio", Some("5"), "from 0 to 1"),
    ("tracing: {otlpHeaders: [a]}", "tracing.otlpHeaders", None, "must be one value"),
];
