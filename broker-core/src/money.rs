//! Amounts of money, in neuron.
//!
//! One 0G is 10^18 neuron, so an `i64` overflows at 9.22 0G: every amount is a `u128` behind
//! [`Neuron`], and every operation that could leave the range says so.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in neuron (10^-18 0G). Never negative, never a float.
///
/// Written and read as a decimal string, since JSON numbers lose digits beyond 2^53.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Neuron(u128);

impl Neuron {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of `neuron` neuron.
    pub const fn new(neuron: u128) -> Self {
        Self(neuron)
    }

    /// The amount as a plain integer.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// True for an amount of zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` above 2^128 - 1.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` when `other` is the larger.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// `self` a `count` of times (a price per token times tokens), or `None` on overflow.
    pub const fn checked_mul(self, count: u64) -> Option<Self> {
        match self.0.checked_mul(count as u128) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// Sixteen big-endian bytes: their order as bytes is their order as numbers.
    pub const fn to_be_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Neuron::to_be_bytes`].
    pub const fn from_be_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for Neuron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount in neuron is a whole decimal number from 0 to 2^128-1, without sign or point")]
pub struct ParseNeuronError;

impl FromStr for Neuron {
    type Err = ParseNeuronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `u128::from_str` takes a leading plus sign; money is digits only.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseNeuronError);
        }
        text.parse().map(Self).map_err(|_| ParseNeuronError)
    }
}

impl Serialize for Neuron {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Neuron {
    /// Takes a decimal string or a whole number; refuses floats, which round.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NeuronVisitor)
    }
}

struct NeuronVisitor;

impl Visitor<'_> for NeuronVisitor {
    type Value = Neuron;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an amount in neuron: a decimal string or a whole number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Neuron, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Neuron, E> {
        Ok(Neuron::new(u128::from(number)))
    }

    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Neuron, E> {
        Ok(Neuron::new(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Neuron, E> {
        u128::try_from(number).map(Neuron::new).map_err(|_| E::custom(ParseNeuronError))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Neuron, E> {
        Err(E::custom("an amount in neuron is no float; write large amounts as a quoted string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_beyond_i64_and_u64_survives_text_and_bytes() {
        let amount: Neuron = "340282366920938463463374607431768211455".parse().unwrap();
        assert_eq!(amount.get(), u128::MAX);
        assert_eq!(Neuron::from_be_bytes(amount.to_be_bytes()), amount);
        let json = serde_json::to_string(&amount).unwrap();
        assert_eq!(json, "\"340282366920938463463374607431768211455\"");
        assert_eq!(serde_json::from_str::<Neuron>(&json).unwrap(), amount);
    }

    #[test]
    fn what_is_not_a_whole_number_is_refused() {
        for text in
            ["", "+1", "-1", "1.0", "1e18", " 1", "0x10", "340282366920938463463374607431768211456"]
        {
            assert_eq!(text.parse::<Neuron>(), Err(ParseNeuronError), "{text:?}");
        }
        for json in ["1.5", "1e18", "-1", "true", "null", "\"1.5\""] {
            assert!(serde_json::from_str::<Neuron>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::from_str::<Neuron>("7").unwrap(), Neuron::new(7));
    }

    #[test]
    fn arithmetic_never_wraps() {
        let max = Neuron::new(u128::MAX);
        assert_eq!(max.checked_add(Neuron::new(1)), None);
        assert_eq!(Neuron::ZERO.checked_sub(Neuron::new(1)), None);
        assert_eq!(max.checked_mul(2), None);
        assert_eq!(Neuron::new(3).checked_mul(4), Some(Neuron::new(12)));
    }
}
