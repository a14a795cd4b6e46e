//! What is taken over from a changed configuration while requests run, and what is not.
//!
//! Prices, limits that are looked at for each request, API keys with their credit, the engines, the
//! filter of the log, the time for draining, and the files of TLS. A configuration is checked whole
//! before any of it is in force. Credit comes first: a key is not served before its account has
//! what it may spend, and a ledger that does not take it has failed, which ends the process.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker_core::Cover;
use tokio::task::spawn_blocking;

use super::cover_account;
use super::run::Load;
use crate::config::{ApiKey, Auth, Limits, Settings, changed};
use crate::exchange::Shared;
use crate::http::Notices;
use crate::http::auth::Authenticator;
use crate::telemetry;
use crate::tls::TlsKeeper;

/// Takes over what can be.
pub(super) struct Reloader {
    /// What is in force.
    settings: Settings,
    credit: Credit,
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
        let credit = Credit::of(&settings.auth);
        Self { settings: settings.clone(), credit, shared, auth, notices, tls }
    }

    /// How long running answers may take to end by themselves.
    pub(super) const fn drain_time(&self) -> Duration {
        Duration::from_secs(self.settings.server.drain_secs)
    }

    /// Reads the configuration anew and takes it over, or changes nothing and tells why.
    pub(super) async fn reload(&mut self, load: Load) {
        let refused: Vec<String> = match spawn_blocking(move || load()).await {
            Ok(Ok(settings)) => self.take_over(settings).await.err().into_iter().collect(),
            Ok(Err(error)) => error.problems().iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
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
        if let Auth::ApiKeys(keys) = &wanted.auth {
            let ledger = &self.shared.ledger;
            let give = async |account: &str, cover| cover_account(ledger, account, cover).await;
            self.credit.take_over(keys, give).await.map_err(|error| error.to_string())?;
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
}

/// What accounts may spend, as the ledger has it from the configurations that were taken over.
#[derive(Debug, Default, PartialEq, Eq)]
struct Credit(BTreeMap<String, Cover>);

impl Credit {
    fn of(auth: &Auth) -> Self {
        let Auth::ApiKeys(keys) = auth else { return Self::default() };
        Self(keys.iter().map(|key| (key.account.clone(), key.cover)).collect())
    }

    /// Gives accounts the cover that they have in `keys`, where it is another one than before.
    /// Where one cannot be given, those that were get their old one back; what a ledger does not
    /// take back either is known, and the next reload sets it right.
    async fn take_over<E: Display>(
        &mut self,
        keys: &[ApiKey],
        give: impl AsyncFn(&str, Cover) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut before = BTreeMap::new();
        for ApiKey { account, cover, .. } in keys {
            if self.0.get(account) == Some(cover) {
                continue;
            }
            if let Err(error) = give(account, *cover).await {
                self.take_back(before, give).await;
                return Err(error);
            }
            if let Some(had) = self.0.insert(account.clone(), *cover) {
                before.insert(account.clone(), had);
            }
        }
        Ok(())
    }

    async fn take_back<E: Display>(
        &mut self,
        before: BTreeMap<String, Cover>,
        give: impl AsyncFn(&str, Cover) -> Result<(), E>,
    ) {
        for (account, had) in before {
            match give(&account, had).await {
                Ok(()) => {
                    self.0.insert(account, had);
                }
                Err(error) => {
                    tracing::error!(%error, account, "its credit is the refused configuration's");
                }
            }
        }
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

    fn keys(credit: &[(&str, u128)]) -> Vec<ApiKey> {
        let entry = |(account, neuron): &(&str, u128)| {
            format!("{{account: {account}, key: key-of-{account}-0000001, creditNeuron: {neuron}}}")
        };
        let entries: Vec<_> = credit.iter().map(entry).collect();
        let yaml = format!("auth: {{mode: apiKeys, apiKeys: [{}]}}\n", entries.join(", "));
        let Auth::ApiKeys(keys) = load(&yaml).auth else { panic!("other keys") };
        keys
    }

    /// What a ledger has, which takes nothing of `refused`.
    async fn taken(credit: &mut Credit, keys: &[ApiKey], refused: &[&str]) -> (bool, String) {
        let given = std::cell::RefCell::new(String::new());
        let give = async |account: &str, cover| match cover {
            _ if refused.contains(&account) => Err("busy"),
            Cover::UpTo(neuron) => {
                *given.borrow_mut() += &format!("{account}={neuron} ");
                Ok(())
            }
            Cover::Unlimited => Err("not asked for"),
        };
        let is_taken = credit.take_over(keys, give).await.is_ok();
        (is_taken, given.into_inner())
    }

    // m1: of two accounts one was changed, "nothing changed" was told, and nothing set it right.
    #[tokio::test]
    async fn credit_that_cannot_be_given_whole_is_taken_back_and_never_forgotten() {
        let before = keys(&[("a", 1), ("b", 1), ("c", 1)]);
        let credit_of = |keys: &[ApiKey]| Credit::of(&Auth::ApiKeys(keys.to_vec()));
        let mut credit = credit_of(&before);
        let wanted = keys(&[("a", 2), ("b", 2), ("c", 1)]);
        let (is_taken, given) = taken(&mut credit, &wanted, &["b"]).await;
        assert_eq!((is_taken, given.as_str()), (false, "a=2 a=1 "));
        assert_eq!(credit, credit_of(&before));
        // The ledger takes a's new credit and then nothing more.
        let calls = std::cell::Cell::new(0);
        let once = async |_: &str, _: Cover| {
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Ok(()) } else { Err("busy") }
        };
        assert!(credit.take_over(&wanted, once).await.is_err());
        let (is_taken, given) = taken(&mut credit, &before, &[]).await;
        assert_eq!((is_taken, given.as_str()), (true, "a=1 "), "the old file sets it right");
        let (is_taken, given) = taken(&mut credit, &wanted, &[]).await;
        assert_eq!((is_taken, given.as_str()), (true, "a=2 b=2 "));
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
