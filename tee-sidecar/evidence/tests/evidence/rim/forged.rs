//! Documents that wrap, double, move or change the signature, and XML that is made to hurt.

use tee_evidence::nvidia::rim::{Rim, RimError};

use super::signed::{META, ROOT_END, ROOT_START, Signer, good, manifest, resource};
use crate::nvidia_pki::{Identity, NOW_SECS, end_entity};

fn parse_refusal(document: &str) -> String {
    Rim::parse(document.as_bytes()).unwrap_err().to_string()
}

/// What an attacker would like to be read: other values than those that were signed.
fn forged() -> String {
    manifest(&[resource(7, "True", &[[0xee; 48]])])
}

#[test]
fn another_content_under_a_right_signature_is_refused() {
    let signer = Signer::new();
    let inside = forged().strip_suffix(ROOT_END).unwrap().to_owned();
    let document = format!("{inside}{}{ROOT_END}", signer.signature(&good()));
    assert_eq!(signer.verify(&document).unwrap_err(), RimError::Digest);
}

#[test]
fn the_signed_document_wrapped_into_a_forged_one_is_refused() {
    let signer = Signer::new();
    let signed = signer.sign(&good());
    let inside = forged().strip_suffix(ROOT_END).unwrap().to_owned();

    let whole_inside = format!("{inside}{signed}{ROOT_END}");
    assert!(parse_refusal(&whole_inside).contains("directly inside the root element"));

    let signature = signer.signature(&good());
    let content_beside = format!("{inside}<Wrapper>{}</Wrapper>{signature}{ROOT_END}", good());
    assert_eq!(signer.verify(&content_beside).unwrap_err(), RimError::Digest);

    let object = format!("<ds:Object>{}</ds:Object></ds:Signature>", good());
    let content_in_signature = signature.replace("</ds:Signature>", &object);
    let document = format!("{inside}{content_in_signature}{ROOT_END}");
    assert!(parse_refusal(&document).contains("not the expected ones"));
}

#[test]
fn forged_measurements_hidden_inside_the_signature_are_refused() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    let payload = format!("<Payload>{}</Payload>", resource(7, "True", &[[0xee; 48]]));
    for place in ["</ds:SignatureValue>", "</ds:KeyInfo>", "</ds:X509Data>", "</ds:Signature>"] {
        let hidden = document.replacen(place, &format!("{payload}{place}"), 1);
        assert_ne!(hidden, document);
        assert!(parse_refusal(&hidden).contains("the RIM's signature is refused"), "{place}");
    }
    let in_info = document.replacen("</ds:SignedInfo>", &format!("{payload}</ds:SignedInfo>"), 1);
    assert_eq!(signer.verify(&in_info).unwrap_err(), RimError::Signature);
}

#[test]
fn two_signatures_are_refused_wherever_the_second_is() {
    let signer = Signer::new();
    let (document, signature) = (signer.sign(&good()), signer.signature(&good()));
    let renamed = signature.replace("ds:", "x:").replace("xmlns:ds", "xmlns:x");
    for second in [signature, renamed, "<Signature></Signature>".to_owned()] {
        let behind = document.replace(ROOT_END, &format!("{second}{ROOT_END}"));
        assert!(parse_refusal(&behind).contains("there must be one"));
        let before = document.replacen(META, &format!("{second}{META}"), 1);
        assert!(parse_refusal(&before).contains("there must be one"));
    }
}

#[test]
fn a_missing_or_deeper_signature_or_one_of_another_namespace_is_refused() {
    let signer = Signer::new();
    assert!(parse_refusal(&good()).contains("there is none"));
    let signature = signer.signature(&good());
    let deeper = good().replace("</Payload>", &format!("{signature}</Payload>"));
    assert!(parse_refusal(&deeper).contains("directly inside the root element"));
    let as_root = signer.signature(&good());
    assert!(parse_refusal(&as_root).contains("directly inside the root element"));
    let foreign = signer.sign(&good()).replace("2000/09/xmldsig#\"><ds:S", "2000/10/x#\"><ds:S");
    assert!(parse_refusal(&foreign).contains("not the expected ones"));
}

