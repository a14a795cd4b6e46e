//! A report's measurements against its manifests.

use std::collections::BTreeMap;
use std::path::Path;

use tee_evidence::nvidia::Measurements;
use tee_evidence::nvidia::rim::{
    CompareError, Comparison, Difference, Mismatch, Reference, RimKind, VerifiedRim, compare,
};

use super::{DRIVER, VBIOS, read, verify};
use crate::nvidia_pki::NOW_SECS;
use crate::support::captured;

const OFF: Option<u8> = Some(0x55);
const ON: Option<u8> = Some(0xaa);

/// The blocks of a Hopper report, read in the crudest way, to have no part in the production
/// parser: a request of 37 bytes, a header of 8, then 64 blocks of 4 + 3 + 48 bytes.
fn blocks(report: &[u8]) -> Measurements {
    let record = &report[37 + 8..][..64 * 55];
    record.chunks(55).map(|block| (block[0], block[7..].to_vec())).collect()
}

fn golden(folder: &Path) -> (Measurements, VerifiedRim, VerifiedRim) {
    let driver = verify(&read(folder, DRIVER), NOW_SECS).unwrap();
    let vbios = verify(&read(folder, VBIOS), NOW_SECS).unwrap();
    (blocks(&read(folder, "h100_golden/report.bin")), driver, vbios)
}

fn mismatch(index: u8, kind: RimKind, difference: Difference) -> CompareError {
    CompareError::Mismatch(vec![Mismatch { index, kind, difference }])
}

#[test]
fn the_golden_report_matches_32_of_32_and_skips_the_video_decoder() {
    let Some(folder) = captured() else { return };
    let (measurements, driver, vbios) = golden(&folder);
    let comparison = compare(&measurements, OFF, &driver, Some(&vbios)).unwrap();
    assert_eq!(comparison.matched.len(), 32);
    assert_eq!(comparison.skipped, [35]);
    assert!(comparison.matched.is_sorted());

    let driver_only = compare(&measurements, OFF, &driver, None).unwrap();
    assert_eq!(driver_only.matched.len() + driver_only.skipped.len(), 21);
}

#[test]
fn one_flipped_bit_in_any_compared_block_of_the_golden_report_is_named() {
    let Some(folder) = captured() else { return };
    let (measurements, driver, vbios) = golden(&folder);
    let compared = compare(&measurements, OFF, &driver, Some(&vbios)).unwrap().matched;
    for index in compared {
        let mut changed = measurements.clone();
        changed.get_mut(&(index + 1)).unwrap()[47] ^= 1;
        let refused = compare(&changed, OFF, &driver, Some(&vbios)).unwrap_err();
        let CompareError::Mismatch(mismatches) = refused else { panic!("{refused}") };
        assert_eq!(mismatches.len(), 1);
        assert_eq!((mismatches[0].index, mismatches[0].difference), (index, Difference::Value));
    }
}

#[test]
fn another_drivers_manifest_does_not_match_the_golden_report() {
    let Some(folder) = captured() else { return };
    let (measurements, _, vbios) = golden(&folder);
    let other = read(&folder, "negative/rim_good_550.144.03.xml");
    let other = verify(&other, NOW_SECS).unwrap();
    assert!(other.verify_version("550.90.07").is_err());
    let refused = compare(&measurements, OFF, &other, Some(&vbios)).unwrap_err();
    assert!(matches!(refused, CompareError::Mismatch(_)), "{refused}");
}

fn rim(kind: RimKind, active: &[(u8, &[u8])]) -> VerifiedRim {
    let reference = |value: &[u8]| Reference {
        active: true,
        size: value.len(),
        alternatives: vec![value.to_vec()],
    };
    let references = active.iter().map(|(index, value)| (*index, reference(value))).collect();
    let (tag_id, version) = ("tag".to_owned(), "1.2".to_owned());
    VerifiedRim { tag_id, kind, version, product: "GH100".to_owned(), references }
}

fn driver(active: &[(u8, &[u8])]) -> VerifiedRim {
    rim(RimKind::Driver, active)
}

fn measured(blocks: &[(u8, &[u8])]) -> Measurements {
    blocks.iter().map(|(index, value)| (*index, value.to_vec())).collect()
}

