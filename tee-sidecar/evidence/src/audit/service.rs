//! NVIDIA's own verdict on the GPUs, as its attestation service signed it.

use super::gpu::Gpus;
use super::{Audit, Materials};
use crate::nras::{Expected, GpuClaims, NRAS_ISSUER, NrasError, verify};
use crate::nvidia::VerifiedGpu;
use crate::policy::{Policy, Want};

pub(super) fn check(audit: &mut Audit, materials: &Materials<'_>, policy: &Policy, gpus: &Gpus) {
    let Some((answer, keys)) = materials.nras else {
        let why = "no result of NVIDIA's attestation service given (--nras, --jwks)";
        match policy.nras {
            Want::IfGiven => audit.not_checked("nras", why),
            Want::Required => audit.missing("nras", why),
        }
        return;
    };
    let Some(nonce) = gpus.nonce.filter(|_| gpus.presented > 0) else {
        return audit.refuted("nras", "a result about GPUs that the report does not have");
    };
    let expected = Expected {
        issuer: NRAS_ISSUER,
        nonce: *nonce.as_bytes(),
        gpus: gpus.presented,
        now_secs: materials.now_secs,
    };
    let verified = match verify(answer, keys, &expected) {
        Ok(verified) => verified,
        Err(error @ NrasError::Malformed(_)) => return audit.malformed("nras", error),
        Err(error) => return audit.refuted("nras", error),
    };
    let foreign = verified.gpus.iter().find(|claims| !is_ours(claims, gpus));
    if let Some(claims) = foreign {
        let why = format_args!("{} is none of the report's GPUs", claims.name);
        return audit.refuted("nras", why);
    }
    audit.proved("nras", format_args!("NVIDIA attests {} GPUs", verified.gpus.len()));
    for (gpu, warning) in verified.warnings() {
        audit.not_checked("nras.warning", format_args!("{gpu}: {warning}"));
    }
}

/// A device of the report's with the same versions. Where the report's own evidence does not hold,
/// the verdict is lost anyway.
fn is_ours(claims: &GpuClaims, gpus: &Gpus) -> bool {
    let same = |gpu: &VerifiedGpu| {
        gpu.ueid == claims.ueid
            && gpu.driver_version == claims.driver_version
            && gpu.vbios_version.eq_ignore_ascii_case(&claims.vbios_version)
    };
    gpus.verified.iter().any(|(_, gpu, _)| same(gpu))
}
