//! The canonical form of XML 1.1 (`xml-c14n11`), for documents that need no escapes and have no
//! `xml:` attributes. Others are refused, not guessed at.

use roxmltree::{Attribute, Node};

use super::RimError;

/// The canonical form of an element with everything inside except `omitted`. An element inside a
/// document gets the namespaces declared around it, as the standard has it for parts of documents.
pub(super) fn of_element(
    apex: Node<'_, '_>,
    omitted: Option<Node<'_, '_>>,
) -> Result<String, RimError> {
    let mut writer = Writer { out: String::new(), omitted };
    writer.element(apex, &[], 0)?;
    Ok(writer.out)
}

struct Writer<'a, 'i> {
    out: String,
    omitted: Option<Node<'a, 'i>>,
}

/// A prefix, empty for the default namespace, and its URI.
type Declaration<'a> = (&'a str, &'a str);

impl Writer<'_, '_> {
    fn element(
        &mut self,
        node: Node<'_, '_>,
        around: &[Declaration<'_>],
        depth: usize,
    ) -> Result<(), RimError> {
        if depth == DEPTH_MAX {
            return Err(RimError::Unsupported("its elements are nested too deeply"));
        }
        let source = node.document().input_text();
        let name = name_at(source, node.range().start.saturating_add(1))?;
        let in_scope = declarations(node)?;

        self.out.push('<');
        self.out.push_str(name);
        for (prefix, uri) in in_scope.iter().filter(|declared| !around.contains(declared)) {
            let colon = if prefix.is_empty() { "" } else { ":" };
            self.attribute(&format!("xmlns{colon}{prefix}"), uri)?;
        }
        for attribute in sorted_attributes(node)? {
            self.attribute(name_at(source, attribute.range().start)?, attribute.value())?;
        }
        self.out.push('>');
        for child in node.children() {
            if Some(child) == self.omitted {
                continue;
            }
            if child.is_element() {
                self.element(child, &in_scope, depth.saturating_add(1))?;
            } else {
                self.text(child.text().filter(|_| child.is_text()))?;
            }
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: &str) -> Result<(), RimError> {
        if value.contains(['"', '&', '<', '\t', '\n', '\r']) {
            return Err(RimError::Unsupported("an attribute needs escapes"));
        }
        for part in [" ", name, "=\"", value, "\""] {
            self.out.push_str(part);
        }
        Ok(())
    }

    fn text(&mut self, text: Option<&str>) -> Result<(), RimError> {
        let text = text.ok_or(RimError::Unsupported("it has more than elements and text"))?;
        if text.contains(['&', '<', '>', '\r']) {
            return Err(RimError::Unsupported("a text needs escapes"));
        }
        self.out.push_str(text);
        Ok(())
    }
}

/// The name as written, with its prefix. The tree keeps only the namespace, which may have several
/// prefixes.
fn name_at(source: &str, start: usize) -> Result<&str, RimError> {
    let rest = source.get(start..).unwrap_or_default();
    let end = rest.find([' ', '\t', '\n', '=', '/', '>']).unwrap_or(rest.len());
    match rest.get(..end) {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(RimError::Unsupported("a name cannot be found")),
    }
}

/// The namespaces in scope, by prefix.
fn declarations<'a>(node: Node<'a, '_>) -> Result<Vec<Declaration<'a>>, RimError> {
    let in_scope = node.namespaces();
    let mut declared: Vec<_> =
        in_scope.map(|one| (one.name().unwrap_or_default(), one.uri())).collect();
    declared.sort_unstable();
    let twice = declared.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a == b));
    // The parser takes a default namespace that is declared twice.
    if twice || declared.iter().any(|(_, uri)| uri.is_empty()) {
        return Err(RimError::Unsupported("a namespace is declared twice or as nothing"));
    }
    Ok(declared)
}

/// By namespace, then by name; those without a namespace first.
fn sorted_attributes<'a, 'i>(node: Node<'a, 'i>) -> Result<Vec<Attribute<'a, 'i>>, RimError> {
    let mut attributes: Vec<_> = node.attributes().collect();
    if attributes.iter().any(|attribute| attribute.namespace() == Some(XML_NAMESPACE)) {
        return Err(RimError::Unsupported("it has an xml: attribute"));
    }
    attributes
        .sort_by_key(|attribute| (attribute.namespace().unwrap_or_default(), attribute.name()));
    Ok(attributes)
}

/// Manifests have five levels.
const DEPTH_MAX: usize = 16;

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
