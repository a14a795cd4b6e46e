//! Canonical text written straight away, for documents whose members are known.

use std::fmt::{Display, Write as _};

/// Writes one object behind what `out` holds. Members have to be written in canonical order, which
/// for ASCII keys is that of their bytes.
pub fn object(out: &mut String, members: impl FnOnce(&mut ObjectWriter<'_>)) {
    out.push('{');
    members(&mut ObjectWriter { out, last: None });
    out.push('}');
}

/// The members of an object.
pub struct ObjectWriter<'a> {
    out: &'a mut String,
    last: Option<&'static str>,
}

impl ObjectWriter<'_> {
    /// A text.
    pub fn text(&mut self, key: &'static str, value: &str) -> &mut Self {
        self.key(key);
        text(self.out, value);
        self
    }

    /// A text or `null`.
    pub fn text_or_null(&mut self, key: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.plain(key, "null"),
        }
    }

    /// Something whose text needs no escapes, as a string.
    pub fn quoted(&mut self, key: &'static str, value: impl Display) -> &mut Self {
        self.key(key);
        let _ = write!(self.out, "\"{value}\"");
        self
    }

    /// A `sha256:` digest.
    pub fn sha256(&mut self, key: &'static str, value: impl Display) -> &mut Self {
        self.quoted(key, format_args!("sha256:{value}"))
    }

    /// A number of at most [`super::INTEGER_MAX`]; a larger one is written as that.
    pub fn number(&mut self, key: &'static str, value: u64) -> &mut Self {
        self.plain(key, value.min(super::INTEGER_MAX))
    }

    /// A number, `true`, `false` or `null`.
    pub fn plain(&mut self, key: &'static str, value: impl Display) -> &mut Self {
        self.key(key);
        let _ = write!(self.out, "{value}");
        self
    }

    /// An object.
    pub fn object(
        &mut self,
        key: &'static str,
        members: impl FnOnce(&mut ObjectWriter<'_>),
    ) -> &mut Self {
        self.key(key);
        object(self.out, members);
        self
    }

    /// A list.
    pub fn list(
        &mut self,
        key: &'static str,
        items: impl FnOnce(&mut ListWriter<'_>),
    ) -> &mut Self {
        self.key(key);
        self.out.push('[');
        items(&mut ListWriter { out: self.out, first: true });
        self.out.push(']');
        self
    }

    fn key(&mut self, key: &'static str) {
        debug_assert!(self.last < Some(key), "members are written in their order: {key}");
        if self.last.is_some() {
            self.out.push(',');
        }
        self.last = Some(key);
        let _ = write!(self.out, "\"{key}\":");
    }
}

/// The items of a list.
pub struct ListWriter<'a> {
    out: &'a mut String,
    first: bool,
}

impl ListWriter<'_> {
    /// An object.
    pub fn object(&mut self, members: impl FnOnce(&mut ObjectWriter<'_>)) -> &mut Self {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        object(self.out, members);
        self
    }
}

/// A string with the escapes of RFC 8785 and no other.
pub(super) fn text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    while let Some(place) = rest.bytes().position(special) {
        let (plain, tail) = rest.split_at(place);
        out.push_str(plain);
        let mut tail = tail.chars();
        match tail.next().unwrap_or_default() {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            other => drop(write!(out, "\\u{:04x}", u32::from(other))),
        }
        rest = tail.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
