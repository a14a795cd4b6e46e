//! Real GPU reports: the published sample, and captured ones where their folder is at hand.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tee_evidence::certificates::{Chain, ChainError};
use tee_evidence::nvidia::{
    Architecture, ArchitectureError, FwidState, GpuEvidence, GpuRefusal, GpuRoot, SpdmError,
    SpdmReport, VerifiedGpu, certified_fwid, check_architecture, check_chain, check_fwid,
    check_nonce, check_signature, verify_gpu,
};

use crate::support::captured;

/// At which every captured chain of a GPU holds.
pub(crate) const DEVICES_SECS: u64 = 1_761_307_200;

const NEAR_SECS: u64 = 1_773_500_000;
const GOLDEN_NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
const SAMPLE_REPORT: &str = include_str!("../../../../fixtures/nvidia/hopperAttestationReport.txt");
const SAMPLE_CHAIN: &[u8] = include_bytes!("../../../../fixtures/nvidia/hopperCertChain.txt");

/// The published sample.
pub(crate) fn sample() -> GpuEvidence {
    GpuEvidence {
        arch: Architecture::Hopper,
        report: hex::decode(SAMPLE_REPORT).unwrap(),
        chain_pem: SAMPLE_CHAIN.to_vec(),
    }
}

pub(crate) fn sample_nonce() -> [u8; 32] {
    hex::decode(GOLDEN_NONCE).unwrap().try_into().unwrap()
}

fn verify(evidence: &GpuEvidence, nonce: &[u8; 32]) -> Result<VerifiedGpu, GpuRefusal> {
    verify_gpu(evidence, nonce, &GpuRoot::Nvidia, DEVICES_SECS)
}