#[test]
fn a_reference_is_compared_with_the_block_of_the_next_index() {
    let rim = driver(&[(7, b"good")]);
    let found = compare(&measured(&[(8, b"good"), (7, b"evil")]), OFF, &rim, None).unwrap();
    assert_eq!(found, Comparison { matched: vec![7], skipped: vec![] });
    let same_index = compare(&measured(&[(7, b"good"), (8, b"evil")]), OFF, &rim, None);
    assert_eq!(same_index.unwrap_err(), mismatch(7, RimKind::Driver, Difference::Value));
}

#[test]
fn any_alternative_matches_and_inactive_references_count_for_nothing() {
    let mut rim = driver(&[(7, b"good"), (9, b"idle")]);
    rim.references.get_mut(&7).unwrap().alternatives.push(b"well".to_vec());
    rim.references.get_mut(&9).unwrap().active = false;
    for value in [b"good", b"well"] {
        let found = compare(&measured(&[(8, value), (10, b"evil")]), OFF, &rim, None).unwrap();
        assert_eq!(found.matched, [7]);
    }
    assert!(compare(&measured(&[(8, b"evil")]), OFF, &rim, None).is_err());
}

#[test]
fn a_missing_block_and_one_of_another_length_are_failures() {
    let mut rim = driver(&[(7, b"good")]);
    let missing = compare(&BTreeMap::new(), OFF, &rim, None).unwrap_err();
    assert_eq!(missing, mismatch(7, RimKind::Driver, Difference::Missing));
    assert_eq!(
        missing.to_string(),
        "not measured as the RIMs say: index 7 of the driver RIM is missing;"
    );
    rim.references.get_mut(&7).unwrap().size = 3;
    let size = compare(&measured(&[(8, b"good")]), OFF, &rim, None).unwrap_err();
    assert_eq!(size, mismatch(7, RimKind::Driver, Difference::Size));

    let last = driver(&[(255, b"good")]);
    let beyond = compare(&measured(&[(255, b"good"), (0, b"good")]), OFF, &last, None);
    assert_eq!(beyond.unwrap_err(), mismatch(255, RimKind::Driver, Difference::Missing));
}

#[test]
fn the_video_decoder_is_compared_when_on_skipped_when_off_and_unclear_otherwise() {
    let rim = driver(&[(35, b"deco")]);
    let (good, evil) = (measured(&[(36, b"deco")]), measured(&[(36, b"evil")]));
    assert_eq!(compare(&evil, OFF, &rim, None).unwrap().skipped, [35]);
    assert_eq!(compare(&good, ON, &rim, None).unwrap().matched, [35]);
    assert_eq!(
        compare(&evil, ON, &rim, None).unwrap_err(),
        mismatch(35, RimKind::Driver, Difference::Value)
    );
    for unclear in [None, Some(0), Some(0x54), Some(0xff)] {
        let refused = compare(&good, unclear, &rim, None).unwrap_err();
        assert_eq!(refused, CompareError::VideoDecoder(unclear));
    }
}

#[test]
fn the_same_active_index_in_both_manifests_is_a_failure_even_with_equal_values() {
    let (driver, mut vbios) = (driver(&[(7, b"good")]), rim(RimKind::Vbios, &[(7, b"good")]));
    let measurements = measured(&[(8, b"good")]);
    let refused = compare(&measurements, OFF, &driver, Some(&vbios)).unwrap_err();
    assert_eq!(refused, CompareError::SharedIndex(7));
    vbios.references.get_mut(&7).unwrap().active = false;
    compare(&measurements, OFF, &driver, Some(&vbios)).unwrap();
}

#[test]
fn manifests_in_each_others_place_or_of_different_chips_are_refused() {
    let (driver, mut vbios) = (driver(&[(7, b"good")]), rim(RimKind::Vbios, &[(9, b"good")]));
    let measurements = measured(&[(8, b"good"), (10, b"good")]);
    compare(&measurements, OFF, &driver, Some(&vbios)).unwrap();
    for (first, second) in [(&vbios, None), (&driver, Some(&driver))] {
        let refused = compare(&measurements, OFF, first, second).unwrap_err();
        assert!(matches!(refused, CompareError::OtherKind { .. }), "{refused}");
    }
    vbios.product = "GB100".to_owned();
    let refused = compare(&measurements, OFF, &driver, Some(&vbios)).unwrap_err();
    assert_eq!(refused.to_string(), "the driver RIM is for GH100, the VBIOS RIM for GB100");
}
