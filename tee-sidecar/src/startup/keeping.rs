//! Those who look after the ledger of a running sidecar.

use std::sync::Arc;

use actix_web::rt;
use broker_core::{Clock, LedgerHandle, LedgerReader};
use tokio::task::JoinHandle;

use crate::attest::KeysetKeeper;
use crate::config::Settings;
use crate::exchange::prices::Prices;
use crate::ledger::{Archivist, Lead, Live, Sealer, Sweeper};

/// What works on the ledger beside requests.
pub(super) struct Keeping {
    sweeper: Sweeper,
    archivist: Option<Archivist>,
    sealer: Sealer,
    keysets: Option<KeysetKeeper>,
    pub(super) lead: Lead,
    /// What a host is told when the ledger fails.
    pub(super) mending: String,
}

impl Keeping {
    pub(super) fn of(
        settings: &Settings,
        ledger: &LedgerHandle,
        reader: &Arc<dyn LedgerReader>,
        clock: &Arc<dyn Clock>,
        lead: Lead,
        prices: Arc<Prices>,
    ) -> Self {
        let sweeper = Sweeper {
            ledger: ledger.clone(),
            reader: reader.clone(),
            live: Arc::default(),
            clock: clock.clone(),
        };
        let archivist = Archivist::of(settings, &sweeper, &lead);
        let sealer = Sealer {
            ledger: ledger.clone(),
            reader: reader.clone(),
            lead: lead.clone(),
            prices,
            clock: clock.clone(),
        };
        let mending = format!(
            "the ledger {} has failed, and the log says why; mend its disk or database and start \
             again: nothing that was acknowledged is lost",
            settings.ledger
        );
        Self { sweeper, archivist, sealer, keysets: None, lead, mending }
    }

    /// The keeper of keysets works too.
    pub(super) fn beside(self, keysets: KeysetKeeper) -> Self {
        Self { keysets: Some(keysets), ..self }
    }

    /// The holds that the sweeper leaves alone.
    pub(super) fn live(&self) -> Arc<Live> {
        self.sweeper.live.clone()
    }

    /// Begins the work, and says what is to be ended with the sidecar.
    pub(super) fn start(self) -> Kept {
        let mut tasks = vec![rt::spawn(self.sweeper.run()), rt::spawn(self.sealer.run())];
        tasks.extend(self.archivist.map(|archivist| rt::spawn(archivist.run())));
        tasks.extend(self.keysets.map(|keysets| rt::spawn(keysets.run())));
        Kept { tasks, lead: self.lead, mending: self.mending }
    }
}

/// The work that goes on.
pub(super) struct Kept {
    tasks: Vec<JoinHandle<()>>,
    pub(super) lead: Lead,
    pub(super) mending: String,
}

impl Kept {
    /// Ends the work. What is being written is written to its end.
    pub(super) fn end(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