/// A captured report in hex and its chain, with the nonce that the report itself carries.
fn captured_pair(folder: &Path, report: &str, chain: &str) -> (GpuEvidence, [u8; 32]) {
    let text = std::fs::read_to_string(folder.join("nvidia").join(report)).unwrap();
    let report = hex::decode(text.trim()).unwrap();
    let chain_pem = std::fs::read(folder.join("nvidia").join(chain)).unwrap();
    let arch = match chain.contains("gb100") {
        true => Architecture::Blackwell,
        false => Architecture::Hopper,
    };
    let nonce = report[4..36].try_into().unwrap();
    (GpuEvidence { arch, report, chain_pem }, nonce)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// An item of an evidence list, presented as this architecture.
fn listed(item: &Value, arch: Architecture) -> GpuEvidence {
    let bytes = |name: &str| STANDARD.decode(item[name].as_str().unwrap()).unwrap();
    GpuEvidence { arch, report: bytes("evidence"), chain_pem: bytes("certificate") }
}

fn nonce_of(text: &Value) -> [u8; 32] {
    hex::decode(text.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn board(gpu: &VerifiedGpu) -> [&str; 5] {
    [&gpu.driver_version, &gpu.vbios_version, &gpu.project, &gpu.project_sku, &gpu.chip_sku]
}

fn matches_the_certificate(evidence: &GpuEvidence, fwid: FwidState) -> bool {
    let chain = Chain::parse_pem(&evidence.chain_pem).unwrap();
    fwid == FwidState::Matches(certified_fwid(chain.leaf()).unwrap())
}

#[test]
fn the_published_sample_holds_under_nvidias_root_and_says_what_it_is() {
    let evidence = sample();
    let gpu = verify(&evidence, &sample_nonce()).unwrap();
    assert_eq!(gpu.architecture, Architecture::Hopper);
    assert_eq!(board(&gpu), ["550.90.07", "96.00.9F.00.01", "1010", "0200", "882"]);
    assert_eq!(gpu.measurements.keys().copied().collect::<Vec<_>>(), (1..=64).collect::<Vec<_>>());
    assert!(gpu.measurements.values().all(|value| value.len() == 48));
    assert_eq!(
        (gpu.nvdec0_status, gpu.feature_flag, gpu.chip_info.clone()),
        (Some(0x55), None, None)
    );
    assert!(matches_the_certificate(&evidence, gpu.fwid));
    // As NVIDIA's attestation service names this GPU.
    assert_eq!(gpu.ueid, "478176379286082186618948445787393647364802107249");
    assert_eq!(gpu.hwmodel, "GH100 A01 GSP BROM");
}

#[test]
fn each_check_of_the_sample_passes_on_its_own_and_fails_on_its_own() {
    let report = SpdmReport::parse(&sample().report).unwrap();
    let chain = Chain::parse_pem(SAMPLE_CHAIN).unwrap();
    check_nonce(&report, &sample_nonce()).unwrap();
    check_signature(&report, &chain).unwrap();
    check_chain(&chain, &GpuRoot::Nvidia, DEVICES_SECS).unwrap();
    check_architecture(&chain, Architecture::Hopper).unwrap();
    check_fwid(&report, &chain).unwrap();

    assert_eq!(check_nonce(&report, &[0; 32]), Err(GpuRefusal::Nonce));
    let authorities = Chain::from_ders(&ders(&chain)[1..]).unwrap();
    assert_eq!(check_signature(&report, &authorities), Err(GpuRefusal::Signature));
    let other = GpuRoot::Test(chain.leaf().der().to_vec());
    let refused = check_chain(&chain, &other, DEVICES_SECS);
    assert_eq!(refused, Err(GpuRefusal::Chain(ChainError::OtherRoot)));
    let (certified, claimed) = (Architecture::Hopper, Architecture::Blackwell);
    let refused = check_architecture(&chain, claimed);
    assert_eq!(refused, Err(ArchitectureError::Label { certified, claimed }));
    assert!(check_fwid(&report, &authorities).is_err());
}

fn ders(chain: &Chain) -> Vec<Vec<u8>> {
    chain.certificates().iter().map(|certificate| certificate.der().to_vec()).collect()
}

#[test]
fn a_chain_with_a_certificate_missing_swapped_or_added_is_refused() {
    let all = ders(&Chain::parse_pem(SAMPLE_CHAIN).unwrap());
    let refused = |ders: &[Vec<u8>]| {
        let chain = Chain::from_ders(ders).unwrap();
        check_chain(&chain, &GpuRoot::Nvidia, DEVICES_SECS).is_err()
    };
    assert!(!refused(&all));
    for position in 0..all.len() {
        let mut changed = all.clone();
        let removed = changed.remove(position);
        // Without its leaf it is still a chain: of an authority that signs no report.
        assert_eq!(refused(&changed), position != 0, "without certificate {position}");
        changed.push(removed);
        assert_eq!(refused(&changed), position != all.len() - 1, "{position} moved to the end");
        let mut doubled = all.clone();
        doubled.insert(position, all[position].clone());
        // The root signed itself.
        assert_eq!(refused(&doubled), position != all.len() - 1, "{position} twice");
    }
}

#[test]
fn an_authority_of_a_gpu_is_not_taken_for_a_gpu() {
    let all = ders(&Chain::parse_pem(SAMPLE_CHAIN).unwrap());
    for leaf in 1..all.len() {
        let chain = Chain::from_ders(&all[leaf..]).unwrap();
        assert!(check_architecture(&chain, Architecture::Hopper).is_err(), "from {leaf}");
    }
}

#[test]
fn the_sample_is_refused_before_its_certificates_hold_and_for_any_other_nonce() {
    let evidence = sample();
    let refused = verify_gpu(&evidence, &sample_nonce(), &GpuRoot::Nvidia, 1_600_000_000);
    let Err(GpuRefusal::Chain(ChainError::Expired { .. })) = refused else { panic!("{refused:?}") };
    for position in 0..32 {
        let mut nonce = sample_nonce();
        nonce[position] ^= 0x80;
        assert_eq!(verify(&evidence, &nonce), Err(GpuRefusal::Nonce), "byte {position}");
    }
}

#[test]
fn zeros_behind_the_certificates_are_ignored_and_anything_else_is_refused() {
    let mut evidence = sample();
    evidence.chain_pem.extend([0; 100]);
    verify(&evidence, &sample_nonce()).unwrap();
    evidence.chain_pem.extend(b"more");
    let refused = verify(&evidence, &sample_nonce());
    assert!(matches!(refused, Err(GpuRefusal::Chain(ChainError::Unreadable { .. }))));
    evidence.chain_pem.clear();
    assert_eq!(verify(&evidence, &sample_nonce()), Err(GpuRefusal::Chain(ChainError::Length(0))));
}

#[test]
fn a_bit_flipped_anywhere_in_the_sample_is_refused() {
    let right = sample();
    for position in 0..right.report.len() {
        let mut changed = right.clone();
        changed.report[position] ^= 1 << (position % 8);
        let refused = verify(&changed, &sample_nonce()).unwrap_err();
        let expected = match position {
            4..36 => matches!(refused, GpuRefusal::Nonce),
            // Nothing but the signature notices another measurement, nonce or signature.
            _ => matches!(refused, GpuRefusal::Signature | GpuRefusal::Malformed(_)),
        };
        assert!(expected, "byte {position}: {refused}");
    }
    let mut measurement = right;
    measurement.report[120] ^= 1;
    assert_eq!(verify(&measurement, &sample_nonce()), Err(GpuRefusal::Signature));
}

#[test]
fn the_built_in_root_is_nvidias() {
    let Some(folder) = captured() else { return };
    let pem = std::fs::read(folder.join("nvidia/roots/device_root.pem")).unwrap();
    let root = Chain::parse_pem(&pem).unwrap();
    assert_eq!(GpuRoot::Nvidia.der().unwrap(), root.leaf().der());
    assert_eq!(root.leaf().subject(), "O=NVIDIA,CN=NVIDIA Device Identity CA");
    let golden = std::fs::read(folder.join("nvidia/h100_golden/report.bin")).unwrap();
    let chain_pem = std::fs::read(folder.join("nvidia/h100_golden/chain.pem")).unwrap();
    let golden = GpuEvidence { arch: Architecture::Hopper, report: golden, chain_pem };
    assert_eq!(golden, sample());
}

#[test]
fn captured_gpus_of_both_generations_hold() {
    let Some(folder) = captured() else { return };
    let rows = [
        ("h100_580", ["580.159.03", "96.00.74.00.20", "1010", "0205", "862"], Some(0)),
        ("gb100_575", ["575.32", "97.00.88.00.0F", "G525", "0220", "886"], None),
    ];
    for (name, expected, feature_flag) in rows {
        let report = format!("evidence/{name}_report.hex");
        let chain = format!("evidence/{name}_chain.pem");
        let (evidence, nonce) = captured_pair(&folder, &report, &chain);
        let gpu = verify(&evidence, &nonce).unwrap();
        assert_eq!(board(&gpu), expected, "{name}");
        assert_eq!((gpu.architecture, gpu.feature_flag), (evidence.arch, feature_flag), "{name}");
        assert!(matches_the_certificate(&evidence, gpu.fwid), "{name}");

        let other = match evidence.arch {
            Architecture::Hopper => Architecture::Blackwell,
            Architecture::Blackwell => Architecture::Hopper,
        };
        let lying = GpuEvidence { arch: other, ..evidence };
        assert!(matches!(verify(&lying, &nonce), Err(GpuRefusal::Architecture(_))), "{name}");
    }
}

#[test]
fn an_old_report_without_its_firmware_is_accepted_and_says_so() {
    let Some(folder) = captured() else { return };
    let (evidence, nonce) =
        captured_pair(&folder, "evidence/h100_535_report.hex", "evidence/h100_535_chain.pem");
    let gpu = verify(&evidence, &nonce).unwrap();
    assert_eq!(board(&gpu), ["535.86.09", "96.00.5E.00.01", "1010", "0200", "882"]);
    let certified = certified_fwid(Chain::parse_pem(&evidence.chain_pem).unwrap().leaf()).unwrap();
    assert_eq!(hex::encode(&certified[..4]), "faa77bfb");
    assert_eq!(gpu.fwid, FwidState::AbsentInOldReport { certified });
}

#[test]
fn an_evidence_list_with_protected_pcie_holds() {
    let Some(folder) = captured() else { return };
    let list = json(&folder.join("nvidia/evidence/hopper_evidence.json"));
    let item = &list[0];
    let gpu = verify(&listed(item, Architecture::Hopper), &nonce_of(&item["nonce"])).unwrap();
    assert_eq!(board(&gpu), ["590.12", "96.00.A5.00.01", "G520", "0200", "885"]);
    assert_eq!(gpu.feature_flag, Some(2));
}

#[test]
fn all_eight_gpus_of_a_node_hold_for_its_nonce_and_are_eight() {
    let Some(folder) = captured() else { return };
    let report = json(&folder.join("reports/near_ecdsa_registry/near_report.json"));
    let model = &report["model_attestations"][0];
    let payload: Value = serde_json::from_str(model["nvidia_payload"].as_str().unwrap()).unwrap();
    let nonce = nonce_of(&model["request_nonce"]);
    let gpus = payload["evidence_list"].as_array().unwrap().iter().map(|item| {
        let evidence = listed(item, serde_json::from_value(item["arch"].clone()).unwrap());
        verify_gpu(&evidence, &nonce, &GpuRoot::Nvidia, NEAR_SECS).unwrap()
    });
    let gpus: Vec<_> = gpus.collect();
    assert_eq!(gpus.len(), 8);
    for gpu in &gpus {
        assert_eq!(board(gpu), ["570.172.08", "96.00.CF.00.02", "G520", "0280", "895"]);
        assert!(matches!(gpu.fwid, FwidState::Matches(_)));
    }
    let identities: std::collections::BTreeSet<_> = gpus.iter().map(|gpu| &gpu.ueid).collect();
    assert_eq!(identities.len(), 8);
}

#[test]
fn another_gpus_report_or_certificates_are_refused_by_the_signature() {
    let Some(folder) = captured() else { return };
    let chain = "evidence/h100_535_chain.pem";
    let (bad, nonce) = captured_pair(&folder, "negative/h100_bad_signature.hex", chain);
    assert_eq!(verify(&bad, &nonce), Err(GpuRefusal::Signature));

    let (other, _) = captured_pair(&folder, "evidence/h100_535_report.hex", chain);
    let mixed = GpuEvidence { chain_pem: other.chain_pem, ..sample() };
    assert_eq!(verify(&mixed, &sample_nonce()), Err(GpuRefusal::Signature));
}

#[test]
fn a_switch_is_no_gpu_whatever_it_is_called() {
    let Some(folder) = captured() else { return };
    let list = json(&folder.join("nvidia/evidence/switch_evidence_ls10.json"));
    let item = &list[0];
    assert!(serde_json::from_value::<Architecture>(item["arch"].clone()).is_err());
    for arch in [Architecture::Hopper, Architecture::Blackwell] {
        let switch = listed(item, arch);
        let report = SpdmReport::parse(&switch.report).unwrap();
        let chain = Chain::parse_pem(&switch.chain_pem).unwrap();
        check_signature(&report, &chain).unwrap();
        check_chain(&chain, &GpuRoot::Nvidia, DEVICES_SECS).unwrap();
        let refused = verify(&switch, &nonce_of(&item["nonce"]));
        let name = "LS_10 A01 FSP FMC LF".to_owned();
        assert_eq!(refused, Err(GpuRefusal::Architecture(ArchitectureError::Unknown(name))));
    }
}

#[test]
fn a_report_cut_at_any_length_is_malformed() {
    let right = sample();
    for length in 0..right.report.len() {
        let cut = GpuEvidence { report: right.report[..length].to_vec(), ..right.clone() };
        let refused = verify(&cut, &sample_nonce());
        let Err(GpuRefusal::Malformed(SpdmError::Truncated(_))) = refused else {
            panic!("{length}: {refused:?}")
        };
    }
}
