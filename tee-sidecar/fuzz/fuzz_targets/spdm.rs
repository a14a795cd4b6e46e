//! One GPU's evidence, under the software GPU's root and under NVIDIA's. The bytes are the
//! architecture, the report and, where the first PEM line begins, the certificates. The report is
//! tried as it is and signed again with the software GPU's key, which anyone can compute.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha384};
use tee_evidence::Nonce32;
use tee_evidence::nvidia::{
    Architecture, GpuEvidence, GpuRoot, SpdmReport, VerifiedGpu, verify_gpu,
};
use tee_evidence::simulator::{GPU_KEY_LABEL, SoftwareGpu};

const BOTH: [Architecture; 2] = [Architecture::Hopper, Architecture::Blackwell];

static GPUS: LazyLock<[SoftwareGpu; 2]> = LazyLock::new(|| {
    BOTH.map(|architecture| SoftwareGpu::new(architecture).expect("the software GPU can be built"))
});

/// What was signed for the seeds: the only bytes that may hold as they are.
static SIGNED: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let nonce = Nonce32::from_bytes(NONCE);
    GPUS.each_ref().map(|gpu| signed_bytes(&gpu.evidence(&nonce).expect("evidence").report))
});

static PUBLISHED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let sample = include_str!("../../../fixtures/nvidia/hopperAttestationReport.txt");
    signed_bytes(&hex::decode(sample.trim()).expect("hex"))
});

static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    SigningKey::from_slice(&Sha384::digest(GPU_KEY_LABEL)).expect("the software GPU's key")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((architecture, report, chain)) = parts(bytes) else { return };
    let mut evidence = GpuEvidence {
        arch: BOTH[usize::from(architecture & 1)],
        report: report.to_vec(),
        chain_pem: chain.to_vec(),
    };
    let Ok(read) = SpdmReport::parse(&evidence.report) else { return };
    let (nonce, published) = (*read.nonce(), read.signed_bytes() == *PUBLISHED);
    let by_nvidia = verify_gpu(&evidence, &nonce, &GpuRoot::Nvidia, PUBLISHED_SECS);
    assert!(by_nvidia.is_err() || published, "NVIDIA signed nothing else");
    if let Ok(gpu) = by_software(&evidence, &nonce) {
        assert!(SIGNED.iter().any(|signed| read.signed_bytes() == signed), "the key did not sign");
        check_fields(&evidence, &gpu);
    }

    let (signed, _) = evidence.report.split_at(read.signed_bytes().len());
    let signature: Signature = KEY.sign(signed);
    evidence.report = [signed, &signature.to_bytes()].concat();
    assert!(verify_gpu(&evidence, &nonce, &GpuRoot::Nvidia, PUBLISHED_SECS).is_err());
    if let Ok(gpu) = by_software(&evidence, &nonce) {
        check_fields(&evidence, &gpu);
        let mut other = nonce;
        other[31] ^= 1;
        assert!(by_software(&evidence, &other).is_err(), "another nonce");
        evidence.report[4] ^= 1;
        assert!(by_software(&evidence, &nonce).is_err(), "changed after it was signed");
    }
});

fn parts(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (architecture, rest) = bytes.split_first()?;
    let behind = rest.windows(PEM_BEGIN.len()).position(|window| window == PEM_BEGIN)?;
    let (report, chain) = rest.split_at(behind);
    Some((*architecture, report, chain))
}

fn by_software(
    evidence: &GpuEvidence,
    nonce: &[u8; 32],
) -> Result<VerifiedGpu, tee_evidence::nvidia::GpuRefusal> {
    verify_gpu(evidence, nonce, &GPUS[0].trust_root(), NOW_SECS)
}

fn check_fields(evidence: &GpuEvidence, gpu: &VerifiedGpu) {
    assert_eq!(gpu.architecture, evidence.arch);
    let read = SpdmReport::parse(&evidence.report).expect("it was verified");
    assert_eq!(evidence.report[4..36], *read.nonce());
    assert_eq!(gpu.measurements, *read.measurements());
    assert!(!gpu.measurements.is_empty());
    for name in [&gpu.driver_version, &gpu.vbios_version, &gpu.project, &gpu.project_sku] {
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)), "{name}");
    }
}

fn signed_bytes(report: &[u8]) -> Vec<u8> {
    SpdmReport::parse(report).expect("a report").signed_bytes().to_vec()
}

/// The nonce of the seeds.
const NONCE: [u8; 32] = [0x5c; 32];
const NOW_SECS: u64 = 1_790_000_000;

/// A moment at which the published sample's certificates hold.
const PUBLISHED_SECS: u64 = 1_761_307_200;

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
