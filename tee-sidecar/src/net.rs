//! What the HTTP clients of this program have in common.

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

/// What a client that may speak TLS starts from: certificates end at the system's authorities, and
/// nothing but the caller's own address is ever asked (no proxies of the environment, no
/// redirects). It does not build on a machine without a bundle of authorities.
pub fn client_builder() -> ClientBuilder {
    // Nobody brings cryptography along here. The first caller sets it for the whole process; that
    // later ones find it set is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(Policy::none()).no_proxy()
}

/// What a client that speaks no TLS starts from. It trusts no authority at all, so it reads no
/// bundle of them: small container images have none.
pub fn plain_client_builder() -> ClientBuilder {
    client_builder().tls_certs_only([])
}
