//! The GPUs: each report genuine, fresh, of the device that it is presented as.

use std::collections::BTreeSet;

use broker_core::{Address, Digest32};

use super::{Audit, Materials};
use crate::certificates::Chain;
use crate::nvidia::{
    Architecture, FwidState, GpuRefusal, SpdmReport, VerifiedGpu, check_architecture, check_chain,
    check_fwid, check_nonce, check_signature,
};
use crate::policy::{GpuRules, Policy};
use crate::roots::Roots;
use crate::saved::{GpuItem, GpuPayload, SavedReport, SigningKey};
use crate::{Binding, Nonce32, ReportData};

/// What the further checks of the GPUs start from.
#[derive(Debug, Default)]
pub(super) struct Gpus {
    /// What all of them should have signed.
    pub(super) nonce: Option<Nonce32>,
    /// How many were presented.
    pub(super) presented: usize,
    /// Those whose evidence holds, with their place and certificates.
    pub(super) verified: Vec<(usize, VerifiedGpu, Chain)>,
}

pub(super) fn check(
    audit: &mut Audit,
    report: &SavedReport,
    materials: &Materials<'_>,
    policy: &Policy,
    roots: Roots,
) -> Gpus {
    let payload = match &report.gpus {
        Some(payload) if !payload.gpus.is_empty() => payload,
        _ if policy.gpu.required => {
            audit.missing("gpu", "no GPU evidence; the policy can allow that (gpu.required)");
            return Gpus::default();
        }
        _ => {
            audit.not_checked("gpu", "no GPU evidence, which the policy allows");
            return Gpus::default();
        }
    };
    let nonce = expected_nonce(audit, report, materials);
    let mut gpus = Gpus { nonce, presented: payload.gpus.len(), verified: Vec::new() };
    let arch = list(audit, payload, nonce.as_ref());
    let (Some(nonce), Some(arch)) = (nonce, arch) else { return gpus };
    if let Some(count) = policy.gpu.count.filter(|count| *count != payload.gpus.len()) {
        let why = format_args!("{} GPUs, the policy asks for {count}", payload.gpus.len());
        audit.refuted("gpu.count", why);
    }
    let (mut seen, mut devices) = (BTreeSet::new(), BTreeSet::new());
    for (index, item) in payload.gpus.iter().enumerate() {
        if !seen.insert(&item.certificate) {
            audit.refuted(&format!("gpu{index}"), "the same device as one before it");
            continue;
        }
        let Some((gpu, chain)) = one(audit, index, item, arch, &nonce, materials, roots) else {
            continue;
        };
        if !devices.insert(gpu.ueid.clone()) {
            audit.refuted(&format!("gpu{index}"), "the same device as one before it");
        }
        versions(audit, index, &gpu, &policy.gpu);
        if gpu.feature_flag.is_some_and(|flag| flag != SINGLE_GPU) {
            let why = "it works with other GPUs, and no switch between them is attested here";
            audit.not_checked(&format!("gpu{index}.switches"), why);
        }
        gpus.verified.push((index, gpu, chain));
    }
    gpus
}

/// The request's nonce, or what follows from it and the key where the report binds both ways.
fn expected_nonce(
    audit: &mut Audit,
    report: &SavedReport,
    materials: &Materials<'_>,
) -> Option<Nonce32> {
    let nonce = report.nonce.or(materials.nonce);
    let expected = match (&report.binding, nonce, audit.signer) {
        // The form for everybody: the statement about the keyset.
        (None, None, None) if report.aci.is_some() => report.keyset.as_ref().map(|keyset| {
            let digest = Digest32::sha256(keyset.canonical().as_bytes());
            Nonce32::from_bytes(ReportData::aci(&digest, None).first_half())
        }),
        (Some(_), Some(nonce), _) => {
            report.public_key.as_deref().map(|key| Binding::gpu_nonce(key, &nonce))
        }
        (None, Some(nonce), _) => Some(nonce),
        // 0G's quote: a hash of the address, which is never fresh.
        (_, None, Some(SigningKey::Ecdsa(address))) => Some(legacy_nonce(address)),
        _ => None,
    };
    if expected.is_none() {
        audit.missing("gpu.nonce", "nothing says which nonce the GPUs should have signed");
    }
    expected
}

