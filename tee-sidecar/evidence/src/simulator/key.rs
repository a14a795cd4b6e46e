//! P-256 keys that follow from labels. One implementation signs quotes, certificates and
//! collateral, and its signatures are deterministic, so two platforms are the same byte for byte.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest as _, Sha256};

use super::{SimulatorError, failed};

pub(super) struct TestKey {
    key: SigningKey,
    point: [u8; 65],
}

impl TestKey {
    /// The key whose scalar is the SHA-256 of `label`.
    pub(super) fn of_label(label: &str) -> Result<Self, SimulatorError> {
        let scalar: [u8; 32] = Sha256::digest(label).into();
        let key = SigningKey::from_slice(&scalar).map_err(failed)?;
        let mut point = [0; 65];
        let encoded = key.verifying_key().to_encoded_point(false);
        if encoded.len() != point.len() {
            return Err(failed("a public key of another length"));
        }
        point.copy_from_slice(encoded.as_bytes());
        Ok(Self { key, point })
    }

    /// The public key as 04, x, y.
    pub(super) const fn point(&self) -> [u8; 65] {
        self.point
    }

    /// The public key as x, y: the form inside quotes.
    pub(super) fn xy(&self) -> [u8; 64] {
        let mut xy = [0; 64];
        xy.copy_from_slice(self.point.split_at(1).1);
        xy
    }

    /// The signature of `message` as r, s.
    pub(super) fn sign_raw(&self, message: &[u8]) -> Result<[u8; 64], SimulatorError> {
        let signature: Signature = self.key.try_sign(message).map_err(failed)?;
        Ok(signature.to_bytes().into())
    }
}

impl PublicKeyData for TestKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for TestKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature =
            self.key.try_sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
