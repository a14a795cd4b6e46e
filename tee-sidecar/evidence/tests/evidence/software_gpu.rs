//! The software GPU against the production verifier, and forged firmware.

use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha384};
use tee_evidence::Nonce32;
use tee_evidence::certificates::{Chain, ChainError};
use tee_evidence::nvidia::{
    Architecture, FwidError, FwidState, GpuEvidence, GpuRefusal, GpuRoot, SpdmError, SpdmReport,
    VerifiedGpu, verify_gpu,
};
use tee_evidence::simulator::{GPU_KEY_LABEL, SoftwareGpu};

use crate::gpu::sample;
use crate::support::{NOW_SECS, nonce};

const BOTH: [Architecture; 2] = [Architecture::Hopper, Architecture::Blackwell];

fn evidence(architecture: Architecture) -> (SoftwareGpu, GpuEvidence) {
    let gpu = SoftwareGpu::new(architecture).unwrap();
    let evidence = gpu.evidence(&nonce()).unwrap();
    (gpu, evidence)
}

fn verify(gpu: &SoftwareGpu, evidence: &GpuEvidence) -> Result<VerifiedGpu, GpuRefusal> {
    verify_gpu(evidence, nonce().as_bytes(), &gpu.trust_root(), NOW_SECS)
}

/// What anyone who knows the label can do: needs nothing of the software GPU's code.
fn resign(report: &mut [u8]) {
    let key = SigningKey::from_slice(&Sha384::digest(GPU_KEY_LABEL)).unwrap();
    let (message, place) = report.split_at_mut(report.len() - 96);
    let signature: Signature = key.sign(message);
    place.copy_from_slice(&signature.to_bytes());
}

/// Replaces bytes that occur once by others, keeps every length right, and signs again.
fn replaced(report: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut places = (0..report.len()).filter(|at| report[*at..].starts_with(from));
    let (Some(at), None) = (places.next(), places.next()) else { panic!("not once: {from:?}") };
    let mut changed = [&report[..at], to, &report[at + from.len()..]].concat();
    let opaque_length = 37 + 8 + 3520 + 32;
    let length = changed.len() - opaque_length - 2 - 96;
    let length = u16::try_from(length).unwrap().to_le_bytes();
    changed[opaque_length..opaque_length + 2].copy_from_slice(&length);
    resign(&mut changed);
    changed
}

fn fwid_field(report: &[u8]) -> Vec<u8> {
    let fwid = SpdmReport::parse(report).unwrap().fwid().unwrap();
    [&[20, 0, 48, 0], &fwid[..]].concat()
}

#[test]
fn under_its_own_root_a_simulated_gpu_of_each_generation_holds() {
    for architecture in BOTH {
        let (gpu, evidence) = evidence(architecture);
        let verified = verify(&gpu, &evidence).unwrap();
        assert_eq!(verified.architecture, architecture);
        assert_eq!(
            (verified.driver_version.as_str(), verified.nvdec0_status),
            ("999.01", Some(0x55))
        );
        assert_eq!(verified.vbios_version, "99.00.00.00.01");
        assert_eq!(
            (verified.project.as_str(), verified.project_sku.as_str(), verified.chip_sku.as_str()),
            ("SIM0", "0000", "999")
        );
        assert_eq!(verified.measurements.len(), 64);
        assert!(matches!(verified.fwid, FwidState::Matches(_)));
        assert!(verified.hwmodel.contains("Simulated"), "{}", verified.hwmodel);
        let chain = Chain::parse_pem(&evidence.chain_pem).unwrap();
        assert_eq!(chain.certificates().len(), 5);
        assert!(chain.certificates().iter().all(|c| c.subject().contains("Simulated")));
    }
}

#[test]
fn nvidias_root_and_another_generations_refuse_a_simulated_gpu() {
    let (hopper, of_hopper) = evidence(Architecture::Hopper);
    let (blackwell, of_blackwell) = evidence(Architecture::Blackwell);
    for evidence in [&of_hopper, &of_blackwell] {
        let refused = verify_gpu(evidence, nonce().as_bytes(), &GpuRoot::Nvidia, NOW_SECS);
        assert_eq!(refused, Err(GpuRefusal::Chain(ChainError::OtherRoot)));
    }
    assert_eq!(hopper.root_der(), blackwell.root_der(), "one authority for both");
    verify(&hopper, &of_blackwell).unwrap();
}

