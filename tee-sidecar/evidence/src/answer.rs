//! Answers of models, signed by a sidecar: whether the signature covers exactly these bytes, and
//! whose it is. That the key lives in a TEE is for the attestation report to prove.

use broker_core::{Address, Digest32, SignError, Signature, recover_text_signer};
use serde_json::Value;

use crate::strict_json;

/// Who signed this request together with this response. Where the signature answer names a signer,
/// it is that one.
pub fn verify_answer(
    request: &[u8],
    response: &[u8],
    answer: &SignatureAnswer,
) -> Result<SignedBy, AnswerError> {
    let signed = SignedHashes::of(&answer.text).ok_or(AnswerError::Text)?;
    match (
        signed.request == Digest32::sha256(request),
        signed.response == Digest32::sha256(response),
    ) {
        (true, true) => {}
        (false, true) => return Err(AnswerError::Request),
        (true, false) => return Err(AnswerError::Response),
        (false, false) => return Err(AnswerError::Both),
    }
    let recovered = recover_text_signer(&answer.text, &answer.signature)?;
    match answer.signing_address {
        Some(named) if named != recovered => Err(AnswerError::OtherSigner { named, recovered }),
        _ => Ok(SignedBy(recovered)),
    }
}

/// The key that signed. It is worth what the attestation of that key is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBy(pub Address);

/// What `GET /v1/signature/{id}` answers, ours or any provider's of the same shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureAnswer {
    /// What was signed: `request:response` or `model:request:response`, hashes in hex.
    pub text: String,
    /// The signature of the text, EIP-191.
    pub signature: Signature,
    /// The signer as the answer names it; the oldest providers name none.
    pub signing_address: Option<Address>,
    /// Whether the signer says of itself that its TEE is a simulated one.
    pub simulated: bool,
    /// How the exchange ended, where the answer says it. It is not signed.
    pub outcome: Option<String>,
}

impl SignatureAnswer {
    /// Reads the answer. Members that are not known are passed over; other algorithms than ECDSA
    /// are refused, and where none is named it is ECDSA.
    pub fn parse(json: &[u8]) -> Result<Self, AnswerError> {
        let answer = strict_json::parse(json, ANSWER_BYTES_MAX).map_err(AnswerError::Malformed)?;
        if !answer.is_object() {
            return Err(AnswerError::Malformed("it is no JSON object".to_owned()));
        }
        if optional(&answer, "signing_algo")?.is_some_and(|name| name != "ecdsa") {
            return Err(AnswerError::Algorithm);
        }
        let text = optional(&answer, "text")?.ok_or(AnswerError::Missing("text"))?;
        let signature = optional(&answer, "signature")?.ok_or(AnswerError::Missing("signature"))?;
        let signing_address = optional(&answer, "signing_address")?
            .map(|address| bytes_of(address).map(Address).ok_or(AnswerError::Address));
        let simulated = match answer.get("simulated") {
            None => false,
            Some(Value::Bool(simulated)) => *simulated,
            Some(_) => return Err(AnswerError::Missing("simulated")),
        };
        Ok(Self {
            text: text.to_owned(),
            signature: Signature(bytes_of(signature).ok_or(AnswerError::SignatureForm)?),
            signing_address: signing_address.transpose()?,
            simulated,
            outcome: optional(&answer, "outcome")?.map(str::to_owned),
        })
    }
}

/// Why an answer is not proved to be the signer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Not the JSON of a signature answer.
    #[error("not a signature answer: {0}")]
    Malformed(String),
    /// Not there, or of another type.
    #[error("the signature answer's `{0}` is missing or of another type")]
    Missing(&'static str),
    /// Signed with something else.
    #[error("the signature is not ECDSA; ask for it with signing_algo=ecdsa")]
    Algorithm,
    /// Not 65 bytes in hex.
    #[error("the signature is not 130 hex digits, with or without 0x")]
    SignatureForm,
    /// Not 20 bytes in hex.
    #[error("the signing address is not 40 hex digits, with or without 0x")]
    Address,
    /// The signed text does not name two hashes.
    #[error("the signed text is neither request:response nor model:request:response in SHA-256")]
    Text,
    /// Another request.
    #[error("the request is not the one that was signed (the response is)")]
    Request,
    /// Another response.
    #[error("the response is not the one that was signed (the request is)")]
    Response,
    /// Another exchange.
    #[error("neither the request nor the response is the one that was signed")]
    Both,
    /// No signature of anyone.
    #[error("the signature does not hold: {0}")]
    Signature(#[from] SignError),
    /// Signed by a key other than the one that is named.
    #[error("the signature is by {recovered}, not by {named} as the answer says")]
    OtherSigner {
        /// Whom the answer names.
        named: Address,
        /// Who signed.
        recovered: Address,
    },
}

/// The last two parts of the signed text. What stands before them is a model's name, which may have
/// colons of its own and which nothing here is decided by.
struct SignedHashes {
    request: Digest32,
    response: Digest32,
}

impl SignedHashes {
    fn of(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let mut parts = text.rsplitn(3, ':');
        let (response, request) = (parts.next()?, parts.next()?);
        if parts.next().is_some_and(str::is_empty) {
            return None;
        }
        Some(Self { request: digest_of(request)?, response: digest_of(response)? })
    }
}

fn digest_of(hex_digits: &str) -> Option<Digest32> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex_digits, &mut bytes).ok()?;
    Some(Digest32(bytes))
}

/// Exactly `N` bytes in hex of either case, with or without 0x.
fn bytes_of<const N: usize>(hex_digits: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(hex_digits.strip_prefix("0x").unwrap_or(hex_digits), &mut bytes).ok()?;
    Some(bytes)
}

/// A string, or nothing where it is absent or `null`.
fn optional<'a>(answer: &'a Value, name: &'static str) -> Result<Option<&'a str>, AnswerError> {
    match answer.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(AnswerError::Missing(name)),
    }
}

/// Some providers send a receipt along.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Two hashes and a model's name.
const TEXT_BYTES_MAX: usize = 4096;