fn legacy_nonce(address: Address) -> Nonce32 {
    Nonce32::from_bytes(Digest32::keccak256(address.to_string().as_bytes()).0)
}

/// The FEATURE_FLAG of a GPU that works alone.
const SINGLE_GPU: u16 = 0;

/// What the list says of all GPUs at once.
fn list(audit: &mut Audit, payload: &GpuPayload, nonce: Option<&Nonce32>) -> Option<Architecture> {
    if nonce.is_some_and(|nonce| nonce != &payload.nonce) {
        audit.refuted("gpu.nonce", "nvidia_payload has another nonce than the report");
    }
    let mut names = payload.gpus.iter().filter_map(|gpu| gpu.arch.as_deref());
    if names.any(|name| name != payload.arch) {
        audit.refuted("gpu.arch", "GPUs of different architectures in one list");
        return None;
    }
    if payload.gpus.iter().any(|gpu| gpu.nonce.is_some_and(|nonce| nonce != payload.nonce)) {
        audit.refuted("gpu.nonce", "GPUs with different nonces in one list");
    }
    let arch = Architecture::parse(&payload.arch);
    if arch.is_none() {
        let why = format_args!("{:?} is no GPU architecture known here", payload.arch);
        audit.refuted("gpu.arch", why);
    }
    arch
}

/// One GPU, check by check.
fn one(
    audit: &mut Audit,
    index: usize,
    item: &GpuItem,
    arch: Architecture,
    nonce: &Nonce32,
    materials: &Materials<'_>,
    roots: Roots,
) -> Option<(VerifiedGpu, Chain)> {
    let name = format!("gpu{index}");
    let read = SpdmReport::parse(&item.evidence).map_err(|e| e.to_string());
    let read = read.and_then(|spdm| {
        let chain = Chain::parse_pem(&item.certificate).map_err(|e| e.to_string())?;
        Ok((spdm, chain))
    });
    let (spdm, chain) = match read {
        Ok(read) => read,
        Err(error) => {
            audit.malformed(&name, error);
            return None;
        }
    };
    let mut holds = true;
    let mut note = |what: &str, outcome: Result<String, GpuRefusal>| match outcome {
        Ok(detail) => audit.proved(&format!("{name}.{what}"), detail),
        Err(error) => {
            holds = false;
            audit.refuted(&format!("{name}.{what}"), error);
        }
    };
    note("nonce", check_nonce(&spdm, nonce.as_bytes()).map(|()| "the report's".to_owned()));
    let signed = check_signature(&spdm, &chain);
    note("signature", signed.map(|()| "by the key of its certificate".to_owned()));
    let chained = check_chain(&chain, &roots.gpu(), materials.now_secs);
    note("chain", chained.map(|()| "its certificates lead to the root".to_owned()));
    let generation = check_architecture(&chain, arch).map_err(GpuRefusal::from);
    note("arch", generation.map(|arch| arch.to_string()));
    let firmware = match check_fwid(&spdm, &chain) {
        Ok(state) => {
            if matches!(state, FwidState::Matches(_)) {
                note("fwid", Ok("the certified firmware".to_owned()));
            }
            Some(state)
        }
        Err(error) => {
            note("fwid", Err(error.into()));
            None
        }
    };
    let state = firmware.filter(|_| holds)?;
    if !matches!(state, FwidState::Matches(_)) {
        let why = "this generation of reports names no firmware";
        audit.not_checked(&format!("{name}.fwid"), why);
    }
    match VerifiedGpu::read(&spdm, &chain, arch, state) {
        Ok(gpu) => Some((gpu, chain)),
        Err(error) => {
            audit.malformed(&name, error);
            None
        }
    }
}

fn versions(audit: &mut Audit, index: usize, gpu: &VerifiedGpu, rules: &GpuRules) {
    for (what, version, allowed) in [
        ("driver", &gpu.driver_version, &rules.driver_versions),
        ("vbios", &gpu.vbios_version, &rules.vbios_versions),
    ] {
        let check = format!("gpu{index}.{what}");
        if allowed.is_empty() {
            audit.not_checked(&check, format_args!("{version}; the policy names none"));
        } else if allowed.iter().any(|one| one.eq_ignore_ascii_case(version)) {
            audit.proved(&check, format_args!("{version}, as the policy has it"));
        } else {
            audit.refuted(&check, format_args!("{version} is not among the policy's"));
        }
    }
}
