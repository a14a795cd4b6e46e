//! A settlement as a chain or a file shows it.

use crate::account::UserId;
use crate::digest::Digest32;
use crate::jcs::Json;
use crate::keyset::unhex;
use crate::money::Neuron;
use crate::signer::Address;

use super::BadProof;

/// What one voucher took from one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Who paid.
    pub user: UserId,
    /// Who was paid.
    pub provider: Address,
    /// How much was asked for, in neuron.
    pub total: Neuron,
    /// What it was asked for.
    pub requests_hash: Digest32,
    /// The voucher's number.
    pub nonce: u64,
    /// What the voucher before it left unpaid and this one asks for again, in neuron.
    pub carry: Neuron,
}

impl Settled {
    /// Reads a settlement: an object with the members of the contract's `Settlement`, numbers as
    /// decimal strings or integers. `carry` is ours, nothing without it, and the file's own word.
    ///
    /// # Errors
    /// It is none.
    pub fn from_json(document: &Json) -> Result<Self, BadProof> {
        let text = |key| document.get(key).and_then(Json::text).ok_or(BadProof::Member(key));
        let hex = |key| Ok::<_, BadProof>(text(key)?.trim_start_matches("0x").to_ascii_lowercase());
        let amount = |key| match document.get(key) {
            Some(Json::Text(text)) => text.parse().map_err(|_| BadProof::Member(key)),
            Some(Json::Integer(number)) => {
                u128::try_from(*number).map(Neuron::new).map_err(|_| BadProof::Member(key))
            }
            _ => Err(BadProof::Member(key)),
        };
        let nonce = u64::try_from(amount("nonce")?.get());
        let requests_hash = unhex(&hex("requestsHash")?).map(Digest32);
        Ok(Self {
            user: text("user")?.parse().map_err(|_| BadProof::Member("user"))?,
            provider: Address(unhex(&hex("provider")?).ok_or(BadProof::Member("provider"))?),
            total: amount("totalFee")?,
            requests_hash: requests_hash.ok_or(BadProof::Member("requestsHash"))?,
            nonce: nonce.map_err(|_| BadProof::Member("nonce"))?,
            carry: if document.get("carry").is_some() { amount("carry")? } else { Neuron::ZERO },
        })
    }
}
