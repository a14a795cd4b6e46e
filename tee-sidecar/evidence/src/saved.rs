//! A saved attestation report, as any provider of the common shape writes it: ours, NEAR's, Phala's
//! or 0G's. Reading proves nothing; [`crate::audit`] does.

use broker_core::jcs::Json;
use broker_core::{Address, Digest32};

use crate::Nonce32;
use crate::ledger_head::SignedLedgerHead;
use crate::lineage::SignedLineage;

mod aci;
mod fields;
mod json;

pub use aci::SavedAci;
pub use fields::{GpuItem, GpuPayload};

/// Reads the reports in a JSON document: the object itself, and what it lists under
/// `model_attestations` and `all_attestations`; of what `/v1/aci/keysets/{digest}` answers, those
/// in its `report`. Copies of one report are one; copies that differ are several, each of which has
/// to hold.
///
/// # Errors
/// The document is no report, or a field has a form that nobody writes.
pub fn parse_reports(document: &[u8]) -> Result<Vec<SavedReport>, ReportFormError> {
    json::reports(document)
}

/// One report, unproved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedReport {
    /// Where it stands in its document, as `model_attestations[0]`; empty for the object itself.
    pub place: String,
    /// The key that the report is about.
    pub signer: Option<SigningKey>,
    /// That key's public half: x and y, or 32 bytes of ed25519.
    pub public_key: Option<Vec<u8>>,
    /// The request's nonce.
    pub nonce: Option<Nonce32>,
    /// The TDX quote.
    pub quote: Option<Vec<u8>>,
    /// The report data as the document states it, which proves nothing.
    pub stated_report_data: Option<Vec<u8>>,
    /// The measured events, a JSON list.
    pub event_log: Option<String>,
    /// The composition as its author wrote it.
    pub app_compose: Option<String>,
    /// The registers as the document states them: their names and values in hex.
    pub stated_registers: Vec<(&'static str, String)>,
    /// What the document states of measured events: the event's name, and its content in hex.
    pub stated_events: Vec<(&'static str, String)>,
    /// The GPU evidence.
    pub gpus: Option<GpuPayload>,
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub tls_spki: Option<Digest32>,
    /// The parts of a `binding=v2` that stand nowhere else.
    pub binding: Option<SavedBinding>,
    /// The served model.
    pub model: Option<String>,
    /// The end of the provider's ledger.
    pub ledger_head: Option<SignedLedgerHead>,
    /// The signed head of the receipts' log.
    pub log_head: Option<Json>,
    /// The keys that sign receipts.
    pub keyset: Option<Json>,
    /// How the keyset stands to the one before it.
    pub lineage: Option<SavedLineage>,
    /// What only a report of Attested Confidential Inference has.
    pub aci: Option<SavedAci>,
    /// The report says of itself that it proves nothing.
    pub simulated: bool,
}

/// A key that signs answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKey {
    /// A secp256k1 key by its Ethereum address.
    Ecdsa(Address),
    /// An ed25519 public key.
    Ed25519([u8; 32]),
}

impl SigningKey {
    /// The bytes that report data carries.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Ecdsa(address) => &address.0,
            Self::Ed25519(key) => key,
        }
    }
}

impl std::fmt::Display for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ecdsa(address) => write!(f, "{address}"),
            Self::Ed25519(key) => f.write_str(&hex::encode(key)),
        }
    }
}

/// What a report under `binding=v2` says beside its other fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedBinding {
    /// `v2`.
    pub version: String,
    /// The key's algorithm, where it is repeated.
    pub algorithm: Option<String>,
    /// What the GPUs signed, where it is repeated.
    pub gpu_nonce: Option<Nonce32>,
    /// SHA-256 of the GPU evidence, where it is repeated.
    pub nvidia_payload: Option<Digest32>,
    /// SHA-256 of the served model's name.
    pub model: Option<Digest32>,
    /// SHA-256 of the receipt log's signed head.
    pub log_head: Option<Digest32>,
}

/// How a keyset stands to the one before it, as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedLineage {
    /// The digest of the keyset before it, as it is stated.
    pub previous: Option<Digest32>,
    /// The statement and its signature.
    pub signed: SignedLineage,
    /// The signer as it is named.
    pub signing_address: Address,
    /// `first`, `holds` or `broken`, as it is stated.
    pub state: String,
    /// The statement of the keyset before it.
    pub before: Option<SignedLineage>,
}

/// Why a document is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportFormError {
    /// Not JSON, no object, or longer than any report.
    #[error("not a JSON object: {0}")]
    NotJson(String),
    /// It holds no quote anywhere.
    #[error(
        "no attestation report: there is no intel_quote, quote, attestation or list of \
         attestations in it"
    )]
    NoReport,
    /// It lists more reports than any gateway has.
    #[error("more than {REPORTS_MAX} different reports in one document")]
    TooMany,
    /// A field of a form that nobody writes.
    #[error("{place}{field}: {rule}")]
    Field {
        /// Where the report stands, with a dot, or empty.
        place: String,
        /// The field.
        field: &'static str,
        /// What it has to be.
        rule: &'static str,
    },
}

/// The largest known report, of a node with eight GPUs, has a quarter of a million.
pub const REPORT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Different reports in one document.
const REPORTS_MAX: usize = 32;
