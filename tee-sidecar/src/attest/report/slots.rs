//! How many documents are made at one time, and who comes first.
//!
//! Hardware makes one report after the other: more than one request at the GPUs would only let
//! their clocks run. Whoever waits does so here, before any clock of the evidence starts, and not
//! for long. The shelf has its own way in, so that no flood of nonces keeps it from being renewed.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant, timeout_at};

use super::ReportError;

/// The places at the evidence.
pub(super) struct Slots {
    nonced: Arc<Semaphore>,
    /// The requests with a nonce stand here, so that only one of them competes for the GPUs.
    nonced_at_gpus: Arc<Semaphore>,
    shelf: Arc<Semaphore>,
    gpus: Arc<Semaphore>,
}

/// Who a document is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// One client, who waits.
    Nonced,
    /// Everybody.
    Shelf,
}

/// A place at the evidence; free again when its last clone is dropped.
#[derive(Clone)]
pub(super) struct Slot {
    line: Line,
    /// Until when its owner waits for the GPUs, too.
    patience: Instant,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// The GPUs, for one request.
pub(super) struct GpuTurn {
    // The GPUs first: when the next of the line comes, they are free.
    _gpus: OwnedSemaphorePermit,
    _line: Option<OwnedSemaphorePermit>,
}

impl Default for Slots {
    fn default() -> Self {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Self { nonced: of(NONCED_AT_ONCE_MAX), nonced_at_gpus: of(1), shelf: of(1), gpus: of(1) }
    }
}

impl Slots {
    /// Waits for a place. A caller who leaves meanwhile leaves the line.
    pub(super) async fn enter(&self, line: Line) -> Result<Slot, ReportError> {
        let patience = Instant::now() + Duration::from_secs(SLOT_WAIT_SECS_MAX);
        let permit = match line {
            Line::Nonced => within(patience, &self.nonced).await?,
            // At most one maker for each form stands here.
            Line::Shelf => taken(&self.shelf).await?,
        };
        Ok(Slot { line, patience, _permit: Arc::new(permit) })
    }

    /// Waits for the GPUs.
    pub(super) async fn gpus(&self, slot: &Slot) -> Result<GpuTurn, ReportError> {
        Ok(match slot.line {
            Line::Nonced => {
                let line = within(slot.patience, &self.nonced_at_gpus).await?;
                let gpus = within(slot.patience, &self.gpus).await?;
                GpuTurn { _gpus: gpus, _line: Some(line) }
            }
            // Behind at most one, who has the GPUs for no longer than their clock allows.
            Line::Shelf => GpuTurn { _gpus: taken(&self.gpus).await?, _line: None },
        })
    }
}

async fn within(
    patience: Instant,
    places: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, ReportError> {
    timeout_at(patience, taken(places)).await.map_err(|_| ReportError::Busy)?
}

async fn taken(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ReportError> {
    // Closed never.
    places.clone().acquire_owned().await.map_err(|_| ReportError::Busy)
}

/// Documents with a client's nonce being made at one time: while one is with the GPUs, another is
/// being quoted and a third checked.
const NONCED_AT_ONCE_MAX: usize = 4;

/// How long a request with a nonce waits for its turn.
const SLOT_WAIT_SECS_MAX: u64 = 10;