#[test]
fn a_simulated_root_refuses_a_real_gpu() {
    let gpu = SoftwareGpu::new(Architecture::Hopper).unwrap();
    let real = sample();
    let nonce = real.report[4..36].try_into().unwrap();
    let refused = verify_gpu(&real, &nonce, &gpu.trust_root(), NOW_SECS);
    assert_eq!(refused, Err(GpuRefusal::Chain(ChainError::OtherRoot)));
}

#[test]
fn a_self_made_chain_below_the_real_root_is_refused() {
    let (_, mut forged) = evidence(Architecture::Hopper);
    let real = String::from_utf8(sample().chain_pem).unwrap();
    let mine = String::from_utf8(forged.chain_pem).unwrap();
    let pem = |text: &str| -> Vec<String> {
        text.split_inclusive("-----END CERTIFICATE-----").map(str::to_owned).collect()
    };
    let (mine, real) = (pem(&mine), pem(real.trim()));
    for own in 1..5 {
        forged.chain_pem = [&mine[..own], &real[own..5]].concat().concat().into_bytes();
        let refused = verify_gpu(&forged, nonce().as_bytes(), &GpuRoot::Nvidia, NOW_SECS);
        assert!(
            matches!(&refused, Err(GpuRefusal::Chain(ChainError::Link { position, .. }))
                if *position == own - 1),
            "{own}: {refused:?}"
        );
    }
}

#[test]
fn the_evidence_is_the_same_each_time_and_two_nonces_change_nothing_else() {
    for architecture in BOTH {
        let (_, one) = evidence(architecture);
        let (gpu, again) = evidence(architecture);
        assert_eq!(one, again);
        let other = gpu.evidence(&Nonce32::from_bytes([0xee; 32])).unwrap();
        let end = one.report.len() - 96;
        assert_eq!(other.report[4..36], [0xee; 32]);
        assert_eq!(other.report[..4], one.report[..4]);
        assert_eq!(other.report[36..end], one.report[36..end]);
        assert_eq!((other.chain_pem, other.report.len()), (one.chain_pem, one.report.len()));
    }
}

#[test]
fn a_replayed_report_is_refused_by_its_nonce_even_with_the_new_one_written_over_it() {
    let (gpu, old) = evidence(Architecture::Hopper);
    let fresh = [0xee; 32];
    let verify = |evidence: &GpuEvidence| verify_gpu(evidence, &fresh, &gpu.trust_root(), NOW_SECS);
    assert_eq!(verify(&old), Err(GpuRefusal::Nonce));

    // The GPU's own nonce is not the one that counts.
    let mut misplaced = old.clone();
    let response_nonce = 37 + 8 + 3520;
    misplaced.report[response_nonce..response_nonce + 32].copy_from_slice(&fresh);
    resign(&mut misplaced.report);
    assert_eq!(verify(&misplaced), Err(GpuRefusal::Nonce));

    let mut overwritten = old;
    overwritten.report[4..36].copy_from_slice(&fresh);
    assert_eq!(verify(&overwritten), Err(GpuRefusal::Signature));
}

#[test]
fn whoever_knows_the_label_can_answer_another_nonce() {
    for architecture in BOTH {
        let (gpu, mut evidence) = evidence(architecture);
        let other = Nonce32::from_bytes([0xee; 32]);
        evidence.report[4..36].copy_from_slice(other.as_bytes());
        resign(&mut evidence.report);
        assert_eq!(evidence, gpu.evidence(&other).unwrap());
    }
}

#[test]
fn firmware_other_than_the_certified_is_refused() {
    for architecture in BOTH {
        let (gpu, mut forged) = evidence(architecture);
        let field = fwid_field(&forged.report);
        let mut other = field.clone();
        other[51] ^= 1;
        forged.report = replaced(&forged.report, &field, &other);
        assert_eq!(verify(&gpu, &forged), Err(GpuRefusal::Fwid(FwidError::Mismatch)));
    }
}

