//! A report of Attested Confidential Inference: the checks of the specification's section 9.1 that
//! a direct service owes.

use broker_core::Digest32;
use broker_core::jcs::Json;
use broker_core::keyset::Keyset;

use super::{Audit, CheckResult, Materials, keyset};
use crate::policy::{Policy, Want};
use crate::saved::{SavedAci, SavedReport};
use crate::tdx::QuoteFields;
use crate::{Nonce32, ReportData};

pub(super) fn check(
    audit: &mut Audit,
    report: &SavedReport,
    stated: &SavedAci,
    materials: &Materials<'_>,
    policy: &Policy,
    quote: &QuoteFields,
) {
    service(audit, stated);
    let Some(keyset) = keyset::read(audit, report) else { return };
    let digest = keyset.digest();
    match stated.keyset_digest {
        None => audit.missing("keyset", "the report states no workload_keyset_digest"),
        Some(one) if one == digest => {
            audit.proved("keyset", format_args!("its digest is sha256:{digest}, as stated"));
        }
        Some(_) => audit.refuted("keyset", "its digest is not the workload_keyset_digest"),
    }
    if !statement(audit, report, &digest, materials, quote) {
        return;
    }
    match stated.report_data.as_deref() {
        None => audit.missing("report.report_data", "attestation.report_data is not there"),
        Some(half) if quote.report_data.starts_with(half) && half.len() == 32 => {}
        Some(_) => {
            let why = "attestation.report_data is not the statement's hash in the quote";
            audit.refuted("report.report_data", why);
        }
    }
    if materials.asked.binding_v2 {
        let why = "asked for v2, and this form does not tie its GPUs to its quote";
        audit.missing("binding", why);
    }
    keyset::bound(audit, &keyset, materials, &policy.keyset);
    let subject = match keyset.document().get("subject").and_then(Json::text) {
        Some(subject) => format!("; its subject {subject:?} is a name that nothing proves"),
        None => String::new(),
    };
    let why = format_args!("that private keys stay in the TD is what its code does{subject}");
    audit.not_checked("custody", why);
    tls(audit, &keyset, materials);
}

fn service(audit: &mut Audit, stated: &SavedAci) {
    match stated.api_version.as_deref() {
        Some("aci/1") => {}
        None => audit.missing("aci", "the report states no api_version"),
        Some(other) => audit.refuted("aci", format_args!("its version {other:?} is not aci/1")),
    }
    match stated.tee_type.as_deref() {
        Some("tdx") => {}
        None => audit.missing("aci", "the report states no tee_type"),
        Some(other) => {
            audit.refuted("aci", format_args!("evidence of the type {other:?} is not read here"));
        }
    }
    // An unknown word counts as the weaker one.
    if stated.serving.as_deref() != Some("direct") {
        let why = "it forwards requests to others, whose attestation is not judged here";
        audit.not_checked("aci.serving", why);
    }
    if !stated.e2ee_versions.is_empty() {
        let why = format_args!("{} is not judged here", stated.e2ee_versions.join(", "));
        audit.not_checked("aci.e2ee", why);
    }
}

/// Whether the quote carries the statement that names this keyset, and whose nonce is in it.
fn statement(
    audit: &mut Audit,
    report: &SavedReport,
    keyset: &Digest32,
    materials: &Materials<'_>,
    quote: &QuoteFields,
) -> bool {
    let carries =
        |nonce: Option<&Nonce32>| ReportData::aci(keyset, nonce).as_bytes() == &quote.report_data;
    let bound = |audit: &mut Audit| {
        audit.proved("report_data", format_args!("the quote binds the keyset sha256:{keyset}"));
        true
    };
    let (own, stated) = (materials.nonce, report.nonce);
    if let Some(own) = own.filter(|own| carries(Some(own))) {
        if stated.is_some_and(|stated| stated != own) {
            audit.refuted("nonce", "the report states another nonce than its quote answers");
        } else {
            audit.proved("nonce", "the report answers your nonce");
        }
        return bound(audit);
    }
    if let Some(stated) = stated.filter(|stated| carries(Some(stated))) {
        match own {
            Some(own) => {
                audit.refuted("nonce", format_args!("it answers {stated}, yours is {own}"))
            }
            None => {
                let why = "the report's own nonce; give --nonce to know that the report is not old";
                audit.not_checked("nonce", why);
            }
        }
        return bound(audit);
    }
    if carries(None) {
        let why = "the form for everybody answers no nonce: the report may be of any age";
        if own.is_some() || stated.is_some() {
            audit.refuted("nonce", why);
        } else {
            audit.not_checked("nonce", why);
        }
        return bound(audit);
    }
    if own.is_none() && stated.is_none() {
        let why = "the quote may answer a nonce that the report does not state: give --nonce";
        audit.missing("nonce", why);
        let why = "the quote does not bind the keyset without a nonce";
        audit.missing("report_data", why);
    } else {
        let why = "the quote does not bind the keyset and the nonce as the report states them";
        audit.refuted("report_data", why);
    }
    false
}

fn tls(audit: &mut Audit, keyset: &Keyset, materials: &Materials<'_>) {
    let listed: Vec<_> = match keyset.document().get("tls_public_keys") {
        Some(Json::List(list)) => {
            list.iter().filter_map(|entry| entry.get("spki_sha256").and_then(Json::text)).collect()
        }
        _ => Vec::new(),
    };
    match materials.tls_peer.map(|peer| peer.to_string()) {
        _ if listed.is_empty() && materials.asked.tls => {
            audit.missing("tls", "asked for, and the keyset lists no TLS key");
        }
        _ if listed.is_empty() => {
            audit.not_checked("tls", "the keyset lists no TLS key: TLS ends outside, if anywhere");
        }
        Some(peer) if listed.contains(&peer.as_str()) => {
            audit.proved("tls", "the connection ends at a TLS key of the keyset");
        }
        Some(_) => audit.refuted("tls", "the connection ends at a TLS key outside the keyset"),
        None if materials.asked.tls => {
            audit.missing("tls", "the connection shows no TLS key to compare with");
        }
        None => audit.not_checked("tls", "no connection to compare the keyset's TLS keys with"),
    }
}

/// After the event log: where the code comes from is worth what is measured of it.
pub(super) fn provenance(audit: &mut Audit, stated: &SavedAci, policy: &Policy) {
    let measured = audit.findings.iter().any(|finding| {
        finding.check.ends_with("compose.policy") && finding.result == CheckResult::Proved
    });
    if measured {
        let what = "the composition that runs is one that the policy names";
        return audit.proved("provenance", what);
    }
    let claims: Vec<_> =
        stated.provenance.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let claims = if claims.is_empty() { "nothing".to_owned() } else { claims.join(", ") };
    let why = format_args!(
        "the report states {claims}, which no measurement backs; name the composition that you \
         know in the policy (td.composeHash)"
    );
    match policy.keyset.provenance {
        Want::IfGiven => audit.not_checked("provenance", why),
        Want::Required => audit.missing("provenance", why),
    }
}
