//! The rules: from texts to values, noting every text that breaks one.

use std::net::SocketAddr;

use broker_core::{Neuron, Tariff};
use tracing_subscriber::EnvFilter;

use super::error::Problem;
use super::keys;
use super::raw::{RawLog, RawServer, RawService, RawSettings, RawUpstream};
use super::text::{Text, Texts};
use super::{
    GpuProvider, Log, LogFormat, OnDisconnect, Server, Service, Settings, TeeProvider, Upstream,
};

mod access;
mod ledger;
mod limits;
mod network;
mod pricing;
mod routes;
mod values;

pub(super) use ledger::in_file as ledger_url_in;
pub(super) use values::Check;

/// Makes the settings. Where `check` has noted a problem, the default stands in for the value.
pub(super) fn settings(check: &mut Check, raw: &RawSettings) -> Settings {
    later_releases(check, raw);
    let server = server(check, &raw.server);
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

fn later_releases(check: &mut Check, raw: &RawSettings) {
    for (key, rule) in keys::LATER {
        if raw.server.tls.is_some() {
            check.problems.push(Problem::of(*key, *rule));
        }
    }
}

fn server(check: &mut Check, raw: &RawServer) -> Server {
    let listen = listen_address(check, "server.listen", raw.listen.as_ref());
    let admin = listen_address(check, "server.adminListen", raw.admin_listen.as_ref());
    let key = "server.allowPlainHttp";
    let choices = [("true", true), ("false", false)];
    let allow_plain_http = check.choice(key, raw.allow_plain_http.as_ref(), &choices, false);
    if !allow_plain_http {
        needs_plain_http(check, "server.listen", listen, raw.listen.as_ref());
        needs_plain_http(check, "server.adminListen", admin, raw.admin_listen.as_ref());
    }
    let same = |listen: SocketAddr| Some(listen) == admin && listen.port() != 0;
    if listen.is_some_and(same) {
        let (key, rule) = ("server.adminListen", "must differ from server.listen");
        match &raw.admin_listen {
            Some(given) => check.refuse(key, given, rule),
            None => check.refuse_key(key, rule),
        }
    }
    let listen = listen.unwrap_or(LISTEN);
    let admin_listen = admin.unwrap_or(ADMIN_LISTEN);
    let allow_origins = origins(check, raw.allow_origins.as_ref());
    Server { listen, admin_listen, allow_plain_http, allow_origins }
}

/// The pages that browsers may call us from. Exact: a wildcard would let every page spend tokens.
fn origins(check: &mut Check, given: Option<&Texts>) -> Vec<String> {
    let mut origins = Vec::new();
    for (index, text) in given.into_iter().flat_map(Texts::items).enumerate() {
        let is_origin = values::web_address(text.as_str())
            .is_some_and(|url| url.origin().ascii_serialization() == text.as_str());
        if is_origin {
            origins.push(text.as_str().to_owned());
        } else {
            let rule = "must be an exact origin as browsers send it: https://app.example, without \
                        path or default port";
            check.refuse(&format!("server.allowOrigins[{index}]"), text, rule);
        }
    }
    origins
}

fn needs_plain_http(
    check: &mut Check,
    key: &str,
    address: Option<SocketAddr>,
    given: Option<&Text>,
) {
    if let (Some(address), Some(given)) = (address, given)
        && !is_loopback(address)
    {
        let rule =
            "plain HTTP on an address that is not loopback needs server.allowPlainHttp: true";
        check.refuse(key, given, rule);
    }
}

/// `None` where the text is no address, so that rules about addresses stay silent.
fn listen_address(check: &mut Check, key: &str, given: Option<&Text>) -> Option<SocketAddr> {
    let default = if key == "server.listen" { LISTEN } else { ADMIN_LISTEN };
    let rule = "must be an IP address and a port, as 127.0.0.1:8080 or [::1]:8080";
    match given {
        None => Some(default),
        Some(_) => check.parsed(key, given, None, rule, |text| text.parse().ok().map(Some)),
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn upstream(check: &mut Check, raw: &RawUpstream) -> Upstream {
    let rule = "must be http:// or https:// with a host, and no credentials, query or fragment";
    let default = UPSTREAM_URL.to_owned();
    let url = check.parsed("upstream.url", raw.url.as_ref(), default, rule, engine_address);
    let model = check.name("upstream.model", raw.model.as_ref());
    let choices = [("abort", OnDisconnect::Abort), ("drain", OnDisconnect::Drain)];
    let given = raw.on_disconnect.as_ref();
    let on_disconnect = check.choice("upstream.onDisconnect", given, &choices, OnDisconnect::Abort);
    Upstream { url, model, on_disconnect }
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

const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 8080);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(LOOPBACK, 3080);
const UPSTREAM_URL: &str = "http://127.0.0.1:8000";
const SERVICE_TYPE: &str = "chatbot";
const VERIFIABILITY: &str = "TeeML";
const LOG_FILTER: &str = "info";
