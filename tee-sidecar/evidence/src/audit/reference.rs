//! NVIDIA's further word on the GPUs: reference measurements, and that no certificate is revoked.

use super::gpu::Gpus;
use super::{Audit, Materials};
use crate::certificates::Chain;
use crate::nvidia::VerifiedGpu;
use crate::nvidia::ocsp::{CertificateHold, Subject, device_subjects, rim_subjects};
use crate::nvidia::rim::{RimKind, RimRoot, VerifiedRim, compare};
use crate::policy::{GpuRules, Policy, Want};

pub(super) fn check(audit: &mut Audit, materials: &Materials<'_>, policy: &Policy, gpus: &Gpus) {
    let rims = manifests(audit, materials);
    if gpus.presented == 0 {
        return;
    }
    for (index, gpu, _) in &gpus.verified {
        measurements(audit, &format!("gpu{index}.rim"), gpu, &rims, materials, policy.gpu.rim);
    }
    let mut chains: Vec<(String, &Chain)> = Vec::new();
    for (index, _, chain) in &gpus.verified {
        chains.push((format!("gpu{index}.ocsp"), chain));
    }
    for (check, chain) in chains {
        revocation(audit, &check, device_subjects(chain), materials, &policy.gpu);
    }
    for (position, rim) in materials.rims.iter().enumerate() {
        let check = format!("rim{position}.ocsp");
        revocation(audit, &check, rim_subjects(rim.chain()), materials, &policy.gpu);
    }
}

/// The manifests that hold.
fn manifests(audit: &mut Audit, materials: &Materials<'_>) -> Vec<VerifiedRim> {
    let mut verified = Vec::new();
    for (position, rim) in materials.rims.iter().enumerate() {
        let check = format!("rim{position}");
        match rim.verify(&RimRoot::Nvidia, materials.now_secs) {
            Ok(rim) => {
                audit
                    .proved(&check, format_args!("{} {}, signed by NVIDIA", rim.kind, rim.version));
                verified.push(rim);
            }
            Err(error) => audit.refuted(&check, error),
        }
    }
    verified
}

fn measurements(
    audit: &mut Audit,
    check: &str,
    gpu: &VerifiedGpu,
    rims: &[VerifiedRim],
    materials: &Materials<'_>,
    want: Want,
) {
    if materials.rims.is_empty() {
        let why = "no reference measurements given (--rim)";
        return absent(audit, check, want, why);
    }
    let find = |kind, version: &str| {
        rims.iter().find(|rim| rim.kind == kind && rim.verify_version(version).is_ok())
    };
    let Some(driver) = find(RimKind::Driver, &gpu.driver_version) else {
        let why = format_args!("no manifest of driver {} that holds", gpu.driver_version);
        return audit.missing(check, why);
    };
    let vbios = find(RimKind::Vbios, &gpu.vbios_version);
    if vbios.is_none() {
        let why = format!("no manifest of VBIOS {} that holds", gpu.vbios_version);
        absent(audit, &format!("{check}.vbios"), want, &why);
    }
    match compare(&gpu.measurements, gpu.nvdec0_status, driver, vbios) {
        Ok(comparison) => {
            let (matched, skipped) = (comparison.matched.len(), comparison.skipped.len());
            let what = format_args!("{matched} measurements match, {skipped} do not apply");
            audit.proved(check, what);
        }
        Err(error) => audit.refuted(check, error),
    }
}

/// All certificates of one chain. Answers about some of them only leave the others open.
fn revocation(
    audit: &mut Audit,
    check: &str,
    subjects: Vec<Subject<'_>>,
    materials: &Materials<'_>,
    rules: &GpuRules,
) {
    let hold =
        if rules.certificate_hold { CertificateHold::Accept } else { CertificateHold::Refuse };
    let about = |(certificate, issuer): Subject<'_>| {
        materials.ocsp.iter().find(|answer| answer.is_about(certificate, issuer))
    };
    if subjects.iter().all(|subject| about(*subject).is_none()) {
        return absent(audit, check, rules.ocsp, "no answers about revocation given (--ocsp)");
    }
    for subject @ (certificate, issuer) in subjects {
        let name = certificate.subject();
        let Some(answer) = about(subject) else {
            audit.missing(check, format_args!("no answer about {name}"));
            continue;
        };
        match answer.verify(certificate, issuer, materials.now_secs, hold) {
            Ok(good) if good.on_hold => {
                audit.proved(check, format_args!("{name}: on hold, which the policy allows"));
            }
            Ok(_) => audit.proved(check, format_args!("{name}: not revoked")),
            Err(error) => audit.refuted(check, format_args!("{name}: {error}")),
        }
    }
}

fn absent(audit: &mut Audit, check: &str, want: Want, why: &str) {
    match want {
        Want::IfGiven => audit.not_checked(check, why),
        Want::Required => audit.missing(check, why),
    }
}
