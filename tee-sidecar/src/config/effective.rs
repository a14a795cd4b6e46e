//! The settings as YAML, for the host to read and to load again.

use broker_core::Cover;
use serde_json::{Value, json};

use super::{
    ApiKey, Auth, CacheSalt, GpuProvider, Limits, Log, LogFormat, OnDisconnect, Secret, Settings,
    TeeProvider, Tracing, Upstream, secret,
};

mod network;

/// Every key with the value in force. A secret shows as `<secret>`, or `<none>` where there is
/// none; the keys that name a secret's file and the alias `servingUrl` do not show.
pub fn effective(settings: &Settings) -> String {
    // Texts and whole numbers always fit into YAML.
    serde_yaml_ng::to_string(&document(settings)).unwrap_or_else(|error| format!("# {error}\n"))
}

/// The same as a document.
pub(super) fn document(settings: &Settings) -> Value {
    let Settings {
        server,
        upstream,
        tee,
        gpu,
        ledger,
        state_dir,
        retention,
        service,
        network,
        settlement,
        auth,
        admin_token,
        limits,
        log,
        tracing,
    } = settings;
    json!({
        "server": {
            "listen": server.listen,
            "adminListen": server.admin_listen,
            "allowPlainHttp": server.allow_plain_http,
            "allowOrigins": server.allow_origins,
            "tls": {
                "certFile": server.tls.as_ref().map(|tls| &tls.cert),
                "keyFile": server.tls.as_ref().map(|tls| &tls.key),
            },
            "drainSecs": server.drain_secs,
        },
        "upstream": upstream_section(upstream),
        "tee": { "provider": tee_word(*tee) },
        "gpu": { "provider": gpu_word(*gpu) },
        "ledger": {
            "url": ledger.to_string(),
            "stateDir": state_dir,
            "retentionDays": retention.days,
            "archiveDir": retention.folder,
        },
        "service": {
            "servingUrl": service.serving_url,
            "type": service.kind,
            "model": service.model,
            "verifiability": service.verifiability,
            "inputPrice": service.tariff.input_price,
            "outputPrice": service.tariff.output_price,
            "routes": service.routes.iter().map(|route| route.name()).collect::<Vec<_>>(),
            "tieredPricing": network::tiered_pricing(&service.tariff),
            "cacheTokenBilling": network::cache_token_billing(&service.tariff),
        },
        "network": network::section(network.as_ref()),
        "interval": network::interval(settlement),
        "settlement": network::settlement(settlement),
        "auth": auth_section(auth),
        "admin": { "token": secret_word(admin_token.as_ref()) },
        "limits": limits_section(limits),
        "log": log_section(log),
        "tracing": tracing_section(tracing),
    })
}

fn upstream_section(upstream: &Upstream) -> Value {
    json!({
        "url": upstream.url,
        "urls": upstream.urls,
        "model": upstream.model,
        "onDisconnect": match upstream.on_disconnect {
            OnDisconnect::Abort => "abort",
            OnDisconnect::Drain => "drain",
        },
        "cacheSalt": match upstream.cache_salt {
            CacheSalt::Auto => "auto",
            CacheSalt::Account => "account",
            CacheSalt::None => "none",
        },
    })
}

fn log_section(log: &Log) -> Value {
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    json!({ "format": format, "filter": log.filter })
}

fn tracing_section(tracing: &Tracing) -> Value {
    json!({
        "otlpEndpoint": tracing.endpoint,
        "otlpHeaders": secret_word(tracing.headers.as_ref()),
        "sampleRatio": network::fraction(tracing.ratio),
    })
}

const fn tee_word(provider: TeeProvider) -> &'static str {
    match provider {
        TeeProvider::Auto => "auto",
        TeeProvider::Tdx => "tdx",
        TeeProvider::Dstack => "dstack",
        TeeProvider::Simulated => "simulated",
    }
}

const fn gpu_word(provider: GpuProvider) -> &'static str {
    match provider {
        GpuProvider::Auto => "auto",
        GpuProvider::Nvml => "nvml",
        GpuProvider::None => "none",
        GpuProvider::Simulated => "simulated",
    }
}

fn auth_section(auth: &Auth) -> Value {
    match auth {
        Auth::Open => json!({ "mode": "open", "apiKeys": [] }),
        Auth::ApiKeys(keys) => {
            let keys: Vec<Value> = keys.iter().map(api_key).collect();
            json!({ "mode": "apiKeys", "apiKeys": keys })
        }
        Auth::SessionTokens => json!({ "mode": "sessionTokens", "apiKeys": [] }),
    }
}

fn api_key(entry: &ApiKey) -> Value {
    let credit = match entry.cover {
        Cover::UpTo(credit) => Some(credit),
        Cover::Unlimited => None,
    };
    json!({
        "account": entry.account,
        "key": secret_word(Some(&entry.key)),
        "creditNeuron": credit,
    })
}

const fn secret_word(secret: Option<&Secret<String>>) -> &'static str {
    match secret {
        Some(_) => secret::PRESENT,
        None => secret::ABSENT,
    }
}

fn limits_section(limits: &Limits) -> Value {
    json!({
        "requestBytesMax": limits.request_bytes_max,
        "routeBytesMax": limits
            .route_bytes_max
            .iter()
            .map(|(route, bytes)| format!("{}={bytes}", route.name()))
            .collect::<Vec<_>>(),
        "concurrentMax": limits.concurrent_max,
        "concurrentPerAccountMax": limits.concurrent_per_account_max,
        "requestsPerMinute": limits.requests_per_minute,
        "tokensPerMinute": limits.tokens_per_minute,
        "upstreamConnectSecs": limits.upstream_connect_secs,
        "upstreamIdleSecs": limits.upstream_idle_secs,
        "clientIdleSecs": limits.client_idle_secs,
    })
}
