//! Export of spans to a collector, by OTLP over HTTP (protobuf), in the background.
//!
//! No exchange waits for it: spans come through a queue that drops what it has no room for. What a
//! collector does not take for a while is dropped too, and both are counted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::config::Tracing;
use crate::signals::{Signals, Told};

mod collector;
mod encode;

use collector::{Collector, Fault};
use encode::Encoder;

/// Exchanges that wait to be exported, some 500 bytes each.
const QUEUE_PLACES: usize = 8192;
/// Exchanges in one request to the collector.
const BATCH_MAX: usize = 512;
/// So long a batch waits to be filled.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// A batch is sent so many times, in some seconds altogether, before it is dropped.
const TRIES_MAX: u32 = 5;
/// What is left at the end gets so long.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// Sends what [`Signals::spans`] gathers.
pub struct Exporter {
    queue: Receiver<Told>,
    collector: Collector,
    encoder: Encoder,
    signals: Arc<Signals>,
    stop: watch::Receiver<bool>,
    stopper: watch::Sender<bool>,
}

/// An exporter at work.
pub struct Exporting {
    task: JoinHandle<()>,
    stopper: watch::Sender<bool>,
}

impl Exporter {
    /// An exporter where the settings name a collector, and `None` where they do not. From then on
    /// spans are gathered.
    ///
    /// # Errors
    /// The HTTP client cannot be built: the address asks for TLS, and the system has no bundle of
    /// authorities.
    pub fn of(settings: &Tracing, signals: &Arc<Signals>) -> Result<Option<Self>, String> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let collector = Collector::at(endpoint, settings.header_map())?;
        let Some(queue) = signals.spans.begin(settings.ratio, QUEUE_PLACES) else {
            return Ok(None);
        };
        let (stopper, stop) = watch::channel(false);
        let (encoder, signals) = (Encoder::default(), signals.clone());
        Ok(Some(Self { queue, collector, encoder, signals, stop, stopper }))
    }

    /// Begins to export. Needs to run in a tokio runtime.
    pub fn start(self) -> Exporting {
        let stopper = self.stopper.clone();
        Exporting { task: tokio::spawn(self.run()), stopper }
    }

    async fn run(mut self) {
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            self.export(&batch).await;
        }
    }

    /// The next exchanges; none at the end.
    async fn gather(&mut self) -> Vec<Told> {
        let Self { queue, stop, .. } = self;
        let mut batch = Vec::new();
        tokio::select! {
            () = fill(queue, &mut batch) => {}
            () = stopped(stop) => {
                queue.close();
                let room = BATCH_MAX.saturating_sub(batch.len());
                queue.recv_many(&mut batch, room).await;
            }
        }
        batch
    }

    /// Sends a batch until the collector has it, or it is given up.
    async fn export(&mut self, batch: &[Told]) {
        let spans = batch.iter().map(Told::spans).sum();
        let body = Bytes::from(self.encoder.encode(batch));
        let mut tries = 0;
        loop {
            tries += 1;
            let fault = match self.collector.send(body.clone()).await {
                Ok(()) => return self.signals.spans.exported(spans),
                Err(Fault::Partial { rejected, .. }) => {
                    let rejected = rejected.min(spans);
                    self.signals.spans.exported(spans.saturating_sub(rejected));
                    return self.signals.spans.dropped(rejected);
                }
                Err(fault) => fault,
            };
            let is_last = tries >= TRIES_MAX || *self.stop.borrow();
            let Some(pause) = fault.pause(tries).filter(|_| !is_last) else {
                return self.signals.spans.dropped(spans);
            };
            // Told to stop, it tries once more at once.
            tokio::select! {
                () = sleep(pause) => {}
                () = stopped(&mut self.stop) => {}
            }
        }
    }
}

impl Exporting {
    /// Sends what is left, as long as that may take, and ends.
    pub async fn end(mut self) {
        let _ = self.stopper.send(true);
        if timeout(FLUSH_TIME, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}

/// Waits for exchanges, and a little longer for more.
async fn fill(queue: &mut Receiver<Told>, batch: &mut Vec<Told>) {
    if queue.recv_many(batch, BATCH_MAX).await == 0 {
        return;
    }
    let more = async {
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX.saturating_sub(batch.len());
            if queue.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    let _full = timeout(BATCH_TIME, more).await;
}

/// Resolves once it was told to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to tell.
    let _ = stop.wait_for(|is_told| *is_told).await;
}

#[cfg(test)]
mod tests;
