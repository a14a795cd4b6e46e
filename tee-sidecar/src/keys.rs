//! Where keys are born.
//!
//! One secret is the root of a sidecar's keys, and each purpose has its own key derived from it
//! under its own name. On a bare TDX machine the secret is born at start and dies with the process:
//! nothing there can keep it. In the simulation it is a file beside the ledger, so that a restart
//! keeps the signer, as a TEE's key service would. dstack has such a service: there each purpose
//! has a path of its own, and its key is used as it comes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::keyset::ReceiptKey;
use broker_core::{Framed, LocalSigner, SignError, Signer};
use zeroize::Zeroizing;

use crate::attest::AttestError;
use crate::attest::dstack::Agent;

pub(crate) mod private_file;
#[cfg(feature = "simulator")]
mod secret_file;

/// Where a TEE's keys come from.
pub enum KeySource {
    /// Random bytes of this start, kept in memory only.
    Born,
    /// dstack's key service, through the guest agent.
    Dstack(Arc<Agent>),
    /// A file beside the ledger; the simulation only.
    SecretFile,
}

/// The signer of answers. `secret_file` is read (and made when absent) in the simulation only.
pub async fn signer(source: &KeySource, secret_file: &Path) -> Result<Arc<dyn Signer>, KeyError> {
    match source {
        KeySource::Born => SigningKeys::born()?.ecdsa(),
        KeySource::Dstack(agent) => {
            // Nothing is derived from it: the key service vouches for this very key.
            let key = agent.key(DSTACK_SIGNING_PATH, "signing", "secp256k1").await?;
            Ok(Arc::new(LocalSigner::from_secret(key.bytes())?))
        }
        #[cfg(feature = "simulator")]
        KeySource::SecretFile => SigningKeys::simulated(secret_file)?.ecdsa(),
        #[cfg(not(feature = "simulator"))]
        KeySource::SecretFile => Err(KeyError::NoSimulator(secret_file.to_owned())),
    }
}

/// The key that signs receipts. It is this sidecar's own: with a key service it is born at each
/// start as without one, and the signer of answers, which outlives starts, vouches for its keyset.
pub fn receipt_key(source: &KeySource, secret_file: &Path) -> Result<ReceiptKey, KeyError> {
    match source {
        KeySource::Born | KeySource::Dstack(_) => Ok(SigningKeys::born()?.receipts()),
        #[cfg(feature = "simulator")]
        KeySource::SecretFile => Ok(SigningKeys::simulated(secret_file)?.receipts()),
        #[cfg(not(feature = "simulator"))]
        KeySource::SecretFile => Err(KeyError::NoSimulator(secret_file.to_owned())),
    }
}

/// The keys of this sidecar: one for each purpose, none of which tells another.
pub struct SigningKeys(Zeroizing<[u8; 32]>);

impl SigningKeys {
    /// Keys that nobody has seen and nobody will see again.
    pub fn born() -> Result<Self, KeyError> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(|e| KeyError::Random(e.to_string()))?;
        Ok(Self(secret))
    }

    /// Keys from the secret in a file, which is made with fresh random bytes when absent.
    #[cfg(feature = "simulator")]
    pub fn simulated(secret_file: &Path) -> Result<Self, KeyError> {
        secret_file::read_or_create(secret_file).map(Self)
    }

    /// The secp256k1 key that signs answers.
    pub fn ecdsa(&self) -> Result<Arc<dyn Signer>, KeyError> {
        let secret = self.derive(ECDSA_SIGNING);
        Ok(Arc::new(LocalSigner::from_secret(&secret)?))
    }

    /// The Ed25519 key that signs receipts.
    pub fn receipts(&self) -> ReceiptKey {
        ReceiptKey::from_secret(&self.derive(RECEIPT_SIGNING))
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let framed = Framed::new("tee-sidecar.key.v1").part(purpose.as_bytes());
        Zeroizing::new(framed.part(self.0.as_slice()).finish().0)
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeys(<secret>)")
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The simulation's key was asked for in a build that has none.
    #[error("{0}: this build has no simulator (cargo feature `simulator`)")]
    NoSimulator(PathBuf),
    /// The secret file could not be read or made.
    #[error("secret file {path}: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The secret file is none: a directory, a link's end that is a device, or of another length.
    #[error("secret file {0}: not a file of exactly 32 bytes; it is never overwritten")]
    NotASecret(PathBuf),
    /// Others than its owner may read the secret file.
    #[error("secret file {path}: mode {mode:o} lets others read or change it; run chmod 600")]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
    /// The guest agent gave none.
    #[error(transparent)]
    Agent(#[from] AttestError),
    /// The 32 bytes are no key, which has a chance of 2^-127.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The name of the purpose of the key that signs answers. Names never change and are never reused.
const ECDSA_SIGNING: &str = "ecdsa-signing";
/// The name of the purpose of the key that signs receipts.
const RECEIPT_SIGNING: &str = "ed25519-receipts";
/// The first at dstack's key service, which gives one path the same bytes for every algorithm: the
/// path names the algorithm, and its last part counts planned rotations.
const DSTACK_SIGNING_PATH: &str = "tee-sidecar/signing/secp256k1/v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_purposes_never_share_bytes_and_a_purpose_keeps_its_own() {
        let keys = SigningKeys(Zeroizing::new([7; 32]));
        let purposes = [ECDSA_SIGNING, "receipts", "tls", ""];
        let derived = purposes.map(|purpose| *keys.derive(purpose));
        for (position, one) in derived.iter().enumerate() {
            assert!(derived[position + 1..].iter().all(|other| other != one));
            assert_ne!(one, &[7; 32]);
        }
        assert_eq!(*keys.derive(ECDSA_SIGNING), derived[0]);
    }

    #[test]
    fn the_derivation_never_changes_between_releases() {
        let keys = SigningKeys(Zeroizing::new([7; 32]));
        let derived = hex::encode(*keys.derive(ECDSA_SIGNING));
        assert_eq!(derived, "cdf5601951b2a0fab97e23f5fa48438a4e2ee5b817544850302b4baa5ba88408");
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let keys = SigningKeys(Zeroizing::new([0xa5; 32]));
        assert_eq!(format!("{keys:?}"), "SigningKeys(<secret>)");
    }
}
