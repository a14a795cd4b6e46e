//! `serve`: run the sidecar.

use std::future::pending;
use std::thread;
use std::time::Duration;

use actix_web::rt::{self, System};
use broker_core::{ChainError, LedgerError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use super::Exit;
use super::ledger::mending;
use crate::attest::{AttestError, GpuError};
use crate::config::{ConfigError, Settings, notify_socket};
use crate::keys::KeyError;
use crate::startup::{Application, Order, Orders, StartError};
use crate::systemd::Systemd;
use crate::telemetry;

/// How long the process may take to go when everything has ended.
const LEFT_BEHIND: Duration = Duration::from_secs(20);

/// Runs the sidecar until it is told to stop: parse, build, run, drain. `load` reads the settings
/// anew, for a reload.
pub fn run(
    settings: Settings,
    load: impl Fn() -> Result<Settings, ConfigError> + Send + Sync + 'static,
) -> Exit {
    telemetry::init(&settings.log);
    let served = System::new().block_on(async {
        let (tell, mut orders) = Orders::new(load, systemd());
        // From the beginning: a reload during the start must not end the process.
        let told = rt::spawn(pass_on(watched(), tell));
        let application = tokio::select! {
            application = Application::build(settings) => application?,
            () = orders.stop() => {
                end_in_any_case(Exit::Done);
                return Ok(());
            }
        };
        tracing::info!(
            public = %application.public_addr(), admin = %application.admin_addr(), "serving"
        );
        let ended = application.run(orders).await;
        told.abort();
        end_in_any_case(ended.as_ref().map_or_else(exit_of, |()| Exit::Done));
        ended
    });
    match served {
        Ok(()) => Exit::Done,
        Err(error) => {
            let mending = match &error {
                StartError::Ledger(error) => mending(error),
                _ => String::new(),
            };
            eprintln!("tee-sidecar: {error}{mending}");
            exit_of(&error)
        }
    }
}

/// A chain that is not the configured one is a wrong configuration.
/// Evidence that does not verify is wrong; evidence or a TEE's key that does not come is missing.
const fn exit_of(error: &StartError) -> Exit {
    match error {
        StartError::Attest(
            AttestError::SelfCheck(_)
            | AttestError::Gpu(GpuError::SelfCheck { .. } | GpuError::OtherNonce(_)),
        ) => Exit::Refuted,
        StartError::Network(ChainError::WrongNetwork(_)) => Exit::Usage,
        StartError::Attest(_)
        | StartError::Key(KeyError::Agent(_))
        | StartError::Ledger(LedgerError::Unreachable(_)) => Exit::Missing,
        StartError::BoundElsewhere { .. } => Exit::Usage,
        StartError::Ledger(LedgerError::Foreign { .. } | LedgerError::Corrupt(_)) => {
            Exit::Malformed
        }
        _ => Exit::Failed,
    }
}

/// The runtime's end waits for its threads: one that reads a file or asks a database which never
/// answers would keep the process, though everything has ended.
fn end_in_any_case(exit: Exit) {
    thread::spawn(move || {
        thread::sleep(LEFT_BEHIND);
        tracing::warn!("a file or a database gives no answer still: it is not waited for");
        std::process::exit(exit as i32);
    });
}

/// What is listened to from now on: SIGHUP, SIGTERM and SIGINT.
fn watched() -> Option<[Signal; 3]> {
    let watched = [SignalKind::hangup(), SignalKind::terminate(), SignalKind::interrupt()];
    let [Ok(hup), Ok(term), Ok(int)] = watched.map(signal) else {
        tracing::warn!("signals cannot be watched; only SIGKILL stops this process");
        return None;
    };
    Some([hup, term, int])
}

/// SIGHUP is an order to reload; SIGTERM and SIGINT are orders to stop.
async fn pass_on(watched: Option<[Signal; 3]>, tell: UnboundedSender<Order>) {
    let Some([mut hup, mut term, mut int]) = watched else { return pending().await };
    loop {
        let order = tokio::select! {
            _ = hup.recv() => Order::Reload,
            _ = term.recv() => Order::Stop,
            _ = int.recv() => Order::Stop,
        };
        if tell.send(order).is_err() {
            return;
        }
    }
}

/// The service manager, where there is one.
fn systemd() -> Systemd {
    let Some(socket) = notify_socket() else { return Systemd::default() };
    Systemd::at(&socket).unwrap_or_else(|error| {
        tracing::warn!(%error, "NOTIFY_SOCKET is no address: nobody is told");
        Systemd::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_evidence_that_does_not_verify_is_refuted_and_what_does_not_come_is_missing() {
        let why = || "why".to_owned();
        let gpu = |error| StartError::Attest(AttestError::Gpu(error));
        let attest = StartError::Attest;
        let cases = [
            (attest(AttestError::SelfCheck(why())), Exit::Refuted),
            (gpu(GpuError::SelfCheck { index: 0, cause: why() }), Exit::Refuted),
            (gpu(GpuError::OtherNonce(7)), Exit::Refuted),
            (attest(AttestError::NoTee { provider: "auto", looked_for: why() }), Exit::Missing),
            (attest(AttestError::NoQuote(why())), Exit::Missing),
            (attest(AttestError::Hangs(9)), Exit::Missing),
            (attest(AttestError::Late(10)), Exit::Missing),
            (attest(AttestError::TsmProvider(why())), Exit::Missing),
            (gpu(GpuError::NoDriver), Exit::Missing),
            (gpu(GpuError::ConfidentialComputingOff), Exit::Missing),
            (gpu(GpuError::Hangs(10)), Exit::Missing),
            (StartError::Key(KeyError::Agent(AttestError::NoQuote(why()))), Exit::Missing),
            (StartError::Key(KeyError::Random(why())), Exit::Failed),
            (StartError::Network(ChainError::WrongNetwork(why())), Exit::Usage),
            (StartError::Network(ChainError::Unreachable(why())), Exit::Failed),
            (StartError::Server(std::io::Error::other("why")), Exit::Failed),
            (StartError::Ledger(LedgerError::Corrupt(why())), Exit::Malformed),
            (StartError::Ledger(LedgerError::Storage(why())), Exit::Failed),
            (StartError::Ledger(LedgerError::InUse { path: why() }), Exit::Failed),
        ];
        for (error, exit) in cases {
            assert_eq!(exit_of(&error), exit, "{error:?}");
        }
    }
}
