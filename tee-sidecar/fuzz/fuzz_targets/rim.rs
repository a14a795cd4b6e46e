//! Manifests. The bytes are a signed document, or one without a signature: that one is signed with
//! a key of the test's own before it is read.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tee_evidence::nvidia::Measurements;
use tee_evidence::nvidia::rim::{Rim, RimError, RimKind, RimRoot, VerifiedRim, compare};

#[allow(dead_code, reason = "each target uses a part of it")]
#[path = "../../evidence/tests/evidence/nvidia_pki.rs"]
mod nvidia_pki;
#[allow(dead_code, unused_imports, reason = "it has tests of its own")]
#[path = "../../evidence/tests/evidence/rim/signed.rs"]
mod signed;

use signed::{ROOT_END, Signer};

static SIGNER: LazyLock<Signer> = LazyLock::new(Signer::new);

static GOOD: LazyLock<VerifiedRim> =
    LazyLock::new(|| SIGNER.verify(&SIGNER.sign(&signed::good())).expect("the seed is accepted"));

fuzz_target!(|bytes: &[u8]| {
    if let Ok(rim) = verify(bytes) {
        assert_eq!(rim, *GOOD, "nothing else was signed");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if !text.ends_with(ROOT_END) || text.contains(":Signature") {
        return;
    }
    let document = SIGNER.sign(text);
    let Ok(rim) = verify(document.as_bytes()) else { return };
    check_with_another_reader(text, &rim);
    let changed = document.replacen(&rim.tag_id, &format!("{}x", rim.tag_id), 1);
    assert_ne!(verify(changed.as_bytes()), Ok(rim), "changed after it was signed");
});

fn verify(bytes: &[u8]) -> Result<VerifiedRim, RimError> {
    let rim = Rim::parse(bytes)?;
    assert!(rim.verify(&RimRoot::Nvidia, nvidia_pki::NOW_SECS).is_err(), "NVIDIA signed no seed");
    rim.verify(&SIGNER.root(), nvidia_pki::NOW_SECS)
}

/// What was accepted stands in the text, and measurements as it has them compare as equal.
fn check_with_another_reader(text: &str, rim: &VerifiedRim) {
    for (name, value) in
        [("colloquialVersion", &rim.version), ("product", &rim.product), ("tagId", &rim.tag_id)]
    {
        assert!(text.contains(&format!("{name}=\"{value}\"")), "{name}");
    }
    let lower = text.to_ascii_lowercase();
    let mut measured = Measurements::new();
    let mut as_long_as_stated = true;
    for (index, reference) in &rim.references {
        for value in &reference.alternatives {
            assert!(lower.contains(&format!("\"{}\"", hex::encode(value))));
        }
        let Some(block) = index.checked_add(1) else { continue };
        let first = reference.alternatives[0].clone();
        as_long_as_stated &= !reference.active || first.len() == reference.size;
        measured.insert(block, first);
    }
    let has_the_last = rim.references.get(&255).is_some_and(|reference| reference.active);
    let comparison = compare(&measured, Some(0xaa), rim, None);
    if rim.kind == RimKind::Driver {
        assert_eq!(comparison.is_ok(), as_long_as_stated && !has_the_last, "{comparison:?}");
    }
}
