//! Keeps what is shown in step with the files, and the reports with what is shown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Tls;
use crate::attest::ReportService;
use crate::exchange::Shared;

/// Looks at the files of key and certificate again and again.
pub struct TlsKeeper {
    /// What is kept.
    pub tls: Arc<Tls>,
    reports: ReportService,
    shared: Arc<Shared>,
    /// One look at a time.
    looking: Mutex<()>,
}

impl TlsKeeper {
    /// A keeper of this. Reports bind the key, and the keysets of those who sign receipts list it.
    pub fn of(tls: Arc<Tls>, reports: &ReportService, shared: &Arc<Shared>) -> Arc<Self> {
        let (reports, shared) = (reports.clone(), shared.clone());
        Arc::new(Self { tls, reports, shared, looking: Mutex::default() })
    }

    /// Looks once. A new key is bound first and shown then: whoever meets it on a connection finds
    /// it in the reports from the first moment. Connections of before keep the old one, and their
    /// clients have to connect anew to compare it with a report.
    pub async fn look(&self) {
        let _looking = self.looking.lock().await;
        let tls = self.tls.clone();
        let Ok(Some(change)) = spawn_blocking(move || tls.look()).await else { return };
        let spki = change.spki();
        if spki == self.tls.spki() {
            tracing::info!("the TLS certificate is renewed");
        } else {
            self.reports.bind_tls(spki);
            self.shared.identities.bind_tls(spki, self.shared.clock.now());
            tracing::warn!(spki_sha256 = %spki, "another TLS key: reports bind it from now on");
        }
        self.tls.show(change);
    }

    /// Looks for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            sleep(LOOK_EVERY).await;
            self.look().await;
        }
    }
}

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
