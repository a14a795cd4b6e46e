//! Small changes that follow from a number alone.

use std::ops::Range;

pub(super) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(super) const fn new(state: u64) -> Self {
        Self { state }
    }

    /// One change of `seed`, or up to four; `other` is where foreign pieces come from.
    pub(super) fn change(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            self.change_once(&mut bytes, other);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change_once(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len() + 1);
        match self.below(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(self.range(bytes.len()))),
            // A piece again, a foreign piece over the same place, the front of one behind another.
            2 => drop(bytes.splice(at..at, bytes[self.range(bytes.len())].to_vec())),
            3 => {
                let piece = &other[self.range(other.len())];
                let end = bytes.len().min(at + piece.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            4 => {
                bytes.truncate(at);
                bytes.extend(&other[self.below(other.len() + 1)..]);
            }
            5 => self.number(bytes, at),
            6 => self.digits(bytes, at),
            _ if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            _ => bytes.push(at as u8),
        }
    }

    /// A length or a count as an attacker would have it, in one to four bytes of either order.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let value = NUMBERS[self.below(NUMBERS.len())];
        let width = 1 + self.below(4);
        let mut field = value.to_le_bytes();
        if self.below(2) == 0 {
            field[..width].reverse();
        }
        for (byte, value) in bytes.iter_mut().skip(at).zip(&field[..width]) {
            *byte = *value;
        }
    }

    /// The next number in digits, as JSON and XML have them.
    fn digits(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let Some(start) = bytes[at..].iter().position(is_digit).map(|found| at + found) else {
            return;
        };
        let length = bytes[start..].iter().take_while(|byte| is_digit(byte)).count();
        let digits = DIGITS[self.below(DIGITS.len())];
        bytes.splice(start..start + length, digits.bytes());
    }

    /// Up to 64 bytes, and now and then up to all.
    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.below(length + 1);
        let most = if self.below(8) == 0 { length } else { 64 };
        start..length.min(start + self.below(most + 1))
    }

    /// A number under `end`, by xorshift.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

const NUMBERS: [u32; 10] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

const DIGITS: [&str; 8] = [
    "",
    "0",
    "-1",
    "255",
    "256",
    "18446744073709551616",
    "1e999",
    "00000000000000000000000000000000000000000000000000000000000000000000000000000007",
];

/// Doubled pieces do not grow without end.
const BYTES_MAX: usize = 256 * 1024;
