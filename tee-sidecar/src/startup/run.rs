//! A sidecar that runs: what it is told meanwhile, and its end.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;
use actix_web::rt::task::JoinHandle;
use broker_core::LedgerHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::reload::Reloader;
use super::{Application, StartError};
use crate::config::{ConfigError, Settings};
use crate::exchange::Shared;
use crate::exchange::stop::StopSwitch;
use crate::ledger::End;
use crate::otlp::Exporter;
use crate::systemd::Systemd;

/// What runs longer than `server.drainSecs` is ended as `shutdown`, and gets this long for it.
const CLOSING_TIME: Duration = Duration::from_secs(10);
/// So often, and so many times one after the other, it is seen that nothing is to be charged.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOKS: u32 = 20;
/// The servers take this long to stop, one after the other, with some to spare.
const SERVERS_TIME: Duration = Duration::from_secs(10);
/// A database that is busy is asked again for a minute.
const LEDGER_TIME: Duration = Duration::from_secs(90);

/// What a running sidecar is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take over what has changed in the configuration.
    Reload,
    /// End. Told again, it does not wait any longer for what it waits for.
    Stop,
}

/// Where orders come from.
pub struct Orders {
    told: UnboundedReceiver<Order>,
    /// A reload was asked for while nobody could do it.
    waiting: bool,
    load: Load,
    systemd: Systemd,
}

/// Reads the configuration anew. On a thread that may wait: a file may never answer.
pub(super) type Load = Arc<dyn Fn() -> Result<Settings, ConfigError> + Send + Sync>;

impl Orders {
    /// Orders and who gives them; `load` reads the configuration anew.
    pub fn new(
        load: impl Fn() -> Result<Settings, ConfigError> + Send + Sync + 'static,
        systemd: Systemd,
    ) -> (UnboundedSender<Order>, Self) {
        let (tell, told) = unbounded_channel();
        (tell, Self { told, waiting: false, load: Arc::new(load), systemd })
    }

    async fn next(&mut self) -> Order {
        if std::mem::take(&mut self.waiting) { Order::Reload } else { self.told().await }
    }

    async fn told(&mut self) -> Order {
        match self.told.recv().await {
            Some(order) => order,
            // Nobody is left to give any.
            None => pending().await,
        }
    }

    /// Resolves at the next order to stop. Reloads that are asked for before it are one, and come
    /// when there is somebody to do it.
    pub async fn stop(&mut self) {
        while self.told().await != Order::Stop {
            self.waiting = true;
        }
    }
}

impl Application {
    /// Serves until `stop` resolves; otherwise as [`Self::run`].
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()> + 'static,
    ) -> Result<(), StartError> {
        let (tell, orders) = Orders::new(|| Settings::load(None, []), Systemd::default());
        let told = rt::spawn(async move {
            stop.await;
            let _ = tell.send(Order::Stop);
        });
        let ended = self.run(orders).await;
        told.abort();
        ended
    }

    /// Serves until it is told to stop, then ends in order: nothing new begins, running answers end
    /// or are closed as `shutdown`, the ledger finishes its queue.
    ///
    /// # Errors
    /// A server failed. What was running has been ended all the same.
    pub async fn run(mut self, mut orders: Orders) -> Result<(), StartError> {
        let (public, admin) = (self.public.server, self.admin.server);
        let handles = [public.handle(), admin.handle()];
        let mut servers = [rt::spawn(public), rt::spawn(admin)];
        let (catalog, engine) = (self.shared.catalog.clone(), self.engine);
        let mut watches = vec![rt::spawn(async move { catalog.watch(&*engine).await })];
        let kept = self.keeping.start();
        watches.push(rt::spawn(self.reports.try_again()));
        watches.extend(self.tls.map(|tls| rt::spawn(tls.run())));
        let services = self.network.as_ref().and_then(|network| network.services.get().cloned());
        watches.extend(services.map(|services| rt::spawn(async move { services.watch().await })));
        let exporting = self.exporter.map(Exporter::start);
        self.mark.running();
        orders.systemd.ready();
        let ledger = self.shared.ledger.clone();
        let mut ends = Ends { servers: &mut servers, ledger: &ledger, mending: &kept.mending };
        let ended = until_told(&mut self.reloader, &mut ends, &mut orders).await;
        watches.iter().for_each(|watch| watch.abort());
        kept.end();
        // What cannot be charged any more is not waited for.
        let is_healthy = ledger.is_healthy();
        let patience = if is_healthy { self.reloader.drain_time() } else { Duration::ZERO };
        orders.systemd.stopping(patience + CLOSING_TIME + CLOSING_TIME + SERVERS_TIME);
        drain(&self.shared, &self.switch, patience, &mut orders).await;
        for handle in handles {
            handle.stop(true).await;
        }
        orders.systemd.stopping(LEDGER_TIME);
        let (network, lead) = (self.network, kept.lead);
        let (mark, is_told) = (self.mark, ended.is_ok());
        let stopped = rt::task::spawn_blocking(move || {
            if let Some(network) = network {
                network.settler.stop();
            }
            lead.give_up();
            ledger.stop();
            if ledger.has_failed() {
                mark.ended(End::Ledger);
            } else if is_told {
                mark.ended(End::Orderly);
            }
        });
        let told = async {
            if let Some(exporting) = exporting {
                exporting.end().await;
            }
        };
        let (stopped, ()) = tokio::join!(stopped, told);
        if stopped.is_err() {
            tracing::error!("the ledger's end was not waited for");
        }
        tracing::info!("stopped");
        ended.map_err(StartError::Server)
    }
}

