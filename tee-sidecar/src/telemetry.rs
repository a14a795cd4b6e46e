//! Logs, and what may be in them.
//!
//! **The rule:** no request body, prompt, answer, key, token or `Authorization` header is ever the
//! field of a log record, at any level. A record names things by id, size, count and outcome.
//! Whoever can read the logs is outside the TEE; the prompts are not for them.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Starts logging to standard error. A second call changes nothing.
pub fn init(log: &Log) {
    let ansi = io::stderr().is_terminal();
    let lines = match log.format {
        LogFormat::Text => fmt::layer().with_writer(io::stderr).with_ansi(ansi).boxed(),
        LogFormat::Json => fmt::layer().with_writer(io::stderr).json().boxed(),
    };
    let lines = lines.with_filter(filter_fn(|record| may_log(record.target(), *record.level())));
    // The settings' filter has been checked, so the fallback is never needed.
    let filter = EnvFilter::try_new(&log.filter)
        .unwrap_or_else(|_| EnvFilter::default().add_directive(LevelFilter::INFO.into()));
    let (filter, handle) = reload::Layer::new(filter);
    // An error means that logging runs already, as in a process with many tests.
    if Registry::default().with(lines).with(filter).try_init().is_ok() {
        let _ = REFILTER.set(Box::new(move |filter| handle.reload(filter).is_ok()));
    }
}

/// Logs by this filter from now on; false where it cannot be had.
pub fn refilter(filter: &str) -> bool {
    let (Some(set), Ok(filter)) = (REFILTER.get(), EnvFilter::try_new(filter)) else {
        return false;
    };
    set(filter)
}

/// Sets the filter of the log that runs.
static REFILTER: OnceLock<Box<dyn Fn(EnvFilter) -> bool + Send + Sync>> = OnceLock::new();

/// Our own records keep the rule; the libraries below us print headers and bytes at their finer
/// levels, so those never pass, whatever the filter says.
fn may_log(target: &str, level: Level) -> bool {
    let name = target.split("::").next().unwrap_or(target);
    OUR_CRATES.contains(&name) || level <= Level::INFO
}

const OUR_CRATES: [&str; 2] = ["tee_sidecar", "broker_core"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_never_log_below_info() {
        assert!(may_log("tee_sidecar::exchange::pump", Level::TRACE));
        assert!(may_log("broker_core", Level::DEBUG));
        assert!(may_log("actix_server::builder", Level::INFO));
        for target in ["hyper_util::client", "h2::codec", "reqwest", "actix_http::h1", ""] {
            assert!(!may_log(target, Level::DEBUG), "{target}");
        }
    }

    #[test]
    fn a_second_start_is_no_panic() {
        for format in [LogFormat::Text, LogFormat::Json] {
            init(&Log { format, filter: "info".to_owned() });
        }
    }
}
