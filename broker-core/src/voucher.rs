//! Vouchers: what a user owes, signed so that the 0G contract pays it, once.
//!
//! A voucher is EIP-712 typed data `TEESettlement` under the domain of the InferenceServing
//! contract. Its nonce makes it payable once; its `requestsHash` commits to the receipts it covers,
//! see [`crate::requests`].

use crate::account::UserId;
use crate::digest::Digest32;
use crate::money::Neuron;
use crate::requests::{address, number};
use crate::signer::{Address, SignError, Signature, Signer};

/// The contract that a voucher is meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The chain's id.
    pub chain_id: u64,
    /// The InferenceServing contract (its proxy).
    pub contract: Address,
}

impl Domain {
    /// The EIP-712 domain separator: name `0G Inference Serving`, version `1`.
    pub fn separator(&self) -> Digest32 {
        let name = Digest32::keccak256(b"0G Inference Serving");
        let version = Digest32::keccak256(b"1");
        let words = [
            Digest32::keccak256(DOMAIN_TYPE).0,
            name.0,
            version.0,
            number(u128::from(self.chain_id)),
            address(&self.contract.0),
        ];
        Digest32::keccak256(&words.concat())
    }
}

/// What one user is to pay this provider. Paid once: the contract takes each nonce once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Who pays.
    pub user: UserId,
    /// Who is paid: the account that sends the transaction.
    pub provider: Address,
    /// How much, in neuron.
    pub total: Neuron,
    /// What the receipts that are paid hash to; the contract does not look at it.
    pub requests_hash: Digest32,
    /// Above every nonce that the contract has taken from this pair.
    pub nonce: u64,
}

impl Voucher {
    /// What is signed.
    pub fn digest(&self, domain: &Domain) -> Digest32 {
        let bytes = [b"\x19\x01".as_slice(), &domain.separator().0, &self.struct_hash().0].concat();
        Digest32::keccak256(&bytes)
    }

    /// The EIP-712 hash of the voucher's fields, in the order of their type and not of the ABI.
    pub fn struct_hash(&self) -> Digest32 {
        let words = [
            Digest32::keccak256(VOUCHER_TYPE).0,
            self.requests_hash.0,
            number(u128::from(self.nonce)),
            address(&self.provider.0),
            address(self.user.as_bytes()),
            number(self.total.get()),
        ];
        Digest32::keccak256(&words.concat())
    }

    /// Signs the voucher.
    ///
    /// # Errors
    /// The signer gives no signature.
    pub fn sign(self, domain: &Domain, signer: &dyn Signer) -> Result<SignedVoucher, SignError> {
        let signature = signer.sign_digest(&self.digest(domain))?;
        Ok(SignedVoucher { voucher: self, signature, signing_address: signer.address() })
    }
}

/// A voucher as it is sent. Its bytes never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedVoucher {
    /// What is signed.
    pub voucher: Voucher,
    /// Over [`Voucher::digest`].
    pub signature: Signature,
    /// The key that signed.
    pub signing_address: Address,
}

const DOMAIN_TYPE: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const VOUCHER_TYPE: &[u8] = b"TEESettlement(bytes32 requestsHash,uint256 nonce,address provider,\
address user,uint256 totalFee)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::LocalSigner;

    /// Made with ethers 6; see the protocol document of the 0G network.
    #[test]
    fn hashes_and_signature_equal_those_of_another_implementation() {
        let hex = |text: &str| text.parse::<UserId>().map(|id| *id.as_bytes()).unwrap();
        let domain = Domain {
            chain_id: 31337,
            contract: Address(hex("0x0165878A594ca255338adfa4d48449f69242Eb8F")),
        };
        let voucher = Voucher {
            user: UserId::new(hex("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")),
            provider: Address(hex("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")),
            total: Neuron::new(123_456_789),
            requests_hash: Digest32([0xab; 32]),
            nonce: 17_000_000_000_000_000,
        };
        let domain_type = Digest32::keccak256(DOMAIN_TYPE).to_string();
        assert_eq!(domain_type, "8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f");
        let voucher_type = Digest32::keccak256(VOUCHER_TYPE).to_string();
        assert_eq!(
            voucher_type,
            "6e525043a6c7323bdf60ce222f35127cdd9d8e867ec6350c83fcc254ed18b756"
        );
        assert_eq!(
            domain.separator().to_string(),
            "a907dc2533af4263d8de8b56adc9778afb1a339941e807a12b2def4d10d6292b"
        );
        assert_eq!(
            voucher.struct_hash().to_string(),
            "c0abb3c7699b7a552be8714bac21479bc5c3263ea1fc7f8639580e12441677cc"
        );
        assert_eq!(
            voucher.digest(&domain).to_string(),
            "7addcaf87438ded8cb8951319cbfaffb69aa48363aa8a503f7e7bc558e6497a7"
        );
        let signer = LocalSigner::from_secret(&[0x11; 32]).unwrap();
        let signed = voucher.sign(&domain, &signer).unwrap();
        assert_eq!(
            signed.signature.to_string(),
            "0xe5bd0c66a36307098ab0a2f9c57066a56166f973c30f7366a0fe08efb914b29b\
             417c6634d05342b83a64aaace1b449f64d814b62fe9f7bdae13cf8b9299d4bc91b"
        );
        assert_eq!(
            signed.signing_address.to_string(),
            "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
        );
    }
}
