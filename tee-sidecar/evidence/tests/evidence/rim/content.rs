//! Signed documents that are no manifests, or not clearly one.

use super::signed::{META, Signer, good, manifest, manifest_of, resource};

/// Why a document is refused that differs from a good one by this, though it is rightly signed.
fn refusal_with(from: &str, to: &str) -> String {
    let content = good().replacen(from, to, 1);
    assert_ne!(content, good(), "nothing to change: {from}");
    Signer::new().refusal(&content)
}

#[test]
fn a_measurement_is_read_with_all_its_alternatives() {
    let content = manifest(&[resource(3, "True", &[[1; 48], [2; 48], [3; 48]])]);
    let signer = Signer::new();
    let rim = signer.verify(&signer.sign(&content)).unwrap();
    assert_eq!(rim.references[&3].alternatives, [[1; 48], [2; 48], [3; 48]]);
    assert!(rim.references[&3].active);
    assert_eq!(rim.tag_id, "tag-1");
}

#[test]
fn an_index_that_is_there_twice_is_refused() {
    let twice = [resource(7, "True", &[[7; 48]]), resource(7, "False", &[[7; 48]])];
    assert!(Signer::new().refusal(&manifest(&twice)).contains("an index is there twice"));
}

#[test]
fn a_manifest_without_an_active_measurement_proves_nothing_and_is_refused() {
    let inactive = [resource(7, "False", &[[7; 48]])];
    assert!(Signer::new().refusal(&manifest(&inactive)).contains("no measurement in it is active"));
    assert!(Signer::new().refusal(&manifest(&[])).contains("no measurement in it is active"));
}

#[test]
fn a_measurement_that_is_neither_active_nor_inactive_is_refused() {
    for text in ["true", "1", "", "yes"] {
        let refused = refusal_with("active=\"False\"", &format!("active=\"{text}\""));
        assert!(refused.contains("neither active nor inactive"), "{text}");
    }
}

#[test]
fn numbers_that_are_signed_too_large_or_absent_are_refused() {
    for to in ["index=\"+7\"", "index=\"256\"", "index=\"-1\"", "index=\"\"", "indey=\"7\""] {
        assert!(refusal_with("index=\"7\"", to).contains("no small number"), "{to}");
    }
    for to in ["size=\"999999999999999999999\"", "size=\" 48\""] {
        assert!(refusal_with("size=\"48\"", to).contains("no small number"), "{to}");
    }
}

#[test]
fn more_or_fewer_values_than_announced_are_refused() {
    for count in ["0", "2", "255"] {
        let announced = format!("alternatives=\"{count}\"");
        assert!(refusal_with("alternatives=\"1\"", &announced).contains("as many values"));
    }
    assert!(refusal_with("h:Hash0", "h:Hash1").contains("missing or no hex"));
    assert!(refusal_with("h:Hash0=\"07", "h:Hash0=\"0g").contains("missing or no hex"));
    assert!(refusal_with("h:Hash0=\"07", "h:Hash0=\"0").contains("missing or no hex"));
}

#[test]
fn a_payload_with_more_than_measurements_is_refused() {
    let other = refusal_with("type=\"Measurement\"", "type=\"File\"");
    assert!(other.contains("more than measurements"));
    let renamed = good().replace("Resource", "Directory");
    assert!(Signer::new().refusal(&renamed).contains("more than measurements"));
    assert!(refusal_with("<Payload>", "<Payload>text").contains("text among measurements"));
    let element = refusal_with("<Payload>", "<Payload><File></File>");
    assert!(element.contains("more than measurements"));
}

#[test]
fn a_document_that_is_no_tag_or_has_two_versions_or_payloads_is_refused() {
    let payload = format!("<Payload>{}</Payload>", resource(7, "True", &[[7; 48]]));
    let signer = Signer::new();
    for inside in [payload.clone(), format!("{META}{META}{payload}")] {
        assert!(signer.refusal(&manifest_of(&inside)).contains("not one Meta element"));
    }
    for inside in [META.to_owned(), format!("{META}{payload}{payload}")] {
        assert!(signer.refusal(&manifest_of(&inside)).contains("not one Payload element"));
    }
    assert!(refusal_with(" tagId=\"tag-1\"", "").contains("no tagId"));
    assert!(refusal_with("colloquialVersion", "colloquialVersiom").contains("no version"));
    assert!(refusal_with(" product=\"GH100\"", "").contains("names no product"));
}

#[test]
fn a_version_of_no_known_form_is_refused() {
    for version in ["", "550", "550.", "a.b", "1.2.3.4.5", "96.00.9G.00.01", "550.90.07.1.2.3"] {
        assert!(refusal_with("550.90.07", version).contains("no known form"), "{version}");
    }
}
