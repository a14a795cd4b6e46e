//! Who asks: from the `Authorization` header to the account that pays.

use std::sync::{Arc, PoisonError, RwLock};

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use broker_core::{Digest32, UserId};
use subtle::ConstantTimeEq;

use crate::config::{ApiKey, Auth};
use crate::fault::Fault;
use crate::network::sessions::Sessions;
use crate::route::Route;

/// The account that `open` charges.
pub const OPEN_ACCOUNT: &str = "open";

/// Where Anthropic's clients have their key.
const API_KEY: &str = "x-api-key";

/// Knows the accounts behind keys.
pub enum Authenticator {
    /// Everyone is the account `open`.
    Open(UserId),
    /// By the SHA-256 of the key, so that a comparison tells nothing about a key.
    ApiKeys(RwLock<Arc<[Known]>>),
    /// By what the user signed.
    SessionTokens(Arc<Sessions>),
}

impl Authenticator {
    /// From the settings. Session tokens need `sessions`; without them nobody is known.
    pub fn new(auth: &Auth, sessions: Option<Arc<Sessions>>) -> Self {
        match auth {
            Auth::Open => Self::Open(UserId::named(OPEN_ACCOUNT)),
            Auth::ApiKeys(keys) => Self::ApiKeys(RwLock::new(known(keys))),
            Auth::SessionTokens => {
                sessions.map_or_else(|| Self::ApiKeys(RwLock::new([].into())), Self::SessionTokens)
            }
        }
    }

    /// These keys are known from now on, and no others, where accounts are known by keys at all.
    pub fn replace(&self, keys: &[ApiKey]) {
        if let Self::ApiKeys(entries) = self {
            *entries.write().unwrap_or_else(PoisonError::into_inner) = known(keys);
        }
    }

    /// Whether nobody is asked who they are.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// The account of all requests, where nobody is asked who they are.
    pub const fn everybody(&self) -> Option<UserId> {
        match self {
            Self::Open(user) => Some(*user),
            _ => None,
        }
    }

    /// The account of a request.
    ///
    /// # Errors
    /// There is no key or token, or none we know; or the chain cannot be asked about a token.
    pub async fn account(&self, request: &HttpRequest) -> Result<UserId, Fault> {
        self.by(request, bearer(request)).await
    }

    /// The account of a request to an inference route. Clients of Anthropic's have their key in a
    /// header of its own.
    ///
    /// # Errors
    /// As [`Self::account`].
    pub async fn account_on(&self, route: Route, request: &HttpRequest) -> Result<UserId, Fault> {
        let key = match bearer(request) {
            None if route == Route::Messages => request.headers().get(API_KEY),
            _ => None,
        };
        let key = key.map(|value| value.as_bytes().trim_ascii());
        self.by(request, key.or_else(|| bearer(request))).await
    }

    async fn by(&self, request: &HttpRequest, presented: Option<&[u8]>) -> Result<UserId, Fault> {
        let keys = match self {
            Self::Open(user) => return Ok(*user),
            Self::ApiKeys(keys) => keys.read().unwrap_or_else(PoisonError::into_inner).clone(),
            Self::SessionTokens(sessions) => {
                let token = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes());
                let peer = request.peer_addr().map(|peer| peer.ip());
                return sessions.user(token, peer).await;
            }
        };
        let presented = presented.ok_or(Fault::Unauthorized(
            "an API key is needed: send the header 'Authorization: Bearer <key>'",
        ))?;
        let presented = Digest32::sha256(presented);
        // Every entry is compared, so the time does not tell which one fits.
        let mut found = None;
        for (digest, user) in keys.iter() {
            if bool::from(digest.0.ct_eq(&presented.0)) {
                found = Some(*user);
            }
        }
        found.ok_or(Fault::Unauthorized("this API key is not known here"))
    }

    /// The account of a request to a route that needs none: `None` without credentials.
    pub async fn optional_account(&self, request: &HttpRequest) -> Result<Option<UserId>, Fault> {
        match self {
            Self::Open(_) => Ok(None),
            _ if !request.headers().contains_key(AUTHORIZATION) => Ok(None),
            _ => self.account(request).await.map(Some),
        }
    }
}

/// The hash of a key, and whose it is.
type Known = (Digest32, UserId);

fn known(keys: &[ApiKey]) -> Arc<[Known]> {
    let entry = |key: &ApiKey| {
        (Digest32::sha256(key.key.expose().as_bytes()), UserId::of_account(&key.account))
    };
    keys.iter().map(entry).collect()
}

pub(super) fn bearer(request: &HttpRequest) -> Option<&[u8]> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
