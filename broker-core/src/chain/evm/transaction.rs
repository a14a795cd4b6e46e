//! Transactions of the oldest form, which every chain takes, signed for one chain only (EIP-155).

use alloy_rlp::{Encodable, Header};

use crate::digest::Digest32;
use crate::money::Neuron;
use crate::signer::{Address, SignError, Signer};

/// A transaction before it is signed.
#[derive(Clone, Debug)]
pub(super) struct Transaction<'a> {
    /// How many the wallet sent before it.
    pub(super) number: u64,
    /// Neuron for a unit of gas.
    pub(super) gas_price: Neuron,
    /// Units of gas at most.
    pub(super) gas: u64,
    pub(super) to: Address,
    pub(super) value: Neuron,
    pub(super) data: &'a [u8],
}

/// A transaction as it is sent.
pub(super) struct Signed {
    pub(super) bytes: Vec<u8>,
    pub(super) hash: Digest32,
}

impl Transaction<'_> {
    pub(super) fn sign(&self, chain_id: u64, wallet: &dyn Signer) -> Result<Signed, SignError> {
        let digest = Digest32::keccak256(&self.encode(&[&chain_id, &0_u8, &0_u8]));
        let signature = wallet.sign_digest(&digest)?.0;
        let (r, rest) = signature.split_at(32);
        let (s, v) = rest.split_at(32);
        let odd = v.first().is_some_and(|v| *v == 28);
        // Wide, since some chains' ids take all of 64 bits.
        let v = u128::from(chain_id).saturating_mul(2).saturating_add(if odd { 36 } else { 35 });
        let bytes = self.encode(&[&v, &number(r), &number(s)]);
        let hash = Digest32::keccak256(&bytes);
        Ok(Signed { bytes, hash })
    }

    fn encode(&self, end: &[&dyn Encodable]) -> Vec<u8> {
        let (price, value) = (self.gas_price.get(), self.value.get());
        let mut payload = Vec::new();
        let start: [&dyn Encodable; 6] =
            [&self.number, &price, &self.gas, &self.to.0.as_slice(), &value, &self.data];
        start.iter().chain(end).for_each(|field| field.encode(&mut payload));
        let mut list = Vec::new();
        Header { list: true, payload_length: payload.len() }.encode(&mut list);
        list.extend(payload);
        list
    }
}

/// Numbers carry no leading zeros.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.split_at(zeros).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::LocalSigner;

    /// The example in the text of EIP-155.
    #[test]
    fn the_example_of_the_standard_is_signed_to_the_byte() {
        let wallet = LocalSigner::from_secret(&[0x46; 32]).unwrap();
        let transaction = Transaction {
            number: 9,
            gas_price: Neuron::new(20_000_000_000),
            gas: 21_000,
            to: Address([0x35; 20]),
            value: Neuron::new(1_000_000_000_000_000_000),
            data: &[],
        };
        let signed = transaction.sign(1, &wallet).unwrap();
        assert_eq!(
            hex::encode(&signed.bytes),
            "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080\
             25a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276\
             a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
        );
        assert_eq!(signed.hash, Digest32::keccak256(&signed.bytes));
    }

    #[test]
    fn numbers_have_no_leading_zeros() {
        assert_eq!(number(&[0, 0, 7, 0]), [7, 0]);
        assert_eq!(number(&[0; 32]), [0_u8; 0]);
    }
}
