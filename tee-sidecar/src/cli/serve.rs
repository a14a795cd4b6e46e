//! `serve`: run the sidecar.

use actix_web::rt::System;
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;
use crate::config::Settings;
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
            eprintln!("tee-sidecar: {error}");
            match error {
                StartError::Attest(_) => Exit::Missing,
                _ => Exit::Failed,
            }
        }
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
