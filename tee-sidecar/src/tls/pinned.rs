//! Commands that speak to their own sidecar over TLS: whatever its certificate says, the key has to
//! be the one in the file.

use std::sync::Arc;

use broker_core::Digest32;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::TlsError;
use super::key::TlsKey;
use crate::config::TlsFiles;
use crate::evidence::certificates::spki_sha256;

/// What a client is set to that talks to the owner of this key and to nobody else.
///
/// # Errors
/// The key cannot be read.
pub fn pinned(files: &TlsFiles) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Pinned { spki: TlsKey::read(&files.key)?.spki, provider: provider.clone() };
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Unusable(error.to_string()))?;
    let checked = versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(checked.with_no_client_auth())
}

#[derive(Debug)]
struct Pinned {
    spki: Digest32,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if spki_sha256(end_entity) == Some(self.spki) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General("the server has another key than server.tls.keyFile".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
