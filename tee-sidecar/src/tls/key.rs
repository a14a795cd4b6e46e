//! The private key, in a file that only its owner may read.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use broker_core::Digest32;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::SigningKey;
use zeroize::{Zeroize as _, Zeroizing};

use super::TlsError;
use crate::keys::{KeyError, private_file};

/// A key, for those who sign certificates and requests with it and for TLS itself.
pub(super) struct TlsKey {
    pub(super) pair: KeyPair,
    pub(super) signing: Arc<dyn SigningKey>,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub(super) spki: Digest32,
}

impl TlsKey {
    /// The key in the file; one that is made here and now where there is no file.
    pub(super) fn read_or_make(path: &Path) -> Result<Self, TlsError> {
        match Self::read(path) {
            Err(TlsError::KeyFile(KeyError::Io { cause, .. }))
                if cause.kind() == io::ErrorKind::NotFound =>
            {
                make(path)?;
                tracing::info!(path = %path.display(), "a TLS key was made");
                // What the file holds counts, not what was written: another process may have been
                // first.
                Self::read(path)
            }
            read => read,
        }
    }

    /// The key in the file.
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let no_key =
            |why: &str| TlsError::NoKey { path: path.display().to_string(), why: why.into() };
        let file = private_file::open(path)?;
        // Room for all of it at once: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX));
        let read = file.take(FILE_BYTES_MAX as u64).read_to_string(&mut text);
        let io = |cause| KeyError::Io { path: path.to_owned(), cause };
        if read.map_err(io)? == FILE_BYTES_MAX {
            return Err(no_key("it is too long for a key"));
        }
        let pair = KeyPair::from_pem(&text).map_err(|_| no_key("its text is none"))?;
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialized_der()));
        let signing = any_supported_type(&der).map_err(|_| no_key("its kind is not supported"))?;
        let spki = Digest32::sha256(&pair.subject_public_key_info());
        Ok(Self { pair, signing, spki })
    }
}

impl Drop for TlsKey {
    fn drop(&mut self) {
        self.pair.zeroize();
    }
}

/// Nobody has seen it and nobody outside will: its bytes are the operating system's, which in a TEE
/// are the processor's.
fn make(path: &Path) -> Result<(), TlsError> {
    let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
    let mut pair = made.map_err(|error| TlsError::Unusable(error.to_string()))?;
    let text = Zeroizing::new(pair.serialize_pem());
    pair.zeroize();
    Ok(private_file::create(path, text.as_bytes())?)
}

/// Keys are far shorter.
const FILE_BYTES_MAX: usize = 64 * 1024;
