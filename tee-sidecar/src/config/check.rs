//! The rules: from texts to values, noting every text that breaks one.

use broker_core::{Neuron, Tariff};
use tracing_subscriber::EnvFilter;

use super::raw::{RawLog, RawService, RawSettings, RawUpstream};
use super::text::{Text, Texts};
use super::{
    CacheSalt, GpuProvider, Log, LogFormat, OnDisconnect, Service, Settings, TeeProvider, Upstream,
};

mod access;
mod ledger;
mod limits;
mod network;
mod pricing;
mod routes;
mod server;
mod tracing;
mod values;

pub(super) use ledger::in_file as ledger_url_in;
use server::is_loopback;
pub(super) use values::Check;

/// Makes the settings. Where `check` has noted a problem, the default stands in for the value.
pub(super) fn settings(check: &mut Check, raw: &RawSettings) -> Settings {
    let server = server::server(check, &raw.server);
    let upstream = upstream(check, &raw.upstream);
    let tee = tee_provider(check, raw.tee.provider.as_ref());
    let gpu = gpu_provider(check, raw.gpu.provider.as_ref());
    let ledger = ledger::url(check, &raw.ledger);
    let state_dir = ledger::state_dir(check, raw.ledger.state_dir.as_ref());
    let retention = ledger::retention(check, &raw.ledger);
    let service = service(check, &raw.service);
    let problems_before = check.problems.len();
    let network = network::network(check, &raw.network);
    // A section that is there, and wrong, still says which mode is meant.
    let on_network = network.is_some() || check.problems.len() > problems_before;
    let settlement = network::settlement(check, &raw.interval, &raw.settlement);
    let auth = access::auth(check, &raw.auth, &server, on_network);
    let admin_token = access::admin_token(check, &raw.admin, &server);
    let limits = limits::limits(check, &raw.limits);
    let log = log(check, &raw.log);
    let tracing = tracing::tracing(check, &raw.tracing);
    Settings {
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
    }
}

/// Moves the alias `servingUrl` to where it belongs. A file may use both only to say the same.
pub(super) fn one_serving_url(check: &mut Check, raw: &mut RawSettings) {
    let Some(alias) = raw.serving_url.take() else { return };
    match &raw.service.serving_url {
        Some(full) if full.as_str() != alias.as_str() => {
            check.refuse(
                "servingUrl",
                &alias,
                "is another name of service.servingUrl, which differs",
            );
        }
        _ => raw.service.serving_url = Some(alias),
    }
}

fn upstream(check: &mut Check, raw: &RawUpstream) -> Upstream {
    let (url, urls) = engines(check, raw);
    let model = check.name("upstream.model", raw.model.as_ref());
    let choices = [("abort", OnDisconnect::Abort), ("drain", OnDisconnect::Drain)];
    let given = raw.on_disconnect.as_ref();
    let on_disconnect = check.choice("upstream.onDisconnect", given, &choices, OnDisconnect::Abort);
    let choices =
        [("auto", CacheSalt::Auto), ("account", CacheSalt::Account), ("none", CacheSalt::None)];
    let given = raw.cache_salt.as_ref();
    let cache_salt = check.choice("upstream.cacheSalt", given, &choices, CacheSalt::Auto);
    Upstream { url, urls, model, on_disconnect, cache_salt }
}

/// The first engine and the others. Where `url` is not given those of `urls` are all of them; where
/// it stands in `urls` too it is still one engine.
fn engines(check: &mut Check, raw: &RawUpstream) -> (String, Vec<String>) {
    let rule = "must be http:// or https:// with a host, and no credentials, query or fragment";
    let given = raw.url.as_ref();
    let first =
        check.parsed("upstream.url", given, None, rule, |text| engine_address(text).map(Some));
    let mut others = Vec::new();
    for (index, text) in raw.urls.iter().flat_map(Texts::items).enumerate() {
        let key = format!("upstream.urls[{index}]");
        match engine_address(text.as_str()) {
            None => check.refuse(&key, text, rule),
            Some(address) if others.contains(&address) => {
                check.refuse(&key, text, "is in the list twice");
            }
            Some(_) if index >= ENGINES_MAX => {
                check.refuse(&key, text, format!("is one too many: {ENGINES_MAX} at most"));
            }
            Some(address) => others.push(address),
        }
    }
    others.retain(|address| Some(address) != first.as_ref());
    match first {
        None if given.is_none() && !others.is_empty() => (others.remove(0), others),
        first => (first.unwrap_or_else(|| UPSTREAM_URL.to_owned()), others),
    }
}

