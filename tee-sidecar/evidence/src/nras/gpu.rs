//! What the service must say of a GPU.
//!
//! Every check that a version of the claims has must be there and must have passed. A flag that we
//! do not know counts too: one that says false refuses the GPU.

use serde_json::{Map, Value};

use super::ClaimsVersion;
use super::claims::Claims;
use super::error::{GpuFault, clip};

/// What the service found out about one GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuClaims {
    /// Its name in the answer, `GPU-0` and so on.
    pub name: String,
    /// The driver's version.
    pub driver_version: String,
    /// The VBIOS's version.
    pub vbios_version: String,
    /// The hardware model, as its certificate names it.
    pub hwmodel: String,
    /// The device's own identity, a decimal number.
    pub ueid: String,
    /// What the service warns of.
    pub warning: Option<String>,
}

pub(super) fn check(
    name: &str,
    claims: &Claims,
    version: ClaimsVersion,
) -> Result<GpuClaims, GpuFault> {
    let text = |claim| claims.string(claim).ok_or(GpuFault::MissingClaim(claim));
    check_state(claims)?;
    let (flags, chains) = match version {
        ClaimsVersion::V2 => (&FLAGS_V2[..], &[][..]),
        ClaimsVersion::V3 => (&FLAGS_V3[..], &CHAINS_V3[..]),
    };
    for flag in FLAGS.iter().chain(flags) {
        match claims.flag(flag) {
            Some(true) => {}
            Some(false) => return Err(GpuFault::Check((*flag).to_owned())),
            None => return Err(GpuFault::MissingClaim(flag)),
        }
    }
    for chain in chains {
        claims.get(chain).and_then(Value::as_object).ok_or(GpuFault::MissingClaim(chain))?;
    }
    check_everything_else(claims)?;
    let warning = match claims.get(WARNING) {
        None | Some(Value::Null) => None,
        Some(Value::String(warning)) => Some(warning.clone()),
        Some(_) => return Err(GpuFault::MissingClaim(WARNING)),
    };
    Ok(GpuClaims {
        name: name.to_owned(),
        driver_version: text("x-nvidia-gpu-driver-version")?.to_owned(),
        vbios_version: text("x-nvidia-gpu-vbios-version")?.to_owned(),
        hwmodel: text("hwmodel")?.to_owned(),
        ueid: text("ueid")?.to_owned(),
        warning,
    })
}

fn check_state(claims: &Claims) -> Result<(), GpuFault> {
    let text = |claim| claims.string(claim).ok_or(GpuFault::MissingClaim(claim));
    let measured = text("measres")?;
    if measured != "success" {
        return Err(GpuFault::Measurements(clip(measured)));
    }
    match claims.flag("secboot") {
        Some(true) => {}
        Some(false) => return Err(GpuFault::SecureBoot),
        None => return Err(GpuFault::MissingClaim("secboot")),
    }
    let debug = text("dbgstat")?;
    if debug != "disabled" {
        return Err(GpuFault::Debug(clip(debug)));
    }
    let maker = text("oemid")?;
    if maker != NVIDIA {
        return Err(GpuFault::Maker(clip(maker)));
    }
    Ok(())
}

/// Flags and chains of either version that are there, whatever the version says, and those that are
/// yet to be invented.
fn check_everything_else(claims: &Claims) -> Result<(), GpuFault> {
    for (claim, value) in claims.iter().filter(|(claim, _)| claim.starts_with("x-nvidia-gpu-")) {
        match value {
            Value::Bool(false) => return Err(GpuFault::Check(clip(claim))),
            Value::Object(chain) if claim.ends_with("-cert-chain") => check_chain(claim, chain)?,
            _ => {}
        }
    }
    let reported = |claim| claims.get(claim).is_some_and(|value| !value.is_null());
    match FAULTS.into_iter().find(|claim| reported(claim)) {
        Some(claim) => Err(GpuFault::Reported(claim)),
        None => Ok(()),
    }
}

/// A certificate on hold is revoked with a reason, and is no good.
fn check_chain(name: &str, chain: &Map<String, Value>) -> Result<(), GpuFault> {
    for (member, wanted) in
        [("x-nvidia-cert-status", "valid"), ("x-nvidia-cert-ocsp-status", "good")]
    {
        if chain.get(member).and_then(Value::as_str) != Some(wanted) {
            return Err(GpuFault::Certificates { chain: clip(name), member, wanted });
        }
    }
    let member = "x-nvidia-cert-revocation-reason";
    match chain.get(member) {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(GpuFault::Certificates { chain: clip(name), member, wanted: "null" }),
    }
}

/// NVIDIA's number among makers.
const NVIDIA: &str = "5703";

const WARNING: &str = "x-nvidia-attestation-warning";

/// Checks that both versions report.
const FLAGS: [&str; 13] = [
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-driver-rim-fetched",
    "x-nvidia-gpu-driver-rim-schema-validated",
    "x-nvidia-gpu-driver-rim-signature-verified",
    "x-nvidia-gpu-driver-rim-measurements-available",
    "x-nvidia-gpu-vbios-rim-fetched",
    "x-nvidia-gpu-vbios-rim-schema-validated",
    "x-nvidia-gpu-vbios-rim-signature-verified",
    "x-nvidia-gpu-vbios-rim-measurements-available",
    "x-nvidia-gpu-vbios-index-no-conflict",
];

/// Version 2.0 says of certificates only whether they hold.
const FLAGS_V2: [&str; 3] = [
    "x-nvidia-gpu-attestation-report-cert-chain-validated",
    "x-nvidia-gpu-driver-rim-cert-validated",
    "x-nvidia-gpu-vbios-rim-cert-validated",
];

const FLAGS_V3: [&str; 3] = [
    "x-nvidia-gpu-attestation-report-cert-chain-fwid-match",
    "x-nvidia-gpu-driver-rim-version-match",
    "x-nvidia-gpu-vbios-rim-version-match",
];

/// Version 3.0 says of certificates what is known of them.
const CHAINS_V3: [&str; 3] = [
    "x-nvidia-gpu-attestation-report-cert-chain",
    "x-nvidia-gpu-driver-rim-cert-chain",
    "x-nvidia-gpu-vbios-rim-cert-chain",
];

/// Only failures have these.
const FAULTS: [&str; 2] = ["x-nvidia-error-details", "x-nvidia-mismatch-measurement-records"];
