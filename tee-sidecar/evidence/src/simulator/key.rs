//! Keys that follow from labels. One implementation signs quotes, reports, certificates and
//! collateral, and its signatures are deterministic, so two platforms are the same byte for byte.

use p256::ecdsa::signature::Signer as _;
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};
use sha2::{Digest as _, Sha256, Sha384};

use super::{SimulatorError, failed};

macro_rules! test_key {
    ($name:ident, $curve:ident, $hash:ident, $point:literal, $signature:literal, $rcgen:ident) => {
        pub(super) struct $name {
            key: $curve::ecdsa::SigningKey,
            point: [u8; $point],
        }

        impl $name {
            /// The key whose scalar is the hash of `label`.
            pub(super) fn of_label(label: &str) -> Result<Self, SimulatorError> {
                let scalar = $hash::digest(label);
                let key = $curve::ecdsa::SigningKey::from_slice(&scalar).map_err(failed)?;
                let encoded = key.verifying_key().to_encoded_point(false);
                let point = encoded.as_bytes().try_into().map_err(failed)?;
                Ok(Self { key, point })
            }

            /// The signature of `message` as r, s.
            pub(super) fn sign_raw(
                &self,
                message: &[u8],
            ) -> Result<[u8; $signature], SimulatorError> {
                let signature: $curve::ecdsa::Signature =
                    self.key.try_sign(message).map_err(failed)?;
                let raw: &[u8] = &signature.to_bytes();
                raw.try_into().map_err(failed)
            }
        }

        impl PublicKeyData for $name {
            fn der_bytes(&self) -> &[u8] {
                &self.point
            }

            fn algorithm(&self) -> &'static SignatureAlgorithm {
                &$rcgen
            }
        }

        impl rcgen::SigningKey for $name {
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
                let signature: $curve::ecdsa::Signature =
                    self.key.try_sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
                Ok(signature.to_der().as_bytes().to_vec())
            }
        }
    };
}

test_key!(TestKey, p256, Sha256, 65, 64, PKCS_ECDSA_P256_SHA256);
test_key!(TestKey384, p384, Sha384, 97, 96, PKCS_ECDSA_P384_SHA384);

impl TestKey {
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
}
