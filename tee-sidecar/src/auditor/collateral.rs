//! Intel's collateral from a provisioning certification service: Intel's own (PCS) or a cache of it
//! (PCCS). Nothing of it is believed here: all of it is signed, and the verifier checks that.

use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::intel::{quote_ca, quote_fmspc};
use dcap_qvl::quote::Quote;
use reqwest::{Client, Url};
use serde_json::value::RawValue;

use super::Failure;
use super::fetch::{Answer, client, get, run};

/// Intel's own service.
pub const INTEL_PCS_URL: &str = "https://api.trustedservices.intel.com";

/// Fetches what a quote is verified against; nothing where the quote itself cannot be read, which
/// the audit then says.
pub(super) fn fetch(base: &str, quote: &[u8]) -> Result<Option<QuoteCollateralV3>, Failure> {
    let Ok(quote) = Quote::parse(quote) else { return Ok(None) };
    let (Ok(fmspc), Ok(ca)) = (quote_fmspc(&quote), quote_ca(&quote)) else { return Ok(None) };
    let base = base.trim_end_matches('/');
    let url = Url::parse(base).map_err(|e| Failure::Usage(format!("{base}: {e}")))?;
    let service = Service {
        base: base.to_owned(),
        fmspc: hex::encode_upper(fmspc),
        ca: ca.as_id_str().to_owned(),
    };
    eprintln!("asking {base} for the collateral of platform family {}", service.fmspc);
    run(async { service.fetch(&client(&url)?).await }).map(Some)
}

struct Service {
    base: String,
    fmspc: String,
    ca: String,
}

impl Service {
    async fn fetch(&self, client: &Client) -> Result<QuoteCollateralV3, Failure> {
        let tcb = format!("tdx/certification/v4/tcb?fmspc={}", self.fmspc);
        let tcb = self.get(client, &tcb).await?;
        let identity = self.get(client, "tdx/certification/v4/qe/identity").await?;
        let crl = format!("sgx/certification/v4/pckcrl?ca={}&encoding=der", self.ca);
        let crl = self.get(client, &crl).await?;
        let root_ca_crl = self.root_crl(client).await?;
        let (tcb_info, tcb_info_signature) = signed(&tcb, "tcbInfo")?;
        let (qe_identity, qe_identity_signature) = signed(&identity, "enclaveIdentity")?;
        Ok(QuoteCollateralV3 {
            pck_crl_issuer_chain: chain(&crl, &["sgx-pck-crl-issuer-chain"])?,
            root_ca_crl,
            pck_crl: der_or_hex(crl.body),
            tcb_info_issuer_chain: chain(&tcb, &TCB_CHAINS)?,
            tcb_info,
            tcb_info_signature,
            qe_identity_issuer_chain: chain(&identity, &["sgx-enclave-identity-issuer-chain"])?,
            qe_identity,
            qe_identity_signature,
            pck_certificate_chain: None,
        })
    }

    /// A cache hands the root's list out itself; Intel's own service leaves it to where the root
    /// certificate points.
    async fn root_crl(&self, client: &Client) -> Result<Vec<u8>, Failure> {
        let answer = if self.base == INTEL_PCS_URL {
            fetch_one(client, INTEL_ROOT_CRL_URL).await?
        } else {
            self.get(client, "sgx/certification/v4/rootcacrl").await?
        };
        Ok(der_or_hex(answer.body))
    }

    async fn get(&self, client: &Client, path: &str) -> Result<Answer, Failure> {
        fetch_one(client, &format!("{}/{path}", self.base)).await
    }
}

async fn fetch_one(client: &Client, url: &str) -> Result<Answer, Failure> {
    let url = Url::parse(url).map_err(|e| Failure::Usage(format!("{url}: {e}")))?;
    get(client.get(url.clone()), &url).await
}

/// The signed text exactly as it stands in the answer, and its signature.
fn signed(answer: &Answer, member: &str) -> Result<(String, Vec<u8>), Failure> {
    let unreadable = || Failure::Malformed(format!("the collateral service's {member}"));
    let object: std::collections::HashMap<String, &RawValue> =
        serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    let text = object.get(member).ok_or_else(unreadable)?.get().to_owned();
    let signature = object.get("signature").ok_or_else(unreadable)?;
    let signature: String = serde_json::from_str(signature.get()).map_err(|_| unreadable())?;
    Ok((text, hex::decode(signature).map_err(|_| unreadable())?))
}

/// A chain of certificates, which stands percent-encoded in a header.
fn chain(answer: &Answer, names: &[&str]) -> Result<String, Failure> {
    let header = names.iter().find_map(|name| answer.headers.get(*name));
    let text = header.and_then(|value| value.to_str().ok()).and_then(percent_decoded);
    text.ok_or_else(|| {
        Failure::Malformed(format!("the collateral service sent no {}", names.join(" or ")))
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high << 4 | low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Caches answer in hex, Intel's service in DER.
fn der_or_hex(body: Vec<u8>) -> Vec<u8> {
    hex::decode(body.trim_ascii()).unwrap_or(body)
}

const INTEL_ROOT_CRL_URL: &str =
    "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

/// Two names of one header: the second in older caches.
const TCB_CHAINS: [&str; 2] = ["tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain"];