#[test]
fn a_signed_choice_of_another_algorithm_or_reference_is_refused() {
    let algorithms = [
        ("2006/12/xml-c14n11", "2001/10/xml-exc-c14n#"),
        ("xmldsig-more#ecdsa-sha384", "xmldsig-more#ecdsa-sha256"),
        ("xmldsig-more#ecdsa-sha384", "xmldsig-more#hmac-sha384"),
        ("xmldsig-more#sha384", "xmlenc#sha256"),
        ("xmldsig#enveloped-signature", "xmldsig#base64"),
    ];
    for (from, to) in algorithms {
        let signer = Signer::with_signed_info(|info| info.replacen(from, to, 1));
        assert!(signer.refusal(&good()).contains("another algorithm"), "{to}");
    }
    for uri in ["#tag-1", "http://example.com/rim.xml", " "] {
        let reference = format!("URI=\"{uri}\"");
        let signer = Signer::with_signed_info(|info| info.replace("URI=\"\"", &reference));
        assert!(signer.refusal(&good()).contains("not to the whole document"), "{uri}");
    }
    let parameter = "ecdsa-sha384\"><ds:HMACOutputLength>8</ds:HMACOutputLength>";
    let signer = Signer::with_signed_info(|info| info.replace("ecdsa-sha384\">", parameter));
    assert!(signer.refusal(&good()).contains("another algorithm"));
}

#[test]
fn a_signed_second_reference_or_other_transforms_are_refused() {
    let second = |info: &str| {
        let at = info.find("<ds:Reference").unwrap();
        format!("{info}{}", &info[at..])
    };
    assert!(Signer::with_signed_info(second).refusal(&good()).contains("not the expected ones"));

    let transform = "<ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\">\
                     </ds:Transform>";
    let fewer = Signer::with_signed_info(|info| info.replace(transform, ""));
    assert!(fewer.refusal(&good()).contains("not the expected ones"));
    let twice = format!("{transform}{transform}");
    let more = Signer::with_signed_info(|info| info.replace(transform, &twice));
    assert!(more.refusal(&good()).contains("not the expected ones"));
    let identified = Signer::with_signed_info(|info| {
        info.replace("<ds:DigestValue>", "<ds:DigestValue Id=\"d\">")
    });
    assert!(identified.refusal(&good()).contains("attributes where none belong"));
}

#[test]
fn a_part_of_the_signature_by_another_name_or_in_another_place_is_refused() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    for name in ["SignedInfo", "SignatureValue", "KeyInfo", "X509Data", "X509Certificate"] {
        let renamed = document.replace(&format!("ds:{name}>"), "ds:Other>");
        assert!(parse_refusal(&renamed).contains("the RIM's signature is refused"), "{name}");
    }
    for name in ["SignatureMethod", "Reference", "Transforms", "Transform", "DigestValue"] {
        let from = format!("ds:{name}");
        let renamed = Signer::with_signed_info(|info| info.replace(&from, "ds:Other"));
        assert!(renamed.refusal(&good()).contains("not the expected ones"), "{name}");
    }
    let digest = "<ds:DigestValue>DIGEST</ds:DigestValue>";
    let moved = Signer::with_signed_info(|info| {
        info.replace(digest, "").replacen(
            "<ds:DigestMethod",
            &format!("{digest}<ds:DigestMethod"),
            1,
        )
    });
    assert!(moved.refusal(&good()).contains("not the expected ones"));
}

#[test]
fn a_signature_as_der_or_by_another_key_is_refused() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    let other = Signer { signer: signer.authority.signer("Other Signer"), ..Signer::new() };
    let value = |text: &str| {
        let (_, behind) = text.split_once("<ds:SignatureValue>").unwrap();
        behind.split_once("</ds:SignatureValue>").unwrap().0.to_owned()
    };
    let others = document.replace(&value(&document), &value(&other.sign(&good())));
    assert_eq!(signer.verify(&others).unwrap_err(), RimError::Signature);
    for text in ["", "AAAA", "not base64!"] {
        let changed = document.replace(&value(&document), text);
        assert!(signer.verify(&changed).is_err());
    }
}

