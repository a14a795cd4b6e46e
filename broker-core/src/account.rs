//! Accounts: who pays, and the four buckets their money is in.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::digest::{Digest32, Framed, write_hex};
use crate::money::Neuron;

/// An account: 20 bytes, whatever spelling the outside used.
///
/// On the 0G network it is the user's chain address; elsewhere the last 20 bytes of
/// keccak256(`"account:"` ‖ name).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId([u8; 20]);

impl UserId {
    /// No account: what an entry is about that is about none.
    pub const NOBODY: Self = Self([0; 20]);

    /// The account with these bytes.
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The account of a name that is no chain address, such as an API key's holder.
    pub fn named(name: &str) -> Self {
        let Digest32(hash) = Digest32::keccak256(format!("account:{name}").as_bytes());
        let mut bytes = [0; 20];
        bytes.copy_from_slice(hash.split_at(12).1);
        Self(bytes)
    }

    /// The account that a configured name stands for: a chain address is that account, and any
    /// other name its hash, see [`Self::named`].
    pub fn of_account(name: &str) -> Self {
        name.parse().unwrap_or_else(|_| Self::named(name))
    }

    /// The account's bytes.
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for UserId {
    /// `0x` and 40 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account is 0x and 40 hex digits")]
pub struct ParseUserIdError;

impl FromStr for UserId {
    type Err = ParseUserIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let digits = digits.filter(|d| d.len() == 40).ok_or(ParseUserIdError)?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ParseUserIdError)?;
            // `from_str_radix` takes a sign; an address has none.
            if !pair.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(ParseUserIdError);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseUserIdError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where money can be. Every movement goes from one bucket to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Bucket {
    /// Outside the ledger: the escrow on chain, or a prepayment made elsewhere.
    World = 0,
    /// The user's, free to be held.
    Available = 1,
    /// Set aside for requests in flight.
    Held = 2,
    /// The provider's: captured fees that no voucher covers yet.
    Earned = 3,
    /// The provider's: fees under a signed voucher that is not settled yet.
    Vouchered = 4,
}

impl Bucket {
    /// The bucket a stored number stands for.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::World,
            1 => Self::Available,
            2 => Self::Held,
            3 => Self::Earned,
            4 => Self::Vouchered,
            _ => return None,
        })
    }
}

/// How much of a user's spending is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// Up to this total, ever: a prepaid credit or an escrow.
    UpTo(Neuron),
    /// Without limit: the user pays later, or pays nothing.
    Unlimited,
}

impl Cover {
    /// A hash over the cover, which the ledger chains.
    pub fn digest(&self) -> Digest32 {
        let framed = Framed::new("broker-core.cover.v1");
        match self {
            Self::UpTo(total) => framed.part(&total.to_be_bytes()).finish(),
            Self::Unlimited => framed.part(b"unlimited").finish(),
        }
    }
}

/// What the ledger knows of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Everything that came in from the world and has not gone back.
    pub cover: Neuron,
    /// Set aside for requests in flight: the sum of the open holds.
    pub held: Neuron,
    /// Captured fees that no voucher covers yet.
    pub earned: Neuron,
    /// Fees under a signed voucher that is not settled yet.
    pub vouchered: Neuron,
    /// Holds of this account are never refused for want of money.
    pub unlimited: bool,
    /// Nothing more is done for this account: the chain is ahead of this ledger.
    pub frozen: bool,
    /// Holds that this account ever had: the number of its latest exchange.
    pub exchanges: u64,
}

impl Account {
    /// What may still be held. Zero also when the cover fell below what is already spent.
    pub fn available(&self) -> Neuron {
        self.committed().and_then(|spent| self.cover.checked_sub(spent)).unwrap_or(Neuron::ZERO)
    }

    /// What the user owes the provider: captured and not settled.
    pub fn owed(&self) -> Option<Neuron> {
        self.earned.checked_add(self.vouchered)
    }

    /// Held and owed together.
    pub fn committed(&self) -> Option<Neuron> {
        self.held.checked_add(self.owed()?)
    }
}

/// One movement of money between two buckets of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Whose buckets.
    pub user: UserId,
    /// The bucket that gets less.
    pub debit: Bucket,
    /// The bucket that gets more.
    pub credit: Bucket,
    /// How much; never zero.
    pub amount: Neuron,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_identity_whatever_its_spelling() {
        let lower: UserId = "0x52908400098527886e0f7030069857d2e4169ee7".parse().unwrap();
        let upper: UserId = "0X52908400098527886E0F7030069857D2E4169EE7".parse().unwrap();
        assert_eq!(lower, upper);
        assert_eq!(lower.to_string(), "0x52908400098527886e0f7030069857d2e4169ee7");
        for bad in [
            "",
            "0x",
            "52908400098527886e0f7030069857d2e4169ee7",
            "0x+2908400098527886e0f7030069857d2e4169ee7",
        ] {
            assert_eq!(bad.parse::<UserId>(), Err(ParseUserIdError), "{bad:?}");
        }
    }

    #[test]
    fn an_account_named_by_an_address_is_that_address_and_any_other_its_hash() {
        let address = "0x52908400098527886E0F7030069857D2E4169EE7";
        assert_eq!(UserId::of_account(address), address.parse().unwrap());
        assert_eq!(UserId::of_account("open"), UserId::named("open"));
        for near in [&address[2..], &address[..41], "0x", ""] {
            assert_eq!(UserId::of_account(near), UserId::named(near), "{near:?}");
        }
    }

    #[test]
    fn a_named_account_is_the_tail_of_a_keccak_hash() {
        // keccak256("account:open"), computed with an independent implementation.
        assert_eq!(UserId::named("open").to_string(), "0xb703c1f68753476113e65e95416ecc35626c390e");
    }
}
