//! Numbers and bytes as a node writes them in JSON: `0x` and hex digits.

use alloy_primitives::U256;
use serde_json::Value;

use crate::digest::Digest32;
use crate::money::Neuron;

/// `0x` and the number's hex digits, without leading zeros.
pub(super) fn quantity(number: u128) -> String {
    format!("{number:#x}")
}

/// `0x` and two hex digits for each byte.
pub(super) fn data(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// The number that `value` is, where it is one below 2^64.
pub(super) fn read_u64(value: &Value) -> Option<u64> {
    u64::from_str_radix(digits(value)?, 16).ok()
}

/// The amount that `value` is, where it is one below 2^128.
pub(super) fn read_neuron(value: &Value) -> Option<Neuron> {
    u128::from_str_radix(digits(value)?, 16).ok().map(Neuron::new)
}

/// The bytes that `value` is.
pub(super) fn read_bytes(value: &Value) -> Option<Vec<u8>> {
    hex::decode(value.as_str()?.strip_prefix("0x")?).ok()
}

/// The 32 bytes that `value` is.
pub(super) fn read_digest(value: &Value) -> Option<Digest32> {
    read_bytes(value)?.try_into().ok().map(Digest32)
}

/// The 20 bytes that `value` is.
pub(super) fn read_address(value: &Value) -> Option<[u8; 20]> {
    read_bytes(value)?.try_into().ok()
}

/// The contract's number as an amount, where it is one below 2^128.
pub(super) fn neuron(number: U256) -> Option<Neuron> {
    u128::try_from(number).ok().map(Neuron::new)
}

fn digits(value: &Value) -> Option<&str> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    // `from_str_radix` takes a leading plus sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        for number in [0, 1, 255, u128::from(u64::MAX)] {
            let written = json!(quantity(number));
            assert_eq!(read_u64(&written).map(u128::from), Some(number));
            assert_eq!(read_neuron(&written), Some(Neuron::new(number)));
        }
        assert_eq!(quantity(10), "0xa");
        assert_eq!(read_neuron(&json!(quantity(u128::MAX))), Some(Neuron::new(u128::MAX)));
    }

    #[test]
    fn what_is_no_number_is_not_read_as_one() {
        for value in [
            json!(null),
            json!(1),
            json!("1"),
            json!("0x"),
            json!("0x+1"),
            json!("0x 1"),
            json!("0xg"),
            json!("0x10000000000000000"),
        ] {
            assert_eq!(read_u64(&value), None, "{value}");
        }
        assert_eq!(read_neuron(&json!(format!("0x1{}", "0".repeat(32)))), None);
        assert_eq!(neuron(U256::MAX), None);
    }

    #[test]
    fn bytes_are_of_their_length_or_nothing() {
        assert_eq!(read_bytes(&json!("0x")), Some(vec![]));
        assert_eq!(read_bytes(&json!("0x0")), None);
        assert_eq!(read_digest(&json!(data(&[7; 32]))), Some(Digest32([7; 32])));
        assert_eq!(read_digest(&json!(data(&[7; 31]))), None);
        assert_eq!(read_address(&json!(data(&[7; 20]))), Some([7; 20]));
    }
}
