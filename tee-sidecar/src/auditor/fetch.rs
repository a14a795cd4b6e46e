//! The network, for an auditor: one request at a time, within bounds, with a line that says what is
//! waited for.

use std::time::Duration;

use broker_core::Digest32;
use reqwest::header::HeaderMap;
use reqwest::tls::TlsInfo;
use reqwest::{Client, Url};

use super::{Failure, Served, files};
use crate::evidence::Nonce32;
use crate::evidence::certificates::spki_sha256;
use crate::net;

/// A report as it came, and the key that the connection ended at.
pub(super) struct Fetched {
    pub(super) body: Vec<u8>,
    pub(super) tls_peer: Option<Digest32>,
}

/// Fetches a report with this nonce.
pub(super) fn report(served: &Served, nonce: &Nonce32) -> Result<Fetched, Failure> {
    let url = report_url(served, nonce)?;
    let bearer = served.bearer.as_deref().map(files::read).transpose()?;
    let bearer = bearer.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    eprintln!("asking {} for a report", url.origin().ascii_serialization());
    run(async {
        let client = client(&url)?;
        let mut request = client.get(url.clone());
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let answer = get(request, &url).await?;
        Ok(Fetched { body: answer.body, tls_peer: answer.tls_peer })
    })
}

/// The address of the report: the URL itself where it names a report, else the usual path below it.
fn report_url(served: &Served, nonce: &Nonce32) -> Result<Url, Failure> {
    let text = &served.url;
    let wrong = |why: &str| Failure::Usage(format!("{text}: {why}"));
    let mut url = Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(wrong("an address begins with https://"));
    }
    if served.tls && url.scheme() != "https" {
        return Err(wrong("--tls needs https: without TLS there is no key to compare"));
    }
    if !REPORTS.iter().any(|path| url.path().ends_with(path)) {
        let base = url.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
        url.set_path(&format!("{base}/v1/attestation/report"));
    }
    url.query_pairs_mut().append_pair("nonce", &nonce.to_string());
    if served.binding_v2 {
        url.query_pairs_mut().append_pair("binding", "v2");
    }
    if served.tls {
        url.query_pairs_mut().append_pair("include_tls_fingerprint", "true");
    }
    Ok(url)
}

/// An answer with status 200.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) headers: HeaderMap,
    tls_peer: Option<Digest32>,
}

/// A client for this address: one that speaks TLS only where it is needed, since it does not build
/// on machines without certificate authorities.
pub(super) fn client(url: &Url) -> Result<Client, Failure> {
    let is_plain = url.scheme() == "http";
    let builder = if is_plain { net::plain_client_builder() } else { net::client_builder() };
    let built = builder.timeout(REQUEST_TIME).tls_info(true).build();
    built.map_err(|e| Failure::Failed(e.to_string()))
}

pub(super) async fn get(request: reqwest::RequestBuilder, url: &Url) -> Result<Answer, Failure> {
    let unreachable = |why: String| Failure::Unreachable(format!("{}: {why}", without_query(url)));
    let mut answer = request.send().await.map_err(|e| unreachable(causes(&e)))?;
    let status = answer.status();
    if status != reqwest::StatusCode::OK {
        return Err(unreachable(format!("it answered {status}")));
    }
    let certificate = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate);
    let tls_peer = certificate.and_then(spki_sha256);
    let headers = answer.headers().clone();
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| unreachable(causes(&e)))? {
        if body.len().saturating_add(piece.len()) > BODY_BYTES_MAX {
            return Err(unreachable("its answer is longer than any such document".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { body, headers, tls_peer })
}

/// Runs the one future of this process.
pub(super) fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::Failed(e.to_string()))?.block_on(work)
}

fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}

/// An error with all that is behind it: reqwest's own text names only the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

/// How the addresses of reports end: the common one, and that of Attested Confidential Inference.
const REPORTS: [&str; 2] = ["/attestation/report", "/v1/aci/attestation"];

/// Fresh evidence of eight GPUs takes seconds.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// A report of eight GPUs has a quarter of a million bytes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn report_url(url: &str, nonce: &Nonce32, all: bool) -> Result<Url, Failure> {
        let url = url.to_owned();
        let served = Served { url, binding_v2: all, tls: all, bearer: None, save: None };
        super::report_url(&served, nonce)
    }

    #[test]
    fn a_servers_address_leads_to_its_report_and_a_reports_address_stays() {
        let nonce = Nonce32::from_bytes([0xab; 32]);
        let query = format!("nonce={}", "ab".repeat(32));
        for (given, path) in [
            ("https://a.example", "/v1/attestation/report"),
            ("https://a.example/", "/v1/attestation/report"),
            ("https://a.example/v1", "/v1/attestation/report"),
            ("https://a.example/x/v1/", "/x/v1/attestation/report"),
            ("http://127.0.0.1:8080/attestation/report", "/attestation/report"),
            ("https://a.example/v1/aci/attestation", "/v1/aci/attestation"),
        ] {
            let url = report_url(given, &nonce, false).unwrap();
            assert_eq!(url.path(), path, "{given}");
            assert_eq!(url.query(), Some(query.as_str()));
        }
        assert!(matches!(report_url("http://a.example", &nonce, true), Err(Failure::Usage(_))));
        let url = report_url("https://a.example?model=m", &nonce, true).unwrap();
        let asked = format!("model=m&{query}&binding=v2&include_tls_fingerprint=true");
        assert_eq!(url.query(), Some(asked.as_str()));
        for bad in ["a.example", "ftp://a.example", "", "https://"] {
            assert!(matches!(report_url(bad, &nonce, false), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
