//! TLS that ends in this process: its key, the certificate of the moment, what clients are shown.
//!
//! The key is made here where there is none, and a request for its certificate is written beside
//! the certificate's place: what the host's ACME client gets signed is a key that it never sees.
//! Reports bind the key, so a client can tell this process from whoever stands in between,
//! whatever the certificate says. Until there is one that can be used, the key signs its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use broker_core::{Clock, Digest32};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::TlsFiles;
use crate::keys::KeyError;

mod certificate;
mod keeper;
mod key;
mod pinned;

pub use keeper::TlsKeeper;
pub use pinned::pinned;

#[cfg(test)]
mod tests;

use certificate::Shown;
use key::TlsKey;

/// The key and certificate of the moment.
pub struct Tls {
    files: TlsFiles,
    /// The name that clients call this sidecar by.
    host: Option<String>,
    clock: Arc<dyn Clock>,
    shown: RwLock<Shown>,
    last: Mutex<Last>,
}

/// How the files were found when they were last looked at.
#[derive(Default)]
struct Last {
    /// SHA-256 of what is shown of them.
    taken: Option<Digest32>,
    /// Why they were not taken.
    refused: Option<String>,
}

/// What the files hold, before it is shown.
pub struct Change {
    shown: Shown,
    content: Digest32,
}

impl Change {
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub const fn spki(&self) -> Digest32 {
        self.shown.spki
    }
}

impl Tls {
    /// Reads the key, or makes it, and reads its certificate. `host` is the name that the
    /// certificate has to be for.
    ///
    /// # Errors
    /// There is no key that could be used. A certificate that cannot be used is told in the log.
    pub fn open(
        files: TlsFiles,
        host: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, TlsError> {
        let key = TlsKey::read_or_make(&files.key)?;
        write_request(&key, &files.cert, host.as_deref());
        let now_secs = clock.now().as_secs();
        let mut last = Last::default();
        let shown = match certificate::read(&files.cert, &key, now_secs) {
            Ok((shown, content)) => {
                last.taken = Some(content);
                shown
            }
            Err(why) => {
                tracing::warn!(
                    "{why}. Until it holds a certificate for the key in server.tls.keyFile that \
                     key signs its own, which browsers and most clients refuse; one for the \
                     request in {} is taken within a minute",
                    certificate::request_beside(&files.cert).display(),
                );
                last.refused = Some(why);
                certificate::self_signed(&key, host.as_deref())?
            }
        };
        shown.check_host(host.as_deref());
        tracing::info!(spki_sha256 = %shown.spki, "TLS ends in this process");
        let (shown, last) = (RwLock::new(shown), Mutex::new(last));
        Ok(Arc::new(Self { files, host, clock, shown, last }))
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the key that new connections end at.
    pub fn spki(&self) -> Digest32 {
        self.shown().spki
    }

    /// When the certificate expires, in seconds since 1970; `None` for one of the key's own.
    pub fn not_after_secs(&self) -> Option<u64> {
        self.shown().not_after_secs
    }

    /// What operators have to know of the certificate, where something is wrong with it.
    pub fn note(&self) -> Option<&'static str> {
        match self.shown().not_after_secs {
            None => Some("the TLS certificate is signed by its own key: see the log"),
            Some(end) if end < self.clock.now().as_secs() => {
                Some("the TLS certificate has expired: see the log")
            }
            Some(_) if self.last().refused.is_some() => Some(
                "the files of the TLS certificate cannot be used, the one before is: \
                      see the log",
            ),
            Some(_) => None,
        }
    }

    /// What the files hold now, if it is something else than is shown and can be used. What cannot
    /// be used is told once, and what is shown stays.
    pub fn look(&self) -> Option<Change> {
        let found = self.read();
        let mut last = self.last();
        match found {
            Ok((_, content)) if last.taken == Some(content) => {
                last.refused = None;
                None
            }
            Ok((shown, content)) => Some(Change { shown, content }),
            Err(why) => {
                if last.refused.as_ref() != Some(&why) {
                    tracing::warn!("{why}; what was in force stays");
                    last.refused = Some(why);
                }
                None
            }
        }
    }

    fn read(&self) -> Result<(Shown, Digest32), String> {
        let key = TlsKey::read(&self.files.key).map_err(|error| error.to_string())?;
        let now_secs = self.clock.now().as_secs();
        certificate::read(&self.files.cert, &key, now_secs)
    }

    /// New connections are shown this from now on.
    pub fn show(&self, change: Change) {
        change.shown.check_host(self.host.as_deref());
        *self.last() = Last { taken: Some(change.content), refused: None };
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = change.shown;
    }

    /// What a server is set to. Sessions are never resumed: a resumed one shows the certificate of
    /// the connection it began with, and a client could not compare its key with a report.
    ///
    /// # Errors
    /// The cryptography offers no version of TLS: a fault of our own.
    pub fn server_config(self: &Arc<Self>) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?;
        let resolver = Arc::new(Resolver(self.clone()));
        let mut config = versions.with_no_client_auth().with_cert_resolver(resolver);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn shown(&self) -> std::sync::RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each new connection what is shown at that moment.
struct Resolver(Arc<Tls>);

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.shown().certified.clone())
    }
}

/// An operator who brings a certificate of their own needs no request, so trouble here is none yet.
fn write_request(key: &TlsKey, cert: &Path, host: Option<&str>) {
    let Some(host) = host else {
        tracing::warn!("without service.servingUrl no request for a TLS certificate is written");
        return;
    };
    let path = certificate::request_beside(cert);
    match certificate::write_request(key, &path, host) {
        Ok(()) => tracing::info!(path = %path.display(), host, "request for a certificate"),
        Err(why) => tracing::warn!(path = %path.display(), why, "no request for a certificate"),
    }
}

/// Why no TLS can end here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of the key cannot be read or made.
    #[error("server.tls.keyFile: {0}")]
    KeyFile(#[from] KeyError),
    /// The file holds no key of a kind that can be used.
    #[error(
        "server.tls.keyFile {path} holds no private key that can be used ({why}): one in PEM, \
         PKCS#8 (BEGIN PRIVATE KEY), P-256, P-384, Ed25519 or RSA; openssl pkcs8 -topk8 -nocrypt \
         makes one of another form. Without the file a P-256 key is made"
    )]
    NoKey {
        /// The file.
        path: String,
        /// What is wrong with it. Nothing of the key is in it.
        why: String,
    },
    /// Cryptography failed: a fault of our own.
    #[error("TLS: {0}")]
    Unusable(String),
}
