//! NVIDIA's manifests: the captured ones at their own moments, and how a report compares.

use std::fs;
use std::path::Path;

use tee_evidence::nvidia::rim::{Rim, RimError, RimKind, RimRoot, VerifiedRim};

use crate::nvidia_pki::NOW_SECS;
use crate::support::captured;

mod comparison;
mod content;
mod forged;
mod id;
mod mutated;
pub(crate) mod signed;

const DRIVER: &str = "h100_golden/NV_GPU_DRIVER_GH100_550.90.07.xml";
const VBIOS: &str = "h100_golden/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml";

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join("nvidia").join(name)).unwrap()
}

fn verify(document: &[u8], now_secs: u64) -> Result<VerifiedRim, RimError> {
    Rim::parse(document)?.verify(&RimRoot::Nvidia, now_secs)
}

fn refusal(document: &[u8], now_secs: u64) -> String {
    verify(document, now_secs).unwrap_err().to_string()
}

#[test]
fn the_golden_driver_rim_is_nvidias_and_says_what_it_measures() {
    let Some(folder) = captured() else { return };
    let rim = verify(&read(&folder, DRIVER), NOW_SECS).unwrap();
    assert_eq!((rim.kind, rim.version.as_str()), (RimKind::Driver, "550.90.07"));
    assert_eq!(rim.product, "GH100");
    assert_eq!(rim.tag_id.len(), 96);
    assert!(rim.tag_id.starts_with("63f9f7f7de33"));
    assert_eq!(rim.references.len(), 64);
    assert_eq!(rim.references.values().filter(|reference| reference.active).count(), 21);
    let several = rim.references.values().filter(|reference| reference.alternatives.len() > 1);
    assert_eq!(several.count(), 6);
    assert!(!rim.references[&6].active);
    assert!(rim.references[&7].active);
    assert_eq!(rim.references[&7].size, 48);
    assert_eq!(hex::encode(&rim.references[&7].alternatives[0][..4]), "80161aac");
}

#[test]
fn the_golden_vbios_rim_is_nvidias_and_says_what_it_measures() {
    let Some(folder) = captured() else { return };
    let rim = verify(&read(&folder, VBIOS), NOW_SECS).unwrap();
    assert_eq!((rim.kind, rim.version.as_str()), (RimKind::Vbios, "96.00.9F.00.01"));
    assert_eq!(rim.references.values().filter(|reference| reference.active).count(), 12);
}

#[test]
fn a_rim_holds_to_the_last_second_of_its_signer_and_not_before_its_first() {
    let Some(folder) = captured() else { return };
    // The signers' certificates hold from 2024-06-01 02:08:29 to 2026-06-01 02:08:29 for the
    // driver, and from 2024-02-23 23:17:58 to 2026-02-22 23:17:58 for the VBIOS.
    for (name, first, last) in
        [(DRIVER, 1_717_207_709, 1_780_279_709), (VBIOS, 1_708_730_278, 1_771_802_278)]
    {
        let document = read(&folder, name);
        verify(&document, first).unwrap();
        verify(&document, last).unwrap();
        assert!(refusal(&document, first - 1).contains("is not valid at"));
        assert!(refusal(&document, last + 1).contains("is not valid at"));
    }
}

#[test]
fn a_broken_signature_over_a_right_digest_is_refused_and_its_twin_is_not() {
    let Some(folder) = captured() else { return };
    let broken = verify(&read(&folder, "negative/rim_bad_signature.xml"), NOW_SECS);
    assert_eq!(broken.unwrap_err(), RimError::Signature);
    let twin = verify(&read(&folder, "negative/rim_good_550.144.03.xml"), NOW_SECS).unwrap();
    assert_eq!(twin.version, "550.144.03");
    // Valid from 2024-12-30 to 2026-12-30.
    assert!(
        refusal(&read(&folder, "negative/rim_good_550.144.03.xml"), 1_798_700_000)
            .contains("is not valid at")
    );
}

#[test]
fn edited_measurements_under_a_right_signature_are_refused() {
    let Some(folder) = captured() else { return };
    let edited = verify(&read(&folder, "negative/rim_535_tampered.xml"), NOW_SECS);
    assert_eq!(edited.unwrap_err(), RimError::Digest);
}

#[test]
fn nvidias_rims_are_refused_under_any_other_root() {
    let Some(folder) = captured() else { return };
    let rim = Rim::parse(&read(&folder, DRIVER)).unwrap();
    for other in [Vec::new(), rim.chain().leaf().der().to_vec()] {
        let refused = rim.verify(&RimRoot::Test(other), NOW_SECS).unwrap_err();
        assert!(refused.to_string().contains("does not end in the pinned root"), "{refused}");
    }
}

#[test]
fn a_rim_belongs_to_the_version_that_is_reported_in_any_case_of_letters() {
    let Some(folder) = captured() else { return };
    let vbios = verify(&read(&folder, VBIOS), NOW_SECS).unwrap();
    vbios.verify_version("96.00.9F.00.01").unwrap();
    vbios.verify_version("96.00.9f.00.01").unwrap();
    let refused = vbios.verify_version("96.00.9F.00.02").unwrap_err().to_string();
    assert_eq!(
        refused,
        "the VBIOS RIM is of version 96.00.9F.00.01, but the GPU reports 96.00.9F.00.02"
    );
}
