//! A sidecar that runs: what it is told meanwhile, and its end.

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

use actix_web::rt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::{Application, StartError};
use crate::config::{ConfigError, Settings};
use crate::ledger::End;
use crate::systemd::Systemd;

/// What runs longer than `server.drainSecs` is ended as `shutdown`, and gets this long for it.
const CLOSING_TIME: Duration = Duration::from_secs(10);

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
    load: Box<dyn Fn() -> Result<Settings, ConfigError>>,
    systemd: Systemd,
}

impl Orders {
    /// Orders and who gives them; `load` reads the configuration anew.
    pub fn new(
        load: impl Fn() -> Result<Settings, ConfigError> + 'static,
        systemd: Systemd,
    ) -> (UnboundedSender<Order>, Self) {
        let (tell, told) = unbounded_channel();
        (tell, Self { told, load: Box::new(load), systemd })
    }

    async fn next(&mut self) -> Order {
        match self.told.recv().await {
            Some(order) => order,
            // Nobody is left to give any.
            None => pending().await,
        }
    }

    /// Resolves at the next order to stop; others before it are lost.
    pub async fn stop(&mut self) {
        while self.next().await != Order::Stop {}
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
        let (mut public, mut admin) = (rt::spawn(public), rt::spawn(admin));
        let (catalog, engine) = (self.shared.catalog.clone(), self.engine);
        let mut watches = vec![rt::spawn(async move { catalog.watch(&*engine).await })];
        let kept = self.keeping.start();
        watches.push(rt::spawn(self.reports.try_again()));
        watches.extend(self.tls.map(|tls| rt::spawn(tls.run())));
        let services = self.network.as_ref().and_then(|network| network.services.get().cloned());
        watches.extend(services.map(|services| rt::spawn(async move { services.watch().await })));
        self.mark.running();
        orders.systemd.ready();
        let failed = loop {
            tokio::select! {
                order = orders.next() => match order {
                    Order::Stop => break Ok(()),
                    Order::Reload => {
                        orders.systemd.reloading();
                        self.reloader.reload(&*orders.load).await;
                        orders.systemd.ready();
                    }
                },
                end = &mut public => break end.unwrap_or_else(|error| Err(io::Error::other(error))),
                end = &mut admin => break end.unwrap_or_else(|error| Err(io::Error::other(error))),
                () = self.shared.ledger.failed() => {
                    tracing::error!("the ledger has failed: nothing more can be answered");
                    break Err(io::Error::other(kept.mending.clone()));
                }
            }
        };
        watches.iter().for_each(|watch| watch.abort());
        kept.end();
        // What cannot be charged any more is not waited for.
        let is_healthy = self.shared.ledger.is_healthy();
        let patience = if is_healthy { self.reloader.drain_time() } else { Duration::ZERO };
        orders.systemd.stopping(patience + CLOSING_TIME + CLOSING_TIME);
        tracing::info!(in_flight = self.shared.admission.in_flight(), "stopping");
        self.switch.drain();
        if !in_time(patience, self.shared.admission.idle(), &mut orders).await {
            tracing::warn!(in_flight = self.shared.admission.in_flight(), "ending what still runs");
            self.switch.close();
            in_time(CLOSING_TIME, self.shared.admission.idle(), &mut orders).await;
        }
        in_time(CLOSING_TIME, self.shared.refusals.written(), &mut orders).await;
        for handle in handles {
            handle.stop(true).await;
        }
        let (ledger, network, lead) = (self.shared.ledger.clone(), self.network, kept.lead);
        let (mark, is_told) = (self.mark, failed.is_ok());
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
        if stopped.await.is_err() {
            tracing::error!("the ledger's end was not waited for");
        }
        tracing::info!("stopped");
        failed.map_err(StartError::Server)
    }
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
