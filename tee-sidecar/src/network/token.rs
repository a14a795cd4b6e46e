//! 0G's session tokens: what a user signed so that clients may spend from an escrow.
//!
//! `Authorization: Bearer app-sk-<base64 of rawMessage|signature>`. Pure: the header, the provider
//! and the time go in, and the account that pays or the protocol's own refusal comes out. Three
//! steps: [`Token::read`], [`Token::check_signature`], and only for what the user signed
//! [`Token::check_account`] (what the chain revoked).
//!
//! A token has exactly one spelling here: standard padded base64 (neither base64url nor unpadded),
//! and the signature as `0x` and lower-case hex digits, as wallets write it. What is signed is the
//! message as it was received; it is read as JSON and never written again. Members that nobody
//! knows are signed too and ignored; one that stands twice, is missing, negative, fractional or
//! out of its range makes the token malformed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use broker_core::chain::Escrow;
use broker_core::{Address, Digest32, Signature, Timestamp, UserId, eip191_digest, recover_signer};
use serde::Deserialize;

/// A token that is meant for this provider and has not expired.
#[derive(Clone, Debug)]
pub struct Token {
    /// Who is said to have signed it; true once [`Token::check_signature`] passed.
    pub user: UserId,
    /// Which of the two hundred and fifty-six tokens of the user; 255 is the ephemeral one.
    pub id: u8,
    /// The user's generation of tokens.
    pub generation: u64,
    /// Of the header's token: the same bytes had the same signature.
    pub hash: Digest32,
    message_hash: Digest32,
    signature: String,
}

/// Why a token does not stand for a user: the protocol's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenRefusal(pub &'static str);

/// What is signed. Times are in milliseconds since 1970.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(borrow)]
    address: &'a str,
    #[serde(borrow)]
    provider: &'a str,
    timestamp: u64,
    expires_at: u64,
    generation: u64,
    token_id: u8,
}

impl Token {
    /// Reads the value of an `Authorization` header, up to what the chain knows.
    ///
    /// # Errors
    /// It is no token, or one for another provider, or one that has expired or lives too long.
    pub fn read(
        authorization: Option<&[u8]>,
        provider: &Address,
        now: Timestamp,
    ) -> Result<Self, TokenRefusal> {
        let encoded = authorization.and_then(presented).ok_or(MISSING)?;
        let payload = BASE64_STANDARD.decode(encoded).map_err(|_| NOT_BASE64)?;
        let split = payload.iter().position(|byte| *byte == b'|').ok_or(NO_SIGNATURE)?;
        let (raw, signature) = payload.split_at(split);
        let signature = signature.strip_prefix(b"|").unwrap_or_default();
        let message: Message<'_> = serde_json::from_slice(raw).map_err(|_| MALFORMED)?;
        let user: UserId = message.address.parse().map_err(|_| MALFORMED)?;
        message.check(provider, now)?;
        Ok(Self {
            user,
            id: message.token_id,
            generation: message.generation,
            hash: Digest32::sha256(encoded),
            message_hash: Digest32::keccak256(raw),
            signature: String::from_utf8(signature.to_vec()).unwrap_or_default(),
        })
    }

    /// Holds the token against what its user revoked. A user without an account revoked nothing.
    ///
    /// # Errors
    /// The token is revoked, or of a generation that does not exist yet.
    pub fn check_account(&self, escrow: Option<&Escrow>) -> Result<(), TokenRefusal> {
        let Some(escrow) = escrow else { return Ok(()) };
        if self.generation < escrow.generation {
            return Err(OLD_GENERATION);
        }
        if self.generation > escrow.generation {
            return Err(FUTURE_GENERATION);
        }
        // The ephemeral token has no bit: it goes with its generation, or within a day.
        if self.id != EPHEMERAL && escrow.is_revoked(self.id) {
            return Err(REVOKED);
        }
        Ok(())
    }

