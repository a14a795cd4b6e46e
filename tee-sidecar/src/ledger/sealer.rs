//! The receipt log, extended behind the exchanges: every half second the receipts that were
//! captured since get their leaves. Of several sidecars on a ledger the one that leads does it. New
//! prices are kept at the same time, by each of them.

use std::sync::Arc;
use std::time::Duration;

use broker_core::{Clock, Digest32, LedgerError, LedgerHandle, LedgerReader, next_leaves};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Lead;
use crate::exchange::prices::{Prices, tariff_kept};

/// Extends the log for as long as it is polled.
pub struct Sealer {
    /// Writes.
    pub ledger: LedgerHandle,
    /// Reads.
    pub reader: Arc<dyn LedgerReader>,
    /// Whether it is this sidecar's work.
    pub lead: Lead,
    /// What receipts cite.
    pub prices: Arc<Prices>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Sealer {
    /// Extends the log every half second, for ever.
    pub async fn run(self) {
        // An outage is told once, not twice a second.
        let (mut failed, mut unkept, mut kept) = (false, false, None);
        loop {
            let keeps = self.keep_prices(&mut kept).await;
            if let Err(error) = &keeps
                && !unkept
            {
                tracing::warn!(%error, "the prices are not kept; tried again at once");
            }
            unkept = keeps.is_err();
            sleep(SEAL_EVERY).await;
            if !self.lead.is_ours() {
                continue;
            }
            let sealed = self.seal().await;
            if let Err(error) = &sealed
                && !failed
            {
                tracing::warn!(%error, "the receipt log is not extended; tried again at once");
            }
            failed = sealed.is_err();
        }
    }

    /// Keeps the prices of this moment, if they were not kept before.
    async fn keep_prices(&self, kept: &mut Option<Digest32>) -> Result<(), LedgerError> {
        let tariff = self.prices.now();
        let digest = tariff.digest();
        if *kept == Some(digest) {
            return Ok(());
        }
        let document = tariff_kept(&tariff, self.clock.now());
        self.ledger.with_ledger(move |ledger| ledger.keep(&document)).await?;
        *kept = Some(digest);
        Ok(())
    }

    /// Gives every receipt that has none its leaf, a page at a time.
    async fn seal(&self) -> Result<(), LedgerError> {
        loop {
            let reader = self.reader.clone();
            // The leaves are worked out here, away from the writer.
            let read = spawn_blocking(move || next_leaves(&*reader, PAGE_LEAVES)).await;
            let (size, leaves) = read.unwrap_or(Err(LedgerError::Stopped))?;
            let count = leaves.len();
            if count == 0 {
                return Ok(());
            }
            let extend =
                move |ledger: &mut dyn broker_core::Ledger| ledger.extend_log(size, &leaves);
            let extended = self.ledger.with_ledger(extend).await?;
            if !extended || (count as u64) < PAGE_LEAVES {
                return Ok(());
            }
        }
    }
}

const SEAL_EVERY: Duration = Duration::from_millis(500);
/// Leaves in one commit: few enough that exchanges do not wait for it.
const PAGE_LEAVES: u64 = 512;