#[test]
fn certificates_of_responders_and_authorities_sign_no_manifests() {
    let Signer { root, authority, .. } = Signer::new();
    let responder = authority.responder("Test OCSP Responder");
    let refused = Signer { signer: responder, ..Signer::new() }.refusal(&good());
    assert!(refused.contains("not for signing documents"), "{refused}");

    let sub_authority = authority.authority("Test Sub-Authority");
    let refused = Signer { signer: sub_authority, ..Signer::new() }.refusal(&good());
    assert!(refused.contains("not for signing documents"), "{refused}");

    let mut unlimited = end_entity("No Usage");
    unlimited.key_usages.clear();
    let signer = Signer { signer: authority.issue("No Usage", unlimited), ..Signer::new() };
    assert!(signer.refusal(&good()).contains("not for signing documents"));

    let stranger = Identity::root("Stranger").signer("Test RIM Signer");
    let signer = Signer { signer: stranger, root, ..Signer::new() };
    assert!(signer.refusal(&good()).contains("is not issued by the next"));
}

#[test]
fn document_types_entities_comments_and_instructions_are_refused() {
    let document = Signer::new().sign(&good());
    let bomb = "<!DOCTYPE t [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    for (extra, why) in [
        (bomb, "document type"),
        ("<!DOCTYPE t SYSTEM \"file:///etc/passwd\">", "document type"),
        ("<!-- -->", "comment"),
        ("<?php ?>", "processing instruction"),
        ("<?xml version=\"1.0\"?>", "XML declaration"),
    ] {
        assert!(parse_refusal(&format!("{extra}{document}")).contains(why), "{extra}");
    }
    for (inside, why) in [
        ("550.90.07<!---->", "comment"),
        ("550.90.07<![CDATA[]]>", "CDATA"),
        ("&#53;50.90.07", "reference"),
        ("&amp;", "reference"),
        ("\r\n", "carriage returns"),
    ] {
        let changed = document.replace("<Payload>", &format!("<Payload>{inside}"));
        assert!(parse_refusal(&changed).contains(why), "{inside}");
    }
}

#[test]
fn deep_wide_and_huge_documents_are_refused_at_once() {
    let deep = format!("{ROOT_START}{}{}{ROOT_END}", "<a>".repeat(2000), "</a>".repeat(2000));
    let signature = Signer::new().signature(&good());
    let deep = deep.replacen(ROOT_START, &format!("{ROOT_START}{signature}"), 1);
    assert!(parse_refusal(&deep).contains("nested too deeply"));

    let nodes = format!("{ROOT_START}{}{ROOT_END}", "<a/>".repeat(5000));
    assert!(parse_refusal(&nodes).contains("nodes limit"));

    let attributes: String = (0..20_000).map(|at| format!(" a{at}=\"\"")).collect();
    assert!(parse_refusal(&format!("<a{attributes}/>")).contains("too many attributes"));

    let namespaces: String = (0..100).map(|at| format!(" xmlns:a{at}=\"u{at}\"")).collect();
    assert!(parse_refusal(&format!("<a{namespaces}/>")).contains("too many namespaces"));

    let huge = format!("<a b=\"{}\"/>", "x".repeat(300_000));
    assert!(parse_refusal(&huge).contains("at most 262144 bytes, not 300009"));
}

#[test]
fn forms_that_the_canonical_form_would_have_to_guess_are_refused() {
    let document = Signer::new().sign(&good());
    let at_root = |extra: &str| document.replacen("name=\"GH100\"", extra, 1);
    for extra in ["xmlns=\"u\"", "xmlns:z=\"\"", "xml:lang=\"en\"", "name='\"'"] {
        let refused = Rim::parse(at_root(extra).as_bytes());
        assert!(matches!(refused, Err(RimError::Unsupported(_))), "{extra}: {refused:?}");
    }
    let escaped = document.replace("<Payload>", "<Payload>a > b");
    assert!(parse_refusal(&escaped).contains("a text needs escapes"));
    assert!(Rim::parse(&[0xff, 0xfe]).unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn an_expired_test_signer_is_refused() {
    let signer = Signer::new();
    let rim = Rim::parse(signer.sign(&good()).as_bytes()).unwrap();
    rim.verify(&signer.root(), NOW_SECS).unwrap();
    assert!(matches!(rim.verify(&signer.root(), 1_900_000_000), Err(RimError::Chain(_))));
}
