//! A value as it was written, before anyone has decided what it means.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// The exact text of one scalar, from the file or the environment.
///
/// Numbers stay text until their key is checked: a YAML reader would make a float of an amount
/// above 2^64, and `0123` or `true` are good tokens. The text is erased when dropped, since it may
/// be a secret; for the same reason the type has no `Debug`.
#[derive(Clone)]
pub(super) struct Text {
    text: Zeroizing<String>,
    from_environment: bool,
}

impl Text {
    /// A value from the environment.
    pub(super) const fn from_environment(text: Zeroizing<String>) -> Self {
        Self { text, from_environment: true }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_from_environment(&self) -> bool {
        self.from_environment
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text { text: Zeroizing::new(text.to_owned()), from_environment: false })
    }
}

/// A list of values, from the file, or from the environment with commas between them.
#[derive(Clone)]
pub(super) struct Texts {
    items: Vec<Text>,
    from_environment: bool,
}

impl Texts {
    /// A list from the environment; an empty text is an empty list.
    pub(super) fn from_environment(text: &Text) -> Self {
        let item = |item: &str| Text::from_environment(Zeroizing::new(item.trim().to_owned()));
        let items = match text.as_str() {
            "" => Vec::new(),
            text => text.split(',').map(item).collect(),
        };
        Self { items, from_environment: true }
    }

    pub(super) fn items(&self) -> &[Text] {
        &self.items
    }

    pub(super) const fn is_from_environment(&self) -> bool {
        self.from_environment
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Texts { items, from_environment: false })
    }
}
