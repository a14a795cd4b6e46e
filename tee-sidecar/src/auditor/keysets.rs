//! Whose signatures count: keysets that a report attests, or that the auditor vouches for.

use std::path::{Path, PathBuf};

use broker_core::jcs::Json;
use broker_core::keyset::Keyset;

use super::{Auditor, Connection, Failure, files, noted};
use crate::evidence::audit::Audit;

/// Where keysets come from.
#[derive(Clone, Debug, Default)]
pub struct KeyFiles {
    /// Reports that attest keysets.
    pub reports: Vec<PathBuf>,
    /// Keysets that the auditor knows to be good from elsewhere.
    pub keysets: Vec<PathBuf>,
}

/// Reads all keysets and notes what makes each good.
pub(super) fn load(
    auditor: &Auditor<'_>,
    audit: &mut Audit,
    given: &KeyFiles,
) -> Result<Vec<Keyset>, Failure> {
    let mut keysets: Vec<Keyset> = Vec::new();
    for path in &given.reports {
        let mut found = false;
        let reports = files::read(path).and_then(|document| auditor.reports(&document));
        let Some(reports) = noted(audit, "keyset", reports)? else { continue };
        for report in reports {
            let findings = auditor.report(&report, Connection::default())?;
            if let Some(document) = &findings.keyset {
                let bad = |error| Failure::Malformed(format!("{}: {error}", path.display()));
                let keyset = Keyset::from_json(document.clone()).map_err(bad);
                keysets.extend(noted(audit, "keyset", keyset)?);
                found = true;
            }
            audit.append(findings);
        }
        if !found {
            let why = format_args!("{}: no quote in it binds a keyset", path.display());
            audit.missing("keyset", why);
        }
    }
    for path in &given.keysets {
        let Some(keyset) = noted(audit, "keyset", in_file(path))? else { continue };
        if !keysets.iter().any(|known| known.digest() == keyset.digest()) {
            let digest = keyset.digest();
            let what = format_args!("sha256:{digest} is good by your word: no report attests it");
            audit.not_checked("keyset.attested", what);
            keysets.push(keyset);
        }
    }
    if given.keysets.is_empty() && given.reports.is_empty() {
        let why = "nothing says whose keys count: give --report FILE or --keyset FILE";
        audit.missing("keyset", why);
    }
    Ok(keysets)
}

fn in_file(path: &Path) -> Result<Keyset, Failure> {
    let named =
        |error: &dyn std::fmt::Display| Failure::Malformed(format!("{}: {error}", path.display()));
    let document = Json::parse(&files::document(path)?).map_err(|error| named(&error))?;
    let document = document.get("workload_keyset").cloned().unwrap_or(document);
    Keyset::from_json(document).map_err(|error| named(&error))
}
