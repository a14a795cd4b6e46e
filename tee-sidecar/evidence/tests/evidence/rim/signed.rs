//! A signer of manifests with a root of its own. It writes documents in canonical form from the
//! start, so it needs no canonicaliser and is a second opinion on ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha384};
use tee_evidence::nvidia::rim::{Rim, RimError, RimRoot, VerifiedRim};

use crate::nvidia_pki::{Identity, NOW_SECS};

pub(crate) const ROOT_START: &str = "<SoftwareIdentity \
    xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
    xmlns:h=\"http://www.w3.org/2001/04/xmlenc#sha384\" name=\"GH100\" tagId=\"tag-1\">";
pub(crate) const ROOT_END: &str = "</SoftwareIdentity>";
pub(crate) const META: &str =
    "<Meta colloquialVersion=\"550.90.07\" edition=\"GPU\" product=\"GH100\"></Meta>";

const SIGNED_INFO: &str = "<ds:CanonicalizationMethod \
    Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\"></ds:CanonicalizationMethod>\
    <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384\">\
    </ds:SignatureMethod><ds:Reference URI=\"\"><ds:Transforms>\
    <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\">\
    </ds:Transform><ds:Transform Algorithm=\"http://www.w3.org/2006/12/xml-c14n11\">\
    </ds:Transform></ds:Transforms>\
    <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#sha384\">\
    </ds:DigestMethod><ds:DigestValue>DIGEST</ds:DigestValue></ds:Reference>";

/// One active or inactive measurement of 48 bytes.
pub(crate) fn resource(index: u8, active: &str, values: &[[u8; 48]]) -> String {
    let hashes: String = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!(" h:Hash{at}=\"{}\"", hex::encode(value)))
        .collect();
    // Attributes without a namespace come first in canonical form.
    format!(
        "<Resource active=\"{active}\" alternatives=\"{}\" index=\"{index}\" size=\"48\" \
         type=\"Measurement\"{hashes}></Resource>",
        values.len()
    )
}

/// A manifest with this payload.
pub(crate) fn manifest(resources: &[String]) -> String {
    manifest_of(&format!("{META}<Payload>{}</Payload>", resources.concat()))
}

pub(crate) fn manifest_of(inside: &str) -> String {
    format!("{ROOT_START}{inside}{ROOT_END}")
}

/// A manifest that is accepted as it is.
pub(crate) fn good() -> String {
    manifest(&[resource(7, "True", &[[7; 48]]), resource(8, "False", &[[0; 48]])])
}

pub(crate) struct Signer {
    pub(crate) root: Identity,
    pub(crate) authority: Identity,
    pub(crate) signer: Identity,
    pub(crate) signed_info: String,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let root = Identity::root("Test RIM Root");
        let authority = root.authority("Test RIM Authority");
        let signer = authority.signer("Test RIM Signer");
        Self { root, authority, signer, signed_info: SIGNED_INFO.to_owned() }
    }

    pub(crate) fn with_signed_info(edit: impl FnOnce(&str) -> String) -> Self {
        let signed_info = edit(SIGNED_INFO);
        assert_ne!(signed_info, SIGNED_INFO, "the edit found nothing to change");
        Self { signed_info, ..Self::new() }
    }

    /// The document with a signature at its end.
    pub(crate) fn sign(&self, content: &str) -> String {
        let signature = self.signature(content);
        let inside = content.strip_suffix(ROOT_END).unwrap();
        format!("{inside}{signature}{ROOT_END}")
    }

    pub(crate) fn signature(&self, content: &str) -> String {
        let digest = STANDARD.encode(Sha384::digest(content));
        let info = self.signed_info.replace("DIGEST", &digest);
        // What is signed carries the namespaces declared around it, sorted by prefix.
        let signed = format!(
            "<ds:SignedInfo xmlns=\"http://standards.iso.org/iso/19770/-2/2015/schema.xsd\" \
             xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" \
             xmlns:h=\"http://www.w3.org/2001/04/xmlenc#sha384\">{info}</ds:SignedInfo>"
        );
        let value = STANDARD.encode(self.signer.key.sign_raw(signed.as_bytes()));
        let chain: String = [&self.signer, &self.authority, &self.root]
            .map(|one| STANDARD.encode(one.certificate.der()))
            .map(|text| format!("<ds:X509Certificate>{text}</ds:X509Certificate>"))
            .concat();
        format!(
            "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>{info}\
             </ds:SignedInfo><ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo>\
             <ds:X509Data>{chain}</ds:X509Data></ds:KeyInfo></ds:Signature>"
        )
    }

    pub(crate) fn root(&self) -> RimRoot {
        RimRoot::Test(self.root.certificate.der().to_vec())
    }

    pub(crate) fn verify(&self, document: &str) -> Result<VerifiedRim, RimError> {
        Rim::parse(document.as_bytes())?.verify(&self.root(), NOW_SECS)
    }

    /// Signs the content and says why it is refused all the same.
    pub(crate) fn refusal(&self, content: &str) -> String {
        self.verify(&self.sign(content)).unwrap_err().to_string()
    }
}

#[test]
fn a_manifest_signed_for_a_test_is_accepted_under_its_root_only() {
    let signer = Signer::new();
    let document = signer.sign(&good());
    let rim = signer.verify(&document).unwrap();
    assert_eq!(rim.version, "550.90.07");
    assert_eq!(rim.references[&7].alternatives, [[7; 48]]);

    let parsed = Rim::parse(document.as_bytes()).unwrap();
    let refused = parsed.verify(&RimRoot::Nvidia, NOW_SECS).unwrap_err().to_string();
    assert!(refused.contains("does not end in the pinned root"), "{refused}");
}