/// What ends a sidecar that nobody told to stop.
struct Ends<'a> {
    servers: &'a mut [JoinHandle<io::Result<()>>; 2],
    ledger: &'a LedgerHandle,
    mending: &'a str,
}

impl Ends<'_> {
    /// Resolves when it cannot go on.
    async fn any(&mut self) -> io::Result<()> {
        let [public, admin] = &mut *self.servers;
        tokio::select! {
            end = public => end.unwrap_or_else(|error| Err(io::Error::other(error))),
            end = admin => end.unwrap_or_else(|error| Err(io::Error::other(error))),
            () = self.ledger.failed() => {
                tracing::error!("the ledger has failed: nothing more can be answered");
                Err(io::Error::other(self.mending.to_owned()))
            }
        }
    }
}

/// Does what it is told until that is to stop, or until it cannot go on. A reload that waits, for a
/// busy ledger or for a file that never answers, keeps nobody from ending it.
async fn until_told(
    reloader: &mut Reloader,
    ends: &mut Ends<'_>,
    orders: &mut Orders,
) -> io::Result<()> {
    loop {
        let order = tokio::select! {
            order = orders.next() => order,
            ended = ends.any() => return ended,
        };
        if order == Order::Stop {
            return Ok(());
        }
        orders.systemd.reloading();
        let load = orders.load.clone();
        tokio::select! {
            () = reloader.reload(load) => orders.systemd.ready(),
            () = orders.stop() => return Ok(()),
            ended = ends.any() => return ended,
        }
    }
}

/// Resolves when no hold was open for a second, whoever still has a place: a client that reads
/// nothing keeps one as long as it likes.
async fn charged(shared: &Shared) {
    let mut looks = 0;
    while looks < LOOKS {
        sleep(LOOK_EVERY).await;
        looks = if shared.live.sum().0 == 0 { looks + 1 } else { 0 };
    }
}

/// Nothing new begins, and what runs ends or is closed.
async fn drain(shared: &Shared, switch: &StopSwitch, patience: Duration, orders: &mut Orders) {
    tracing::info!(in_flight = shared.admission.in_flight(), "stopping");
    switch.drain();
    if !in_time(patience, shared.admission.idle(), orders).await {
        tracing::warn!(in_flight = shared.admission.in_flight(), "ending what still runs");
        switch.close();
        let ended = async {
            tokio::select! {
                () = shared.admission.idle() => {}
                () = charged(shared) => {}
            }
        };
        in_time(CLOSING_TIME, ended, orders).await;
    }
    in_time(CLOSING_TIME, shared.refusals.written(), orders).await;
}

/// Waits for `end`: not longer than `limit`, and not beyond another order to stop.
async fn in_time(limit: Duration, end: impl Future<Output = ()>, orders: &mut Orders) -> bool {
    tokio::select! {
        biased;
        waited = timeout(limit, end) => waited.is_ok(),
        () = orders.stop() => {
            tracing::warn!("told to stop again: not waiting any longer");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // It is the settings of before that are then served.
    #[tokio::test]
    async fn a_reload_that_is_asked_for_during_the_start_is_done_after_it() {
        let (tell, mut orders) = Orders::new(|| unreachable!(), Systemd::default());
        let tell = |orders: &[Order]| orders.iter().for_each(|order| tell.send(*order).unwrap());
        tell(&[Order::Reload, Order::Reload]);
        assert!(timeout(Duration::from_millis(1), orders.stop()).await.is_err());
        assert_eq!(orders.next().await, Order::Reload);
        tell(&[Order::Reload, Order::Stop]);
        assert_eq!([orders.next().await, orders.next().await], [Order::Reload, Order::Stop]);
        tell(&[Order::Stop]);
        orders.stop().await;
    }
}
