//! An orderly end: first nothing new begins, then what still runs is told to close.

use std::time::Duration;

use tokio::sync::watch;

use crate::fault::Fault;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Running,
    Draining,
    Closing,
}

/// Moves the sidecar towards its end.
#[derive(Debug, Default)]
pub struct StopSwitch(watch::Sender<Phase>);

impl StopSwitch {
    /// From now on no exchange begins.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// From now on running exchanges end as `shutdown`.
    pub fn close(&self) {
        self.advance(Phase::Closing);
    }

    fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let forward = *now < phase;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// A view for those who have to know.
    pub fn watch(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

/// Tells how far the end has come.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Phase>);

impl Stop {
    /// Whether new exchanges may begin.
    pub fn is_running(&self) -> bool {
        *self.0.borrow() == Phase::Running
    }

    /// A fault for exchanges that come too late.
    pub fn accepting(&self) -> Result<(), Fault> {
        if self.is_running() {
            return Ok(());
        }
        Err(stopping())
    }

    /// Resolves when a request that has not arrived yet comes too late: some time after the end has
    /// begun, and at once when running exchanges have to end. One that is sent a byte at a time
    /// keeps a place, and every place that is taken is waited for.
    pub async fn late(&self) -> Fault {
        let draining = async {
            let mut phase = self.0.clone();
            if phase.wait_for(|phase| *phase != Phase::Running).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(UPLOAD_TIME).await;
        };
        tokio::select! {
            () = draining => {}
            () = self.closing() => {}
        }
        stopping()
    }

    /// Resolves when running exchanges have to end.
    pub async fn closing(&self) {
        let mut phase = self.0.clone();
        if phase.wait_for(|phase| *phase == Phase::Closing).await.is_err() {
            // The switch is gone without being thrown: nobody will ever ask to close.
            std::future::pending::<()>().await;
        }
    }
}

/// What has not arrived whole this long after the end began is not waited for.
const UPLOAD_TIME: Duration = Duration::from_secs(5);

/// Told to whom comes too late.
pub(super) fn stopping() -> Fault {
    let retry_after = Duration::from_secs(5);
    Fault::Unavailable { message: "this server is stopping; try again".into(), retry_after }
}
