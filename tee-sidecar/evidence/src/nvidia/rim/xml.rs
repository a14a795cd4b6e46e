//! The part of XML that manifests use, with bounds on everything that costs time or memory.

use roxmltree::{Document, Node, ParsingOptions};

use super::RimError;

/// The document as text, after a look at its size and for the markup that is refused. The search is
/// done on the raw text: nothing that it looks for has a harmless meaning in a manifest.
pub(super) fn checked_text(bytes: &[u8]) -> Result<&str, RimError> {
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(RimError::TooLarge(bytes.len()));
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| RimError::NotXml("not UTF-8 text".to_owned()))?;
    for (markup, refusal) in REFUSED_MARKUP {
        if text.contains(markup) {
            return Err(RimError::Unsupported(refusal));
        }
    }
    // The parser compares every attribute of an element, and every namespace in scope, with all the
    // others.
    if text.matches('=').count() > EQUALS_SIGNS_MAX {
        return Err(RimError::Unsupported("it has too many attributes"));
    }
    if text.matches("xmlns").count() > NAMESPACE_DECLARATIONS_MAX {
        return Err(RimError::Unsupported("it declares too many namespaces"));
    }
    Ok(text)
}

/// The tree of a checked text.
pub(super) fn parse(text: &str) -> Result<Document<'_>, RimError> {
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|e| RimError::NotXml(e.to_string()))
}

/// The child elements, if there is no text between them but white space.
pub(super) fn child_elements<'a, 'i>(parent: Node<'a, 'i>) -> Option<Vec<Node<'a, 'i>>> {
    let mut elements = Vec::new();
    for child in parent.children() {
        if child.is_element() {
            elements.push(child);
        } else if !child.text().is_some_and(|text| text.trim_ascii().is_empty()) {
            return None;
        }
    }
    Some(elements)
}

/// Manifests have about 21 KB.
pub(super) const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// Manifests have about 160 nodes, white space included.
const NODES_MAX: u32 = 4096;

/// Manifests have about 650.
const EQUALS_SIGNS_MAX: usize = 4096;

/// Manifests have six.
const NAMESPACE_DECLARATIONS_MAX: usize = 32;

const REFUSED_MARKUP: [(&str, &str); 4] = [
    ("<!", "it has a document type, a comment or a CDATA section"),
    ("<?", "it has a processing instruction or an XML declaration"),
    ("&", "it has an entity or character reference"),
    ("\r", "it has carriage returns"),
];
