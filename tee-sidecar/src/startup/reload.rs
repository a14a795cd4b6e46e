//! What is taken over from a changed configuration while requests run, and what is not.
//!
//! Prices, limits that are looked at for each request, API keys with their credit, the engines, the
//! filter of the log, the time for draining, and the files of TLS. A configuration is checked whole before
//! any of it is in force. Credit comes first: a key is not served before its account has what it
//! may spend, and a ledger that does not take it has failed, which ends the process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_core::Cover;

use super::cover_account;
use crate::config::{ApiKey, Auth, ConfigError, Limits, Settings, changed};
use crate::exchange::Shared;
use crate::http::Notices;
use crate::http::auth::Authenticator;
use crate::telemetry;
use crate::tls::TlsKeeper;

/// Takes over what can be.
pub(super) struct Reloader {
    /// What is in force.
    settings: Settings,
    shared: Arc<Shared>,
    auth: Arc<Authenticator>,
    notices: Arc<Notices>,
    tls: Option<Arc<TlsKeeper>>,
}

impl Reloader {
    pub(super) fn of(
        settings: &Settings,
        shared: Arc<Shared>,
        (auth, notices): (Arc<Authenticator>, Arc<Notices>),
        tls: Option<Arc<TlsKeeper>>,
    ) -> Self {
        Self { settings: settings.clone(), shared, auth, notices, tls }
    }

    /// How long running answers may take to end by themselves.
    pub(super) const fn drain_time(&self) -> Duration {
        Duration::from_secs(self.settings.server.drain_secs)
    }

    /// Reads the configuration anew and takes it over, or changes nothing and tells why.
    pub(super) async fn reload(&mut self, load: &dyn Fn() -> Result<Settings, ConfigError>) {
        let refused: Vec<String> = match load() {
            Ok(settings) => self.take_over(settings).await.err().into_iter().collect(),
            Err(error) => error.problems().iter().map(ToString::to_string).collect(),
        };
        for why in &refused {
            tracing::error!("the configuration is not taken over, and nothing changed: {why}");
        }
        self.notices.reload_refused.store(!refused.is_empty(), Ordering::Relaxed);
        // Its files are not part of the configuration, so they are looked at in any case.
        if let Some(tls) = &self.tls {
            tls.look().await;
        }
        tracing::info!(taken_over = refused.is_empty(), "reload ended");
    }

    async fn take_over(&mut self, new: Settings) -> Result<(), String> {
        let wanted = taken_over(&self.settings, &new);
        if let (Auth::ApiKeys(before), Auth::ApiKeys(keys)) = (&self.settings.auth, &wanted.auth) {
            self.cover(before, keys).await?;
            self.auth.replace(keys);
        }
        if wanted.log.filter != self.settings.log.filter && !telemetry::refilter(&wanted.log.filter)
        {
            tracing::warn!("log.filter needs a restart: the log is not this program's own");
        }
        if wanted.service.tariff != self.settings.service.tariff {
            self.shared.prices.set(wanted.service.tariff.clone());
        }
        self.shared.catalog.configure(&wanted.upstream.engines());
        self.shared.admission.limit(wanted.limits.clone(), self.shared.clock.now());
        let taken = changed(&self.settings, &wanted).join(", ");
        let left = changed(&wanted, &new).join(", ");
        self.settings = wanted;
        tracing::info!(changed = taken, "the configuration is taken over");
        if !left.is_empty() {
            tracing::warn!(keys = left, "these keys need a restart, and are as they were");
        }
        if new.network.is_some() && left.contains("service.") {
            tracing::warn!(
                "with network the prices are the chain's: POST /v1/service changes them"
            );
        }
        Ok(())
    }

    /// Gives accounts the cover that they have in `keys`, where it is another one than before.
    async fn cover(&self, before: &[ApiKey], keys: &[ApiKey]) -> Result<(), String> {
        let had = covers(before);
        for (account, cover) in covers(keys) {
            if had.get(account) != Some(&cover) {
                let covered = cover_account(&self.shared.ledger, account, cover).await;
                covered.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}

/// What is in force, with those values of `new` that can be taken over.
fn taken_over(settings: &Settings, new: &Settings) -> Settings {
    let mut wanted = settings.clone();
    wanted.limits = Limits {
        concurrent_max: new.limits.concurrent_max,
        concurrent_per_account_max: new.limits.concurrent_per_account_max,
        requests_per_minute: new.limits.requests_per_minute,
        tokens_per_minute: new.limits.tokens_per_minute,
        ..wanted.limits
    };
    wanted.upstream.url.clone_from(&new.upstream.url);
    wanted.upstream.urls.clone_from(&new.upstream.urls);
    wanted.server.drain_secs = new.server.drain_secs;
    wanted.log.filter = new.log.filter.clone();
    // With a network the chain says what is charged, and clients read it there.
    if wanted.network.is_none() && new.network.is_none() {
        wanted.service.tariff = new.service.tariff.clone();
    }
    if let (Auth::ApiKeys(keys), Auth::ApiKeys(new)) = (&mut wanted.auth, &new.auth) {
        keys.clone_from(new);
    }
    wanted
}

fn covers(keys: &[ApiKey]) -> BTreeMap<&str, Cover> {
    keys.iter().map(|key| (key.account.as_str(), key.cover)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn load(yaml: &str) -> Settings {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(yaml.as_bytes()).unwrap();
        Settings::load(Some(file.path()), []).unwrap()
    }

    const NETWORK: &str = "network: {url: http://a, chainID: 1, \
        privateKeys: [0x1111111111111111111111111111111111111111111111111111111111111111], \
        contractAddress: 0x0165878A594ca255338adfa4d48449f69242Eb8F}\n";

    #[test]
    fn prices_are_taken_over_but_for_those_of_a_chain() {
        let priced = |more: &str, price: u32| {
            load(&format!("{more}service: {{inputPrice: {price}, outputPrice: {price}}}\n"))
        };
        let left = |old: &Settings, new: &Settings| changed(&taken_over(old, new), new);
        assert!(left(&priced("", 1), &priced("", 2)).is_empty());
        let [input, output] = ["service.inputPrice", "service.outputPrice"];
        assert_eq!(left(&priced(NETWORK, 1), &priced(NETWORK, 2)), [input, output]);
        let left = left(&priced("", 1), &priced(NETWORK, 2));
        assert!(left.iter().any(|key| key == input), "{left:?}");
    }

    #[test]
    fn the_way_in_which_clients_are_known_is_not_taken_over() {
        let open = load("");
        let keys = load("auth: {mode: apiKeys, apiKeys: [{account: a, key: k123456789abcdef}]}\n");
        for (old, new) in [(&open, &keys), (&keys, &open)] {
            let left = changed(&taken_over(old, new), new);
            assert_eq!(left, ["auth.apiKeys", "auth.mode"]);
        }
    }
}
