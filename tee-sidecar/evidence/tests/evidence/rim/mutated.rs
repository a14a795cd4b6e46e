//! Changed bytes: a manifest is refused, or says exactly what was signed.

use std::sync::LazyLock;

use proptest::prelude::*;
use tee_evidence::nvidia::rim::{Rim, VerifiedRim};

use super::signed::{Signer, good};
use super::{DRIVER, VBIOS, read, verify};
use crate::nvidia_pki::NOW_SECS;
use crate::support::captured;

/// Prime to the period of the measurements' lines, so that every part of them is hit.
const STEP_BYTES: usize = 127;

#[test]
fn one_changed_byte_of_a_captured_rim_is_refused_or_changes_nothing() {
    let Some(folder) = captured() else { return };
    for name in [DRIVER, VBIOS] {
        let document = read(&folder, name);
        let original = verify(&document, NOW_SECS).unwrap();
        let mut refused = 0;
        for at in (0..document.len()).step_by(STEP_BYTES) {
            let mut changed = document.clone();
            changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
            match verify(&changed, NOW_SECS) {
                Ok(rim) => assert_eq!(rim, original, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        // Not one place of a manifest is without meaning to this change.
        assert_eq!(refused, document.len().div_ceil(STEP_BYTES));
    }
}

#[test]
fn every_changed_byte_of_a_small_rim_is_refused_or_changes_nothing() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    let original = signer.verify(&document).unwrap();
    let bytes = [b' ', b'\n', b'"', b'<', b'0', 0x80];
    for (at, byte) in (0..document.len()).zip(bytes.into_iter().cycle()) {
        let mut changed = document.clone().into_bytes();
        changed[at] = byte;
        let parsed = Rim::parse(&changed);
        if let Ok(rim) = parsed.and_then(|rim| rim.verify(&signer.root(), NOW_SECS)) {
            assert_eq!(rim, original, "byte {at} as {byte:#x}");
        }
    }
}

#[test]
fn white_space_inside_tags_and_around_the_document_changes_nothing() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    let original = signer.verify(&document).unwrap();
    for (from, to) in [
        ("<Payload>", "<Payload  >"),
        ("</Payload>", "</Payload\n>"),
        (" size=\"48\"", "\n\tsize =\t'48'"),
        (" active=\"True\" alternatives=\"1\"", " alternatives=\"1\" active=\"True\""),
        ("></Resource>", "/>"),
        ("</ds:SignatureValue>", "\n </ds:SignatureValue>"),
        ("<ds:KeyInfo>", "\n<ds:KeyInfo>\n"),
    ] {
        let changed = document.replace(from, to);
        assert_ne!(changed, document, "{from}");
        assert_eq!(signer.verify(&changed).unwrap(), original, "{to}");
    }
    assert_eq!(signer.verify(&format!("\u{feff}\n{document}\n ")).unwrap(), original);
}

#[test]
fn white_space_between_signed_elements_is_refused() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    for element in ["<Payload>", "</Payload>", "<Resource", "<ds:Signature ", "<ds:Transforms>"] {
        let changed = document.replacen(element, &format!(" {element}"), 1);
        assert!(signer.verify(&changed).is_err(), "{element}");
    }
    let in_value = document.replacen("index=\"7\"", "index=\" 7\"", 1);
    assert!(signer.verify(&in_value).is_err());
}

#[test]
fn every_truncation_is_refused() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    for length in 0..document.len() {
        assert!(signer.verify(&document[..length]).is_err(), "{length} bytes");
    }
}

/// Made once, for the many cases of the last test.
static GOOD: LazyLock<(Signer, String, VerifiedRim)> = LazyLock::new(|| {
    let signer = Signer::new();
    let document = signer.sign(&good());
    let rim = signer.verify(&document).unwrap();
    (signer, document, rim)
});

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_and_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..512),
    ) {
        prop_assert!(Rim::parse(&bytes).is_err());
    }

    #[test]
    fn arbitrary_markup_is_refused_and_never_panics(
        text in "(<[a-c:]{0,3}|/?>|</[a-c]>| xmlns(:a)?=|'|\"|[a-c]=|é| |Signature){0,60}",
    ) {
        prop_assert!(Rim::parse(text.as_bytes()).is_err());
    }

    #[test]
    fn spliced_manifests_say_what_was_signed_or_are_refused(
        cut in 0_usize..6000, length in 0_usize..200, to in 0_usize..6000,
    ) {
        let (signer, document, original) = &*GOOD;
        let mut changed = document.clone().into_bytes();
        let (cut, to) = (cut % changed.len(), to % changed.len());
        let piece = changed[cut..(cut + length).min(changed.len())].to_vec();
        changed.splice(to..to, piece);
        let parsed = Rim::parse(&changed);
        if let Ok(rim) = parsed.and_then(|rim| rim.verify(&signer.root(), NOW_SECS)) {
            prop_assert_eq!(&rim, original);
        }
    }
}
