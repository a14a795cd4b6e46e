//! A report of Attested Confidential Inference (`aci/1`, section 4): the keyset stands beside the
//! evidence, and nothing outside `attestation` is evidence.

use broker_core::Digest32;
use broker_core::jcs::Json;
use serde_json::{Map, Value};

use super::fields::Fields;
use super::{ReportFormError, SavedReport, json};

/// What such a report says beside its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedAci {
    /// `aci/1`.
    pub api_version: Option<String>,
    /// The keyset's digest as it is stated.
    pub keyset_digest: Option<Digest32>,
    /// `tdx`.
    pub tee_type: Option<String>,
    /// The statement's SHA-256 as it is stated.
    pub report_data: Option<Vec<u8>>,
    /// Where the code is said to come from: the names and values that are not null.
    pub provenance: Vec<(&'static str, String)>,
    /// `direct`.
    pub serving: Option<String>,
    /// Versions of end-to-end encryption that are said to end here.
    pub e2ee_versions: Vec<String>,
}

/// Whether a document is such a report, whatever it lacks.
pub(super) fn is_report(whole: &Map<String, Value>) -> bool {
    let inner = whole.get("attestation").and_then(Value::as_object);
    inner.is_some_and(|inner| INNER_FIELDS.iter().any(|field| inner.contains_key(*field)))
}

pub(super) fn report_of(
    place: String,
    whole: &Map<String, Value>,
) -> Result<SavedReport, ReportFormError> {
    let owned = place.clone();
    let top = Fields { place: &owned, object: whole };
    let empty = Map::new();
    let attestation = top.object("attestation")?.map_or(&empty, |inner| inner.object);
    let attestation = Fields { place: &owned, object: attestation };
    let evidence = attestation.object("evidence")?.map_or(&empty, |inner| inner.object);
    let read = json::report_of(place, evidence)?;
    let evidence = Fields { place: &owned, object: evidence };
    let shown = evidence.text("app_compose")?;
    if read.app_compose.is_some() && shown.is_some() && read.app_compose != shown {
        return Err(evidence.wrong("app_compose", "is another one than in info.tcb_info"));
    }
    let simulated = top.flag("simulated")? || read.simulated;
    Ok(SavedReport {
        // A key that no such quote binds.
        signer: None,
        public_key: None,
        binding: None,
        tls_spki: None,
        log_head: None,
        stated_report_data: evidence.hex("quote_report_data")?,
        app_compose: read.app_compose.or(shown),
        keyset: attestation.canonical("workload_keyset")?,
        aci: Some(saved(top, attestation)?),
        simulated,
        ..read
    })
}

fn saved(top: Fields<'_>, attestation: Fields<'_>) -> Result<SavedAci, ReportFormError> {
    let mut provenance = Vec::new();
    if let Some(stated) = attestation.object("source_provenance")? {
        for name in PROVENANCE {
            provenance.extend(stated.text(name)?.map(|value| (name, value)));
        }
    }
    let capabilities = top.object("service_capabilities")?;
    let serving = capabilities.map(|one| one.text("serving")).transpose()?.flatten();
    let versions = "supported_e2ee_versions";
    let listed = capabilities.map(|one| one.canonical(versions)).transpose()?.flatten();
    let e2ee_versions = match listed {
        None => Vec::new(),
        Some(Json::List(list)) => list.iter().filter_map(Json::text).map(str::to_owned).collect(),
        Some(_) => return Err(top.wrong(versions, "must be a list")),
    };
    Ok(SavedAci {
        api_version: top.text("api_version")?,
        keyset_digest: top.sha256("workload_keyset_digest")?,
        tee_type: attestation.text("tee_type")?,
        report_data: attestation.hex("report_data")?,
        provenance,
        serving,
        e2ee_versions,
    })
}

/// What only such an `attestation` has.
const INNER_FIELDS: [&str; 3] = ["workload_keyset", "evidence", "tee_type"];

const PROVENANCE: [&str; 3] = ["repo_url", "repo_commit", "image_digest"];