#[test]
fn the_firmware_may_be_missing_only_where_the_driver_is_older_than_the_field() {
    let (gpu, mut forged) = evidence(Architecture::Hopper);
    let field = fwid_field(&forged.report);
    let without = replaced(&forged.report, &field, &[]);
    forged.report = without.clone();
    assert_eq!(verify(&gpu, &forged), Err(GpuRefusal::Fwid(FwidError::Missing)));

    for (driver, old) in [
        ("535.86.09", true),
        ("550.90.06", true),
        ("550.90", true),
        ("550.90.07", false),
        ("550.100", false),
        ("1000", false),
        ("53x.1", false),
        ("535..1", false),
    ] {
        let length = u8::try_from(driver.len()).unwrap();
        let to = [&[3, 0, length, 0], driver.as_bytes()].concat();
        forged.report = replaced(&without, b"\x03\x00\x07\x00999.01\x00", &to);
        match verify(&gpu, &forged) {
            Ok(verified) => {
                assert!(old, "{driver}");
                assert!(matches!(verified.fwid, FwidState::AbsentInOldReport { .. }));
            }
            refused => {
                assert!(!old, "{driver}");
                assert_eq!(refused, Err(GpuRefusal::Fwid(FwidError::Missing)), "{driver}");
            }
        }
    }
}

#[test]
fn a_report_that_does_not_name_its_board_or_driver_is_refused() {
    let (gpu, right) = evidence(Architecture::Hopper);
    for (field, id, name) in [
        (&b"\x03\x00\x07\x00999.01\x00"[..], 3, "DRIVER_VERSION"),
        (b"\x06\x00\x08\x00\x00\x00\x00\x99\x01\x00\x00\x00", 6, "VBIOS_VERSION"),
        (b"\x0f\x00\x09\x00999\x00\x00\x00\x00\x00\x00", 15, "CHIP_SKU"),
        (b"\x11\x00\x05\x00SIM0\x00", 17, "PROJECT"),
        (b"\x12\x00\x05\x000000\x00", 18, "PROJECT_SKU"),
    ] {
        let report = replaced(&right.report, field, &[]);
        let refused = verify(&gpu, &GpuEvidence { report, ..right.clone() });
        assert_eq!(refused, Err(GpuRefusal::Malformed(SpdmError::Field(id, name))));
    }
    let strange = [b"\x06\x00\x08\x00\x00\x00\x00\x99\x01\x00\x00\x00", &b"\x23\x00\x01\x00/"[..]];
    let report = replaced(&right.report, strange[0], &strange.concat());
    let refused = verify(&gpu, &GpuEvidence { report, ..right });
    assert_eq!(refused, Err(GpuRefusal::Malformed(SpdmError::Field(35, "CHIP_INFO"))));
}

#[test]
fn another_architectures_label_or_certificates_are_refused() {
    let (gpu, hopper) = evidence(Architecture::Hopper);
    let (_, blackwell) = evidence(Architecture::Blackwell);
    let label = GpuEvidence { arch: Architecture::Blackwell, ..hopper.clone() };
    assert!(matches!(verify(&gpu, &label), Err(GpuRefusal::Architecture(_))));
    // One key for both: only the certificates tell.
    let certificates = GpuEvidence { chain_pem: blackwell.chain_pem, ..hopper };
    assert!(matches!(verify(&gpu, &certificates), Err(GpuRefusal::Architecture(_))));
}

#[test]
fn certificates_outside_their_dates_are_refused() {
    let (gpu, evidence) = evidence(Architecture::Blackwell);
    for now_secs in [0, 1_500_000_000, 4_100_000_000] {
        let refused = verify_gpu(&evidence, nonce().as_bytes(), &gpu.trust_root(), now_secs);
        assert!(
            matches!(refused, Err(GpuRefusal::Chain(ChainError::Expired { .. }))),
            "{now_secs}"
        );
    }
}

#[test]
fn a_bit_flipped_anywhere_in_the_certificates_is_refused_or_changes_nothing() {
    let (gpu, right) = evidence(Architecture::Hopper);
    let expected = verify(&gpu, &right).unwrap();
    for position in (0..right.chain_pem.len()).step_by(7) {
        let mut changed = right.clone();
        changed.chain_pem[position] ^= 1 << (position % 7);
        // White space and the unused bits of base64 mean nothing.
        if let Ok(verified) = verify(&gpu, &changed) {
            assert_eq!(verified, expected, "byte {position}");
        }
    }
}