/// An engine's address without a slash or `/v1` at its end; `None` where it is none.
pub(super) fn engine_address(text: &str) -> Option<String> {
    values::web_address(text).map(|_| engine_base(text).to_owned())
}

/// Hosts copy the address from clients of the engine, which want the `/v1`; we add it ourselves.
fn engine_base(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix("/v1").unwrap_or(url).trim_end_matches('/')
}

fn tee_provider(check: &mut Check, given: Option<&Text>) -> TeeProvider {
    let choices = [
        ("auto", TeeProvider::Auto),
        ("tdx", TeeProvider::Tdx),
        ("dstack", TeeProvider::Dstack),
        ("simulated", TeeProvider::Simulated),
    ];
    let provider = check.choice("tee.provider", given, &choices, TeeProvider::Auto);
    if provider == TeeProvider::Simulated {
        needs_simulator(check, "tee.provider", given);
    }
    provider
}

fn gpu_provider(check: &mut Check, given: Option<&Text>) -> GpuProvider {
    let choices = [
        ("auto", GpuProvider::Auto),
        ("nvml", GpuProvider::Nvml),
        ("none", GpuProvider::None),
        ("simulated", GpuProvider::Simulated),
    ];
    let provider = check.choice("gpu.provider", given, &choices, GpuProvider::Auto);
    if provider == GpuProvider::Simulated {
        needs_simulator(check, "gpu.provider", given);
    }
    provider
}

/// A simulated TEE proves nothing, so no package has the code: a setting alone cannot get it.
fn needs_simulator(check: &mut Check, key: &str, given: Option<&Text>) {
    if cfg!(feature = "simulator") {
        return;
    }
    if let Some(given) = given {
        let rule = "needs a build with the cargo feature `simulator`, which no package has";
        check.refuse(key, given, rule);
    }
}

fn service(check: &mut Check, raw: &RawService) -> Service {
    let rule = "must be http:// or https:// with a host, and no credentials, query or fragment";
    let given = raw.serving_url.as_ref();
    let serving_url = check.parsed("service.servingUrl", given, None, rule, |text| {
        values::web_address(text).map(|_| Some(text.to_owned()))
    });
    let kind = check.name("service.type", raw.kind.as_ref());
    let verifiability = check.name("service.verifiability", raw.verifiability.as_ref());
    let tariff = Tariff {
        input_price: check.neuron("service.inputPrice", raw.input_price.as_ref(), Neuron::ZERO),
        output_price: check.neuron("service.outputPrice", raw.output_price.as_ref(), Neuron::ZERO),
        schedule: pricing::schedule(check, raw),
    };
    Service {
        serving_url,
        kind: kind.unwrap_or_else(|| SERVICE_TYPE.to_owned()),
        model: check.name("service.model", raw.model.as_ref()),
        verifiability: verifiability.unwrap_or_else(|| VERIFIABILITY.to_owned()),
        tariff,
        routes: routes::routes(check, raw.routes.as_ref()),
    }
}

fn log(check: &mut Check, raw: &RawLog) -> Log {
    let choices = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = check.choice("log.format", raw.format.as_ref(), &choices, LogFormat::Text);
    let rule = "must be a filter, as info or info,tee_sidecar=debug";
    let given = raw.filter.as_ref();
    let filter = check.parsed("log.filter", given, LOG_FILTER.to_owned(), rule, |text| {
        let is_filter = !text.trim().is_empty() && EnvFilter::try_new(text).is_ok();
        is_filter.then(|| text.to_owned())
    });
    Log { format, filter }
}

/// Each is asked every few seconds, and looked at for every request.
const ENGINES_MAX: usize = 64;
const UPSTREAM_URL: &str = "http://127.0.0.1:8000";
const SERVICE_TYPE: &str = "chatbot";
const VERIFIABILITY: &str = "TeeML";
const LOG_FILTER: &str = "info";
