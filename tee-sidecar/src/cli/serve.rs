//! `serve`: run the sidecar.

use actix_web::rt::System;
use broker_core::{ChainError, LedgerError};
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use super::ledger::mending;
use crate::attest::{AttestError, GpuError};
use crate::config::Settings;
use crate::keys::KeyError;
use crate::startup::{Application, StartError};
use crate::telemetry;

/// Runs the sidecar until it is told to stop: parse, build, run, drain.
pub fn run(settings: Settings) -> Exit {
    telemetry::init(&settings.log);
    let served = System::new().block_on(async {
        let application = Application::build(settings).await?;
        tracing::info!(
            public = %application.public_addr(), admin = %application.admin_addr(), "serving"
        );
        application.run_until(told_to_stop()).await
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

/// SIGTERM or SIGINT.
async fn told_to_stop() {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be watched; only SIGKILL stops this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
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
