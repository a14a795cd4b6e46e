//! The `cache_salt` of an account: what keeps its prefix cache at the engine apart from others'.
//!
//! vLLM finds what it has computed for a prompt's beginning by a hash over the tokens and this
//! member. Without it anybody could learn from an answer's timing whether somebody else sent the
//! same beginning before. The salt is a hash over a secret of this process and the account, so
//! nobody can name another's, whatever a client sends: its own `cache_salt` goes into the hash and
//! parts what it asks for further.

use broker_core::{Framed, UserId};
use zeroize::Zeroizing;

use crate::config;

/// The secret that salts are made of, and when they are.
pub struct CacheSalts {
    /// Born at start, known to nobody: an engine's cache that is not found after a restart costs
    /// time only.
    secret: Zeroizing<[u8; 32]>,
    rule: Rule,
}

/// When requests are salted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Never,
    /// Where every engine is one that knows the member.
    WhereKnown,
    Always,
}

impl std::fmt::Debug for CacheSalts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CacheSalts({:?}, <secret>)", self.rule)
    }
}

impl CacheSalts {
    /// Salts as the settings ask for them. `has_accounts` is false where all clients are one.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn new(wanted: config::CacheSalt, has_accounts: bool) -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice())?;
        let rule = match wanted {
            config::CacheSalt::None => Rule::Never,
            // There is nobody to tell apart.
            config::CacheSalt::Auto if !has_accounts => Rule::Never,
            config::CacheSalt::Auto => Rule::WhereKnown,
            config::CacheSalt::Account => Rule::Always,
        };
        Ok(Self { secret, rule })
    }

    /// Whether requests are salted; `is_known` says whether every engine knows the member.
    pub(super) fn apply(&self, is_known: bool) -> bool {
        match self.rule {
            Rule::Never => false,
            Rule::WhereKnown => is_known,
            Rule::Always => true,
        }
    }

    /// The salt of an account, beside the one that its client gave: 64 hex digits.
    pub(super) fn of(&self, user: &UserId, given: Option<&str>) -> String {
        let framed = Framed::new("tee-sidecar.cache-salt.v1").part(self.secret.as_slice());
        framed.part(user.as_bytes()).part_if(given.map(str::as_bytes)).finish().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_account_and_every_salt_of_its_client_s_has_one_of_its_own_and_keeps_it() {
        let salts = CacheSalts::new(config::CacheSalt::Account, true).unwrap();
        let others = CacheSalts::new(config::CacheSalt::Account, true).unwrap();
        let (alice, bob) = (UserId::named("alice"), UserId::named("bob"));
        let mut seen = BTreeSet::new();
        for salts in [&salts, &others] {
            for (user, given) in [
                (alice, None),
                (bob, None),
                (alice, Some("")),
                (alice, Some("x")),
                (bob, Some("x")),
            ] {
                let salt = salts.of(&user, given);
                // What vLLM takes: short, and nothing that a path would have.
                assert!(salt.len() == 64 && salt.bytes().all(|byte| byte.is_ascii_hexdigit()));
                assert_eq!(salt, salts.of(&user, given));
                assert!(seen.insert(salt), "{given:?}");
            }
        }
        assert_eq!(format!("{salts:?}"), "CacheSalts(Always, <secret>)");
    }

    #[test]
    fn by_default_only_engines_that_know_salts_get_them_and_only_where_there_are_accounts() {
        use config::CacheSalt::{Account, Auto, None};
        for (wanted, has_accounts, is_known, expected) in [
            (Auto, true, true, true),
            (Auto, true, false, false),
            (Auto, false, true, false),
            (Account, false, false, true),
            (None, true, true, false),
        ] {
            let salts = CacheSalts::new(wanted, has_accounts).unwrap();
            assert_eq!(salts.apply(is_known), expected, "{wanted:?}");
        }
    }
}
