//! Who asks, by a session token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::{Address, Clock, Digest32, UserId};
use tokio::time::Instant;

use super::accounts::Accounts;
use super::token::{Token, TokenRefusal};
use crate::fault::Fault;

/// Knows the users behind session tokens.
pub struct Sessions {
    provider: Address,
    accounts: Arc<Accounts>,
    clock: Arc<dyn Clock>,
    /// Tokens whose signature was good, and until when that is remembered.
    verified: Mutex<HashMap<Digest32, Instant>>,
}

impl Sessions {
    /// For tokens of this provider.
    pub fn new(provider: Address, accounts: Arc<Accounts>, clock: Arc<dyn Clock>) -> Self {
        Self { provider, accounts, clock, verified: Mutex::default() }
    }

    /// The user who signed the token of an `Authorization` header. Expiry is looked at each time,
    /// what the user revoked within [`super::accounts::FRESH`], the signature once in five minutes.
    ///
    /// # Errors
    /// The protocol's refusal of the token, or the chain cannot be asked.
    pub async fn user(
        &self,
        authorization: Option<&[u8]>,
        peer: Option<IpAddr>,
    ) -> Result<UserId, Fault> {
        let token =
            Token::read(authorization, &self.provider, self.clock.now()).map_err(refused)?;
        // A forged one costs no call to the chain.
        if !self.is_verified(&token.hash) {
            token.check_signature().map_err(refused)?;
            self.remember(token.hash);
        }
        let view = self.accounts.view(token.user, peer).await?;
        token.check_account(view.latest.as_ref()).map_err(refused)?;
        Ok(token.user)
    }

    fn is_verified(&self, token: &Digest32) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.get(token).is_some_and(|until| Instant::now() < *until)
    }

    fn remember(&self, token: Digest32) {
        let now = Instant::now();
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.retain(|_, until| now < *until);
        }
        // It only saves time: where there is no room, the signature is checked again.
        if verified.len() < VERIFIED_MAX {
            verified.insert(token, now + VERIFIED_FOR);
        }
    }
}

fn refused(TokenRefusal(text): TokenRefusal) -> Fault {
    Fault::Unauthorized(text)
}

const VERIFIED_FOR: Duration = Duration::from_secs(300);
const VERIFIED_MAX: usize = 20_000;
