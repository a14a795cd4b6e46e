//! Amounts as PostgreSQL's NUMERIC, digit for digit.

use crate::money::Neuron;

/// The wire form: how many digits of base 10,000, the power of the first one, sign, digits after
/// the point, and the digits, each of them 16 bits. Digits of zero at the end are left out.
pub(super) fn encode(amount: Neuron) -> Vec<u8> {
    let mut digits = Vec::new();
    let mut rest = amount.get();
    while rest > 0 {
        // Always below the base.
        digits.push(u16::try_from(rest.checked_rem(BASE).unwrap_or_default()).unwrap_or_default());
        rest = rest.checked_div(BASE).unwrap_or_default();
    }
    let weight = digits.len().saturating_sub(1);
    let kept: Vec<u16> = digits.into_iter().skip_while(|digit| *digit == 0).collect();
    // 2^128 has ten digits of this base at most.
    let small = |count: usize| u16::try_from(count).unwrap_or_default();
    let head = [small(kept.len()), small(weight), POSITIVE, 0];
    head.into_iter().chain(kept.into_iter().rev()).flat_map(u16::to_be_bytes).collect()
}

/// `None` for what is no whole number from 0 to 2^128-1.
pub(super) fn decode(bytes: &[u8]) -> Option<Neuron> {
    let mut words = bytes.chunks(2).map(|pair| pair.try_into().map(u16::from_be_bytes).ok());
    let mut next = || words.next().flatten();
    let (count, weight, sign, _) = (next()?, next()?.cast_signed(), next()?, next()?);
    let expected = usize::from(count).checked_add(HEAD_WORDS)?.checked_mul(2)?;
    if sign != POSITIVE || bytes.len() != expected {
        return None;
    }
    let mut amount: u128 = 0;
    // Places from the first digit down to that of the ones.
    for _ in 0..=i32::from(weight).max(-1) {
        let digit = next().unwrap_or_default();
        if u128::from(digit) >= BASE {
            return None;
        }
        amount = amount.checked_mul(BASE)?.checked_add(u128::from(digit))?;
    }
    // What is left is behind the point.
    while let Some(digit) = next() {
        if digit != 0 {
            return None;
        }
    }
    Some(Neuron::new(amount))
}

const BASE: u128 = 10_000;
const POSITIVE: u16 = 0;
const HEAD_WORDS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[u16]) -> Vec<u8> {
        words.iter().copied().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn amounts_have_the_form_that_postgresql_sends() {
        for (amount, expected) in [
            (0, vec![0, 0, 0, 0]),
            (7, vec![1, 0, 0, 0, 7]),
            (10_000, vec![1, 1, 0, 0, 1]),
            (12_345_678, vec![2, 1, 0, 0, 1234, 5678]),
            (1_000_000_000_000_000_000, vec![1, 4, 0, 0, 100]),
            (
                u128::MAX,
                vec![10, 9, 0, 0, 340, 2823, 6692, 938, 4634, 6337, 4607, 4317, 6821, 1455],
            ),
        ] {
            assert_eq!(encode(Neuron::new(amount)), words(&expected), "{amount}");
            assert_eq!(decode(&words(&expected)), Some(Neuron::new(amount)), "{amount}");
        }
    }

    #[test]
    fn what_is_no_whole_amount_is_refused() {
        for bad in [
            vec![],
            vec![0, 0, 0],
            vec![1, 0, 0x4000, 0, 7],
            vec![0, 0, 0xc000, 0],
            vec![2, 0, 0, 1, 7, 5000],
            vec![1, 0xffff, 0, 1, 5000],
            vec![1, 0, 0, 0, 10_000],
            vec![2, 0, 0, 0, 7],
            vec![1, 0, 0, 0, 7, 0],
            vec![10, 9, 0, 0, 340, 2823, 6692, 938, 4634, 6337, 4607, 4317, 6821, 1456],
            vec![1, 10, 0, 0, 1],
            vec![1, 0x7fff, 0, 0, 1],
        ] {
            assert_eq!(decode(&words(&bad)), None, "{bad:?}");
        }
        assert_eq!(decode(&[0, 1, 0]), None);
        // Zero with digits behind the point, as a sum may have it.
        assert_eq!(decode(&words(&[1, 0, 0, 2, 7])), Some(Neuron::new(7)));
    }

    proptest! {
        #[test]
        fn every_amount_comes_back(amount: u128, shift in 0..128_u32) {
            let amount = Neuron::new(amount >> shift);
            prop_assert_eq!(decode(&encode(amount)), Some(amount));
        }

        #[test]
        fn no_bytes_at_all_break_the_reader(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }
}
