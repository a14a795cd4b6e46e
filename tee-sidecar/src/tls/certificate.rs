//! The certificate: from the operator's file, or the key's own; and the request for one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::Digest32;
use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use super::TlsError;
use super::key::TlsKey;
use crate::evidence::certificates::{Certificate, spki_sha256};

/// What connections are shown.
pub(super) struct Shown {
    pub(super) certified: Arc<CertifiedKey>,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub(super) spki: Digest32,
    /// The last second of the certificate, since 1970; `None` for the key's own.
    pub(super) not_after_secs: Option<u64>,
}

impl Shown {
    /// Tells where clients will find another name than they look for.
    pub(super) fn check_host(&self, host: Option<&str>) {
        let leaf = self.certified.end_entity_cert().ok();
        if let (Some(leaf), Some(host)) = (leaf, host)
            && !is_for(leaf, host)
        {
            tracing::warn!(host, "the TLS certificate is not for the host of service.servingUrl");
        }
    }
}

/// The certificate in the file, for this key, and a hash over both; or why it cannot be used.
pub(super) fn read(path: &Path, key: &TlsKey, now_secs: u64) -> Result<(Shown, Digest32), String> {
    let read = usable(path, key, now_secs);
    read.map_err(|why| format!("server.tls.certFile {}: {why}", path.display()))
}

fn usable(path: &Path, key: &TlsKey, now_secs: u64) -> Result<(Shown, Digest32), String> {
    let text = bytes_of(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist yet".to_owned(),
        _ => format!("cannot be read: {error}"),
    })?;
    let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| format!("is no PEM: {error}"))?;
    let leaf = chain.first().ok_or("holds no certificate (BEGIN CERTIFICATE)")?;
    let parsed = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    if spki_sha256(leaf) != Some(key.spki) {
        return Err("its first certificate is for another key than keyFile holds".to_owned());
    }
    if now_secs < parsed.not_before_secs() {
        return Err("is not valid yet".to_owned());
    }
    if now_secs > parsed.not_after_secs() {
        return Err("has expired".to_owned());
    }
    let not_after_secs = Some(parsed.not_after_secs());
    let content = Digest32::sha256(&[key.spki.0.as_slice(), &text].concat());
    let certified = Arc::new(CertifiedKey::new(chain, key.signing.clone()));
    Ok((Shown { certified, spki: key.spki, not_after_secs }, content))
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_for(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let parsed = ParsedCertificate::try_from(leaf);
    match (parsed, ServerName::try_from(host)) {
        (Ok(parsed), Ok(name)) => verify_server_name(&parsed, &name).is_ok(),
        _ => false,
    }
}

/// One that the key signs itself. Its dates say nothing.
pub(super) fn self_signed(key: &TlsKey, host: Option<&str>) -> Result<Shown, TlsError> {
    let unusable = |error: rcgen::Error| TlsError::Unusable(error.to_string());
    let params = params(host.unwrap_or("localhost")).map_err(unusable)?;
    let certificate = params.self_signed(&key.pair).map_err(unusable)?;
    let chain = vec![certificate.der().clone()];
    let certified = Arc::new(CertifiedKey::new(chain, key.signing.clone()));
    Ok(Shown { certified, spki: key.spki, not_after_secs: None })
}

/// Where the request for a certificate is.
pub(super) fn request_beside(cert: &Path) -> PathBuf {
    cert.with_extension("csr")
}

/// Writes the request for a certificate of this key for this host, whole or not at all.
pub(super) fn write_request(key: &TlsKey, path: &Path, host: &str) -> Result<(), String> {
    let request = params(host).and_then(|params| params.serialize_request(&key.pair)?.pem());
    let request = request.map_err(|error| error.to_string())?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let written = || {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        fs::write(&temporary, &request)?;
        fs::rename(&temporary, path)
    };
    written().map_err(|error| error.to_string())
}

fn params(host: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    // Longer ones have no place there, and nobody reads it any more.
    if host.len() <= COMMON_NAME_MAX {
        params.distinguished_name.push(DnType::CommonName, host);
    }
    Ok(params)
}

/// X.509's own limit.
const COMMON_NAME_MAX: usize = 64;

/// Chains are far shorter.
const FILE_BYTES_MAX: u64 = 1 << 20;
