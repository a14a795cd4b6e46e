//! Single fields of a report, in all the forms in which they are written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker_core::jcs::Json;
use broker_core::{Address, Digest32};
use serde_json::{Map, Value};

use super::{REPORT_BYTES_MAX, ReportFormError, SavedLineage, SigningKey};
use crate::Nonce32;
use crate::ledger_head::{LedgerHead, SignedLedgerHead};
use crate::lineage::SignedLineage;
use crate::strict_json;

/// The GPU evidence of a node: what NVIDIA's attestation service takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuPayload {
    /// The exact text where the report holds one: `binding=v2` covers it.
    pub text: String,
    /// The nonce that the GPUs signed.
    pub nonce: Nonce32,
    /// The architecture of all of them, as written.
    pub arch: String,
    /// The GPUs in the report's order.
    pub gpus: Vec<GpuItem>,
}

/// One GPU as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuItem {
    /// Its own architecture, where it is repeated.
    pub arch: Option<String>,
    /// Its own nonce, where it is repeated.
    pub nonce: Option<Nonce32>,
    /// The SPDM request and response.
    pub evidence: Vec<u8>,
    /// The certificates in PEM.
    pub certificate: Vec<u8>,
}

/// An object's fields, and where it stands for errors.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) place: &'a str,
    pub(super) object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// A field that is there and not null.
    fn get(&self, field: &'static str) -> Option<&'a Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn wrong(&self, field: &'static str, rule: &'static str) -> ReportFormError {
        let dot = if self.place.is_empty() { "" } else { "." };
        ReportFormError::Field { place: format!("{}{dot}", self.place), field, rule }
    }

    pub(super) fn str(&self, field: &'static str) -> Result<Option<&'a str>, ReportFormError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, "must be a text")),
        }
    }

    pub(super) fn text(&self, field: &'static str) -> Result<Option<String>, ReportFormError> {
        Ok(self.str(field)?.map(str::to_owned))
    }

    /// True only where it says `true`; absent is false.
    pub(super) fn flag(&self, field: &'static str) -> Result<bool, ReportFormError> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(self.wrong(field, "must be true or false")),
        }
    }

    pub(super) fn object(&self, field: &'static str) -> Result<Option<Self>, ReportFormError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self { place: self.place, object })),
            Some(_) => Err(self.wrong(field, "must be an object")),
        }
    }

    /// An object, or a text that holds one.
    pub(super) fn parsed(
        &self,
        field: &'static str,
    ) -> Result<Option<Map<String, Value>>, ReportFormError> {
        let object = match self.get(field) {
            None => return Ok(None),
            Some(Value::Object(object)) => Some(object.clone()),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => object_in(text),
            Some(_) => None,
        };
        object.map(Some).ok_or_else(|| self.wrong(field, "must be an object, or one in a text"))
    }

    pub(super) fn nonce(&self, field: &'static str) -> Result<Option<Nonce32>, ReportFormError> {
        let Some(text) = self.str(field)? else { return Ok(None) };
        let nonce = Nonce32::parse(text).map_err(|_| self.wrong(field, "must be 64 hex digits"))?;
        Ok(Some(nonce))
    }

    pub(super) fn digest(&self, field: &'static str) -> Result<Option<Digest32>, ReportFormError> {
        Ok(self.nonce(field)?.map(|bytes| Digest32(*bytes.as_bytes())))
    }

    pub(super) fn hex(&self, field: &'static str) -> Result<Option<Vec<u8>>, ReportFormError> {
        let Some(text) = self.str(field)? else { return Ok(None) };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex::decode(digits).map(Some).map_err(|_| self.wrong(field, "must be hex"))
    }

    /// `sha256:` and 64 lower-case hex digits.
    pub(super) fn sha256(&self, field: &'static str) -> Result<Option<Digest32>, ReportFormError> {
        let Some(text) = self.str(field)? else { return Ok(None) };
        let digits = text.strip_prefix("sha256:").map(Nonce32::parse_lower);
        let Some(Ok(digest)) = digits else {
            return Err(self.wrong(field, "must be sha256: and 64 lower-case hex digits"));
        };
        Ok(Some(Digest32(*digest.as_bytes())))
    }

    /// A document that is hashed or signed in its canonical form.
    pub(super) fn canonical(&self, field: &'static str) -> Result<Option<Json>, ReportFormError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let read = Json::parse(value.to_string().as_bytes());
        read.map(Some).map_err(|_| self.wrong(field, "must hold texts and whole numbers only"))
    }

    /// Whole, or not there.
    pub(super) fn lineage(&self) -> Result<Option<SavedLineage>, ReportFormError> {
        let field = "key_lineage";
        let Some(shown) = self.object(field)? else { return Ok(None) };
        let signed = |statement, signature| {
            Ok(match (shown.text(statement)?, shown.hex(signature)?) {
                (Some(statement), Some(signature)) => Some(SignedLineage { statement, signature }),
                _ => None,
            })
        };
        let own = signed("statement", "signature")?;
        let address = shown.hex("signing_address")?.map(<[u8; 20]>::try_from);
        let Some(Ok(address)) = address else {
            return Err(self.wrong(field, "has no `signing_address`"));
        };
        Ok(Some(SavedLineage {
            previous: shown.sha256("previous")?,
            signed: own.ok_or_else(|| self.wrong(field, "has no `statement` and `signature`"))?,
            signing_address: Address(address),
            state: shown.text("state")?.ok_or_else(|| self.wrong(field, "has no `state`"))?,
            before: signed("previous_statement", "previous_signature")?,
        }))
    }

    /// Hex, or base64 as providers wrote it in 2024. An empty quote is none.
    pub(super) fn quote(
        &self,
        names: [&'static str; 2],
    ) -> Result<Option<Vec<u8>>, ReportFormError> {
        let mut found: Option<Vec<u8>> = None;
        for field in names {
            let Some(text) = self.str(field)? else { continue };
            let digits = text.strip_prefix("0x").unwrap_or(text);
            let bytes = hex::decode(digits).ok().or_else(|| STANDARD.decode(text).ok());
            let bytes = bytes.ok_or_else(|| self.wrong(field, "must be hex"))?;
            if found.as_ref().is_some_and(|other| other != &bytes) {
                return Err(self.wrong(field, "differs from the quote under its other name"));
            }
            found = Some(bytes);
        }
        Ok(found.filter(|quote| !quote.is_empty()))
    }

    /// Hex, or base64 as 0G writes it.
    pub(super) fn report_data(&self) -> Result<Option<Vec<u8>>, ReportFormError> {
        let field = "report_data";
        let Some(text) = self.str(field)? else { return Ok(None) };
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let bytes = hex::decode(digits).ok().or_else(|| STANDARD.decode(text).ok());
        bytes.map(Some).ok_or_else(|| self.wrong(field, "must be hex or base64"))
    }

    pub(super) fn signer(&self) -> Result<Option<SigningKey>, ReportFormError> {
        let field = "signing_address";
        let Some(bytes) = self.hex(field)? else { return Ok(None) };
        let ed25519 = match self.str("signing_algo")? {
            None | Some("ecdsa") => false,
            Some("ed25519") => true,
            Some(_) => return Err(self.wrong("signing_algo", "must be ecdsa or ed25519")),
        };
        let key = if ed25519 {
            bytes.try_into().ok().map(SigningKey::Ed25519)
        } else {
            bytes.try_into().ok().map(|bytes| SigningKey::Ecdsa(Address(bytes)))
        };
        key.map(Some).ok_or_else(|| self.wrong(field, "must be 20 bytes (ecdsa) or 32 (ed25519)"))
    }

    /// x and y, also where 04 stands in front.
    pub(super) fn public_key(&self) -> Result<Option<Vec<u8>>, ReportFormError> {
        let field = "signing_public_key";
        let Some(mut bytes) = self.hex(field)? else { return Ok(None) };
        if bytes.len() == 65 && bytes.first() == Some(&4) {
            bytes.remove(0);
        }
        match bytes.len() {
            64 | 32 => Ok(Some(bytes)),
            _ => Err(self.wrong(field, "must be 64 bytes (ecdsa) or 32 (ed25519)")),
        }
    }

    /// Whole, or not there: a head without its signature is none.
    pub(super) fn ledger_head(&self) -> Result<Option<SignedLedgerHead>, ReportFormError> {
        let field = "ledger_head";
        let Some(signed) = self.object(field)? else { return Ok(None) };
        let number = |name| {
            let number = signed.get(name).and_then(Value::as_u64);
            number.ok_or_else(|| {
                self.wrong(field, "has no whole numbers `entries`, `unlinked` and `at`")
            })
        };
        let head = LedgerHead {
            entries: number("entries")?,
            unlinked: number("unlinked")?,
            head: signed.digest("head")?.ok_or_else(|| self.wrong(field, "has no `head`"))?,
            nonce: signed.nonce("nonce")?,
            at: number("at")?,
        };
        let signature = signed.hex("signature")?;
        let signature = signature.ok_or_else(|| self.wrong(field, "has no `signature`"))?;
        let signing_address = match signed.hex("signing_address")?.map(<[u8; 20]>::try_from) {
            None => None,
            Some(Ok(bytes)) => Some(Address(bytes)),
            Some(Err(_)) => return Err(self.wrong(field, "has a `signing_address` that is none")),
        };
        Ok(Some(SignedLedgerHead { head, signature, signing_address }))
    }

    /// A list, or a text that holds one; empty is none.
    pub(super) fn event_log(&self) -> Result<Option<String>, ReportFormError> {
        let field = "event_log";
        let list = match self.get(field) {
            None => return Ok(None),
            Some(Value::String(text)) if text.trim().is_empty() => return Ok(None),
            Some(Value::String(text)) => {
                let list = strict_json::parse(text.as_bytes(), REPORT_BYTES_MAX);
                list.map_err(|_| self.wrong(field, "must be a list, or one in a text"))?
            }
            Some(other) => other.clone(),
        };
        match list {
            Value::Array(events) if events.is_empty() => Ok(None),
            Value::Array(_) => Ok(Some(list.to_string())),
            _ => Err(self.wrong(field, "must be a list, or one in a text")),
        }
    }

    /// A text, or in 0G's quote an object. No list at all is no payload.
    pub(super) fn gpu_payload(&self) -> Result<Option<GpuPayload>, ReportFormError> {
        let field = "nvidia_payload";
        let text = match self.get(field) {
            None => return Ok(None),
            Some(Value::String(text)) if text.is_empty() => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let object =
            object_in(&text).ok_or_else(|| self.wrong(field, "must hold a JSON object"))?;
        let payload = Fields { place: self.place, object: &object };
        let nonce = payload.nonce("nonce")?;
        let Some(Value::Array(list)) = payload.get("evidence_list") else {
            return Err(self.wrong(field, "has no evidence_list"));
        };
        if list.len() > GPUS_MAX {
            return Err(self.wrong(field, "has more GPUs than any node"));
        }
        let gpus = list.iter().map(|item| self.gpu_item(item)).collect::<Result<_, _>>()?;
        Ok(Some(GpuPayload {
            nonce: nonce.ok_or_else(|| self.wrong(field, "has no nonce"))?,
            arch: payload.text("arch")?.unwrap_or_default(),
            gpus,
            text,
        }))
    }

    fn gpu_item(&self, item: &Value) -> Result<GpuItem, ReportFormError> {
        let Value::Object(object) = item else {
            return Err(self.wrong("nvidia_payload", "has an evidence that is no object"));
        };
        let item = Fields { place: self.place, object };
        let decoded = |field| {
            let text = item.str(field)?;
            let bytes = text.and_then(|text| STANDARD.decode(text).ok());
            bytes.ok_or_else(|| self.wrong(field, "must be base64"))
        };
        Ok(GpuItem {
            arch: item.text("arch")?,
            nonce: item.nonce("nonce")?,
            evidence: decoded("evidence")?,
            certificate: decoded("certificate")?,
        })
    }
}

fn object_in(text: &str) -> Option<Map<String, Value>> {
    match strict_json::parse(text.as_bytes(), REPORT_BYTES_MAX) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// The largest nodes have eight or sixteen.
const GPUS_MAX: usize = 64;
