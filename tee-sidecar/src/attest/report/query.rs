//! What a client may ask of a report.

use broker_core::Address;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ReportError;
use super::form::Form;
use crate::evidence::Nonce32;

/// The query parameters as written. Unknown ones are ignored: other servers have more.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ReportQuery {
    /// 64 hex digits; absent means any nonce will do.
    pub nonce: Option<String>,
    /// `ecdsa`, which is also the default.
    pub signing_algo: Option<String>,
    /// The signer whose report is wanted, in any case.
    pub signing_address: Option<String>,
    /// Present: the report is also listed under `model_attestations`.
    pub model: Option<String>,
    /// `true` asks for a report that binds the TLS key.
    pub include_tls_fingerprint: Option<String>,
    /// `2` asks for the same; `1` is the default.
    pub version: Option<String>,
    /// `v2` asks for a quote that covers the GPU evidence, which answers a nonce of the key's own.
    pub binding: Option<String>,
}

/// The parameters as meant.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) form: Form,
    pub(super) nonce: Option<Nonce32>,
    pub(super) names_model: bool,
}

impl ReportQuery {
    /// Checks every parameter before any quote is made.
    pub(super) fn read(&self, own: Address, has_tls: bool) -> Result<Asked, ReportError> {
        match self.signing_algo.as_deref() {
            None | Some("ecdsa") => {}
            Some("ed25519") => return Err(ReportError::AlgorithmNotOffered),
            Some(_) => return Err(ReportError::UnknownAlgorithm),
        }
        let form = match (self.wants_tls()?, self.binding.as_deref()) {
            (true, _) if !has_tls => return Err(ReportError::NoTls),
            (true, None) => Form::Tls,
            (false, None) => Form::Common,
            // It covers the TLS key as well, where there is one.
            (_, Some("v2")) => Form::Bound,
            (_, Some(_)) => {
                return Err(ReportError::BadParameter { parameter: "binding", rule: "`v2`" });
            }
        };
        let nonce = self.nonce.as_deref().map(Nonce32::parse).transpose()?;
        if let Some(address) = &self.signing_address
            && !address.eq_ignore_ascii_case(&own.to_string())
        {
            return Err(ReportError::OtherSigner);
        }
        Ok(Asked { form, nonce, names_model: self.model.is_some() })
    }

    fn wants_tls(&self) -> Result<bool, ReportError> {
        let fingerprint = match self.include_tls_fingerprint.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                let parameter = "include_tls_fingerprint";
                return Err(ReportError::BadParameter { parameter, rule: "`true` or `false`" });
            }
        };
        match self.version.as_deref() {
            None | Some("1") => Ok(fingerprint),
            Some("2") => Ok(true),
            Some(_) => Err(ReportError::BadParameter { parameter: "version", rule: "`1` or `2`" }),
        }
    }
}
