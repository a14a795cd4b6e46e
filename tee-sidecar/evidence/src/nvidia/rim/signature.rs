//! The signature inside a manifest: XMLDSIG in the one form that NVIDIA uses. Every element,
//! attribute and algorithm is fixed, so there is nothing for a document to choose.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node};
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages};

use super::{RimError, canonical, xml};
use crate::certificates::{Certificate, Chain, Curve};
use crate::nvidia::ocsp::OCSP_SIGNING;

/// The one signature of a document, a child of its root.
pub(super) fn find<'a, 'i>(document: &'a Document<'i>) -> Result<Node<'a, 'i>, RimError> {
    let root = document.root_element();
    let mut signatures = document
        .descendants()
        .filter(|node| node.is_element() && node.tag_name().name() == "Signature");
    match (signatures.next(), signatures.next()) {
        (Some(only), None) if only.parent() == Some(root) => Ok(only),
        (None, _) => Err(form("there is none")),
        _ => Err(form("there must be one, directly inside the root element")),
    }
}

/// A signature that was read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// The canonical form of the signed information.
    signed_info: String,
    /// r and s, 48 bytes each.
    value: Vec<u8>,
    /// The signer's certificates, leaf first.
    pub(super) chain: Chain,
}

impl Signature {
    pub(super) fn read(element: Node<'_, '_>) -> Result<Self, RimError> {
        let [info, value, keys] = exactly(element, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
        no_attributes(&[element, info, value, keys])?;
        Ok(Self {
            signed_info: canonical::of_element(info, None)?,
            value: base64_text(value)?,
            chain: chain(keys)?,
        })
    }

    /// The digest that the signer signed: SHA-384 of the document.
    pub(super) fn verified_digest(&self) -> Result<Vec<u8>, RimError> {
        let signer = self.chain.leaf();
        may_sign_documents(signer)?;
        let key = signer.public_key().filter(|key| key.curve() == Curve::P384);
        let key = key.ok_or(RimError::Signer("its key is not on P-384"))?;
        if !key.verify_raw(self.signed_info.as_bytes(), &self.value) {
            return Err(RimError::Signature);
        }
        digest_in(&self.signed_info)
    }
}

/// Reads signed information from its canonical form: the very bytes that were signed.
fn digest_in(signed_info: &str) -> Result<Vec<u8>, RimError> {
    let document = xml::parse(signed_info)?;
    let info = document.root_element();
    let names = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
    let [canonicalization, method, reference] = exactly(info, names)?;
    algorithm(canonicalization, CANONICAL_FORM)?;
    algorithm(method, ECDSA_SHA384)?;
    if !only_attribute(reference, "URI", "") {
        return Err(form("its reference is not to the whole document"));
    }
    let [transforms, digest_method, digest] =
        exactly(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, form_of_document] = exactly(transforms, ["Transform", "Transform"])?;
    no_attributes(&[info, transforms, digest])?;
    algorithm(enveloped, ENVELOPED)?;
    algorithm(form_of_document, CANONICAL_FORM)?;
    algorithm(digest_method, SHA384)?;
    base64_text(digest)
}

/// A responder of OCSP answers stands below the same authorities as the signers of manifests.
fn may_sign_documents(signer: &Certificate) -> Result<(), RimError> {
    let usage = signer.extension(KEY_USAGE).map(KeyUsage::from_der);
    let signs = matches!(usage, Some(Ok(usage)) if usage.0.contains(KeyUsages::DigitalSignature));
    let purposes = signer.extension(EXTENDED_KEY_USAGE).map(ExtendedKeyUsage::from_der);
    let other_purpose = match purposes {
        None => false,
        Some(Ok(purposes)) => purposes.0.contains(&OCSP_SIGNING),
        Some(Err(_)) => true,
    };
    if signs && !other_purpose {
        return Ok(());
    }
    Err(RimError::Signer("its certificate is not for signing documents"))
}

fn chain(keys: Node<'_, '_>) -> Result<Chain, RimError> {
    let [data] = exactly(keys, ["X509Data"])?;
    let certificates = xml::child_elements(data).ok_or_else(|| form(UNEXPECTED))?;
    if !certificates.iter().all(|node| is_named(*node, "X509Certificate")) {
        return Err(form("it has more than certificates beside its value"));
    }
    no_attributes(&[data])?;
    no_attributes(&certificates)?;
    let ders: Vec<Vec<u8>> = certificates.into_iter().map(base64_text).collect::<Result<_, _>>()?;
    Ok(Chain::from_ders(&ders)?)
}

/// The child elements, when they are these and in this order.
fn exactly<'a, 'i, const N: usize>(
    parent: Node<'a, 'i>,
    names: [&str; N],
) -> Result<[Node<'a, 'i>; N], RimError> {
    let children = xml::child_elements(parent).ok_or_else(|| form(UNEXPECTED))?;
    let children: [_; N] = children.try_into().map_err(|_| form(UNEXPECTED))?;
    let as_named = children.iter().zip(names).all(|(child, name)| is_named(*child, name));
    if as_named && is_named(parent, parent.tag_name().name()) {
        return Ok(children);
    }
    Err(form(UNEXPECTED))
}

fn algorithm(element: Node<'_, '_>, expected: &str) -> Result<(), RimError> {
    if only_attribute(element, "Algorithm", expected) && !element.has_children() {
        return Ok(());
    }
    Err(form("it uses another algorithm than NVIDIA does"))
}

fn only_attribute(element: Node<'_, '_>, name: &str, expected: &str) -> bool {
    element.attributes().len() == 1 && element.attribute(name) == Some(expected)
}

fn no_attributes(elements: &[Node<'_, '_>]) -> Result<(), RimError> {
    if elements.iter().all(|element| element.attributes().len() == 0) {
        return Ok(());
    }
    Err(form("it has attributes where none belong"))
}

fn is_named(element: Node<'_, '_>, name: &str) -> bool {
    element.tag_name().namespace() == Some(XMLDSIG) && element.tag_name().name() == name
}

/// The decoded text of an element that has nothing else inside.
fn base64_text(element: Node<'_, '_>) -> Result<Vec<u8>, RimError> {
    let bad = || form("a value in it is not base64");
    if element.children().any(|child| !child.is_text()) {
        return Err(bad());
    }
    let packed: String = element.text().unwrap_or_default().split_ascii_whitespace().collect();
    STANDARD.decode(packed).map_err(|_| bad())
}

const fn form(what: &'static str) -> RimError {
    RimError::SignatureForm(what)
}

const UNEXPECTED: &str = "its parts are not the expected ones";

const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const CANONICAL_FORM: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";

const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
