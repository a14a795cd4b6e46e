//! A whole report against an auditor's rules: one finding for each thing that was looked at, and
//! the verdict over all of them.
//!
//! What has to be there: a quote, collateral, report data that binds key and nonce, and for every
//! GPU its nonce, signature and certificates. What is there has to hold. What is not there and not
//! asked for is said, so that nobody takes it for proved.

use broker_core::Digest32;
use dcap_qvl::QuoteCollateralV3;

use crate::Nonce32;
use crate::nras::{Jwks, NrasAnswer};
use crate::nvidia::ocsp::OcspAnswer;
use crate::nvidia::rim::Rim;
use crate::policy::{Policy, Simulated};
use crate::roots::Roots;
use crate::saved::SavedReport;
use crate::tdx::QuoteFields;

mod aci;
mod binding;
mod finding;
mod gpu;
mod keyset;
mod ledger;
mod log;
mod log_head;
mod reference;
mod service;
mod td;

pub use finding::{Audit, CheckResult, Finding, Verdict, printable};

/// What an auditor brings along.
#[derive(Clone, Copy, Debug)]
pub struct Materials<'a> {
    /// The moment, in Unix seconds.
    pub now_secs: u64,
    /// The nonce that the auditor chose; without it the evidence may be old.
    pub nonce: Option<Nonce32>,
    /// Intel's word on the platform.
    pub collateral: Option<&'a QuoteCollateralV3>,
    /// NVIDIA's reference measurements.
    pub rims: &'a [Rim],
    /// NVIDIA's word on revocations.
    pub ocsp: &'a [OcspAnswer],
    /// NVIDIA's verdict, and the keys it is signed with.
    pub nras: Option<(&'a NrasAnswer, &'a Jwks)>,
    /// SHA-256 of the SPKI of the TLS peer that served the report.
    pub tls_peer: Option<Digest32>,
    /// What the report was asked to bind beyond key and nonce.
    pub asked: Asked,
}

/// What a server was asked to bind. One that ignores it has not proved it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// GPU evidence and quote to each other.
    pub binding_v2: bool,
    /// The TLS key.
    pub tls: bool,
}

/// Judges one report.
pub fn audit_report(report: &SavedReport, materials: &Materials<'_>, policy: &Policy) -> Audit {
    let mut audit = Audit::of(&report.place);
    let roots = roots(&mut audit, report, policy);
    let quote = td::check(&mut audit, report, materials, policy, roots);
    if let Some(quote) = &quote {
        bound(&mut audit, report, materials, policy, quote);
        log::check(&mut audit, report, policy, quote);
        if let Some(aci) = &report.aci {
            aci::provenance(&mut audit, aci, policy);
        }
    }
    ledger::check(&mut audit, report, materials.nonce);
    let gpus = gpu::check(&mut audit, report, materials, policy, roots);
    reference::check(&mut audit, materials, policy, &gpus);
    service::check(&mut audit, materials, policy, &gpus);
    audit
}

/// Judges only what a report says of its quote's report data, whatever the quote is worth: what a
/// server can hold its own document to.
pub fn audit_binding(
    report: &SavedReport,
    materials: &Materials<'_>,
    policy: &Policy,
    quote: &QuoteFields,
) -> Audit {
    let mut audit = Audit::of(&report.place);
    bound(&mut audit, report, materials, policy, quote);
    audit
}

fn bound(
    audit: &mut Audit,
    report: &SavedReport,
    materials: &Materials<'_>,
    policy: &Policy,
    quote: &QuoteFields,
) {
    match &report.aci {
        Some(aci) => aci::check(audit, report, aci, materials, policy, quote),
        None => {
            binding::check(audit, report, materials, quote);
            log_head::check(audit, report, materials, policy);
        }
    }
    keyset::lineage(audit, report, &policy.keyset);
}

/// Real evidence has to end at Intel and NVIDIA. Only a report that says of itself that it proves
/// nothing, and only with permission, is held to the roots of the software TEE.
fn roots(audit: &mut Audit, report: &SavedReport, policy: &Policy) -> Roots {
    if !report.simulated {
        return Roots::Hardware;
    }
    audit.simulated("simulated", policy.simulated == Simulated::Accept);
    Roots::Software
}