    /// Whether the user signed these very bytes.
    ///
    /// # Errors
    /// The signature is none, or another's.
    pub fn check_signature(&self) -> Result<(), TokenRefusal> {
        let digits = self.signature.strip_prefix("0x").ok_or(SIGNATURE_FORMAT)?;
        if digits.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(SIGNATURE_FORMAT);
        }
        let mut signature = [0; 65];
        match hex::decode_to_slice(digits, &mut signature) {
            Ok(()) => {}
            Err(hex::FromHexError::OddLength) => return Err(SIGNATURE_FORMAT),
            Err(_) => return Err(SIGNATURE_LENGTH),
        }
        // Wallets sign the 32 bytes of the hash, not its digits.
        let digest = eip191_digest(self.message_hash.0);
        let signer =
            recover_signer(&digest, &Signature(signature)).map_err(|_| NO_KEY_RECOVERED)?;
        if signer.0 == *self.user.as_bytes() { Ok(()) } else { Err(OTHER_SIGNER) }
    }
}

impl Message<'_> {
    fn check(&self, provider: &Address, now: Timestamp) -> Result<(), TokenRefusal> {
        if !self.provider.eq_ignore_ascii_case(&provider.to_string()) {
            return Err(OTHER_PROVIDER);
        }
        if self.token_id == EPHEMERAL {
            if self.expires_at == 0 {
                return Err(EPHEMERAL_FOR_EVER);
            }
            // From when it says that it was made, and from now: a date to come would prolong it.
            let latest = now.plus_millis(EPHEMERAL_MILLIS_MAX + CLOCKS_APART_MILLIS);
            let lives = self.expires_at.saturating_sub(self.timestamp);
            if lives > EPHEMERAL_MILLIS_MAX || self.expires_at > latest.0 {
                return Err(EPHEMERAL_TOO_LONG);
            }
        }
        if self.expires_at > 0 && now.as_secs() > Timestamp(self.expires_at).as_secs() {
            return Err(EXPIRED);
        }
        Ok(())
    }
}

/// The base64 part of the header. The scheme is of any case, as HTTP has it.
fn presented(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let token = token.trim_ascii().strip_prefix(TOKEN_PREFIX)?;
    let right = scheme.eq_ignore_ascii_case(SCHEME) && token.len() <= TOKEN_BYTES_MAX;
    right.then_some(token)
}

const SCHEME: &[u8] = b"Bearer ";
const TOKEN_PREFIX: &[u8] = b"app-sk-";
/// A real one has about 500 bytes.
const TOKEN_BYTES_MAX: usize = 4096;
/// The id of tokens that live a day at most.
const EPHEMERAL: u8 = 255;
const EPHEMERAL_MILLIS_MAX: u64 = 86_400_000;
/// What a user's clock may be ahead of ours.
const CLOCKS_APART_MILLIS: u64 = 5 * 60 * 1000;

const MISSING: TokenRefusal = TokenRefusal(
    "missing or invalid Authorization header, must be Bearer app-sk-<base64(rawMessage:signature)>",
);
const NOT_BASE64: TokenRefusal = TokenRefusal("invalid base64 in Authorization header");
const NO_SIGNATURE: TokenRefusal =
    TokenRefusal("invalid Authorization payload, expect base64(rawMessage:signature)");
const MALFORMED: TokenRefusal = TokenRefusal("invalid session token format in Authorization");
const OTHER_PROVIDER: TokenRefusal = TokenRefusal("session token is for different provider");
const EPHEMERAL_FOR_EVER: TokenRefusal =
    TokenRefusal("ephemeral token must have an expiration time");
const EPHEMERAL_TOO_LONG: TokenRefusal =
    TokenRefusal("ephemeral token duration cannot exceed 24 hours");
const EXPIRED: TokenRefusal = TokenRefusal("session token expired");
const OLD_GENERATION: TokenRefusal =
    TokenRefusal("session token has been revoked (generation expired)");
const FUTURE_GENERATION: TokenRefusal = TokenRefusal("invalid session token (future generation)");
const REVOKED: TokenRefusal = TokenRefusal("session token has been revoked");
const SIGNATURE_FORMAT: TokenRefusal = TokenRefusal("invalid signature format");
const SIGNATURE_LENGTH: TokenRefusal = TokenRefusal("invalid signature length");
const NO_KEY_RECOVERED: TokenRefusal = TokenRefusal("failed to recover public key from signature");
const OTHER_SIGNER: TokenRefusal = TokenRefusal("signature verification failed: address mismatch");

#[cfg(test)]
mod tests;
