//! NVIDIA's further word on the GPUs: reference measurements, and that no certificate is revoked.

use super::gpu::Gpus;
use super::{Audit, Materials};
use crate::nvidia::VerifiedGpu;
use crate::nvidia::ocsp::{CertificateHold, OcspAnswer, Subject, device_subjects, rim_subjects};
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
    let mut chains = Vec::new();
    for (index, _, chain) in &gpus.verified {
        chains.push((format!("gpu{index}.ocsp"), device_subjects(chain)));
    }
    for (position, rim) in materials.rims.iter().enumerate() {
        chains.push((format!("rim{position}.ocsp"), rim_subjects(rim.chain())));
    }
    for (check, subjects) in &chains {
        revocation(audit, check, subjects, materials, &policy.gpu);
    }
    let chains: Vec<_> = chains.into_iter().map(|(_, subjects)| subjects).collect();
    unrelated(audit, materials, &chains);
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
    let of = |kind, version: &str| -> Vec<&VerifiedRim> {
        let matches = |rim: &&VerifiedRim| {
            rim.kind == kind && is_product(rim, gpu) && rim.verify_version(version).is_ok()
        };
        rims.iter().filter(matches).collect()
    };
    let (drivers, boards) =
        (of(RimKind::Driver, &gpu.driver_version), of(RimKind::Vbios, &gpu.vbios_version));
    if drivers.is_empty() {
        let why = format_args!("no manifest of driver {} that holds", gpu.driver_version);
        return audit.missing(check, why);
    }
    if boards.is_empty() {
        let why = format!("no manifest of VBIOS {} that holds", gpu.vbios_version);
        absent(audit, &format!("{check}.vbios"), want, &why);
    }
    // Manifests of two boards can have one version: the one whose values fit is the GPU's.
    let boards: Vec<_> = boards.into_iter().map(Some).collect();
    let boards = if boards.is_empty() { vec![None] } else { boards };
    let pairs = drivers.iter().flat_map(|driver| boards.iter().map(move |board| (*driver, *board)));
    let mut failed = None;
    for (driver, board) in pairs {
        match compare(&gpu.measurements, gpu.nvdec0_status, driver, board) {
            Ok(comparison) => {
                let (matched, skipped) = (comparison.matched.len(), comparison.skipped.len());
                let what = format_args!("{matched} measurements match, {skipped} do not apply");
                return audit.proved(check, what);
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        audit.refuted(check, error);
    }
}

/// Whether a manifest is for this chip.
fn is_product(rim: &VerifiedRim, gpu: &VerifiedGpu) -> bool {
    let chip = gpu.hwmodel.split_whitespace().next();
    [chip, gpu.chip_info.as_deref()].contains(&Some(rim.product.as_str()))
}

/// All certificates of one chain. Answers about some of them only leave the others open.
fn revocation(
    audit: &mut Audit,
    check: &str,
    subjects: &[Subject<'_>],
    materials: &Materials<'_>,
    rules: &GpuRules,
) {
    let hold =
        if rules.certificate_hold { CertificateHold::Accept } else { CertificateHold::Refuse };
    let about = |(certificate, issuer): Subject<'_>| -> Vec<&OcspAnswer> {
        materials.ocsp.iter().filter(|answer| answer.is_about(certificate, issuer)).collect()
    };
    if subjects.iter().all(|subject| about(*subject).is_empty()) {
        let why = if materials.ocsp.is_empty() {
            "no answers about revocation given (--ocsp)"
        } else {
            "none of the given answers is about these certificates"
        };
        return absent(audit, check, rules.ocsp, why);
    }
    for subject @ (certificate, issuer) in subjects.iter().copied() {
        let name = certificate.subject();
        let answers = about(subject);
        if answers.is_empty() {
            audit.missing(check, format_args!("no answer about {name}"));
        }
        // All of them: a good one does not outweigh one that says revoked.
        for answer in answers {
            match answer.verify(certificate, issuer, materials.now_secs, hold) {
                Ok(good) if good.on_hold => {
                    audit.proved(check, format_args!("{name}: on hold, which the policy allows"));
                }
                Ok(_) => audit.proved(check, format_args!("{name}: not revoked")),
                Err(error) => audit.refuted(check, format_args!("{name}: {error}")),
            }
        }
    }
}

/// Whoever brings an answer wants it to count: one about no certificate here tells of a device that
/// is not the expected one.
fn unrelated(audit: &mut Audit, materials: &Materials<'_>, chains: &[Vec<Subject<'_>>]) {
    for (position, answer) in materials.ocsp.iter().enumerate() {
        let mut subjects = chains.iter().flatten();
        if !subjects.any(|(certificate, issuer)| answer.is_about(certificate, issuer)) {
            let check = format!("ocsp{position}");
            audit.missing(&check, "it is about none of the certificates presented");
        }
    }
}

fn absent(audit: &mut Audit, check: &str, want: Want, why: &str) {
    match want {
        Want::IfGiven => audit.not_checked(check, why),
        Want::Required => audit.missing(check, why),
    }
}
