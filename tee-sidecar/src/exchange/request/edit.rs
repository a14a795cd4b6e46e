//! What is written into a client's own bytes: one member's value in another's place, or a member
//! at the beginning. Every other byte stays.

use bytes::Bytes;

use super::Given;

/// Bytes from `start` to `end` that become `text`.
pub(super) struct Edit {
    start: usize,
    end: usize,
    text: String,
}

impl Edit {
    /// Has the member `name` of the object in `body` be `value`, which is JSON. `given` is what the
    /// body says of it. The object has another member.
    pub(super) fn of(body: &[u8], name: &str, given: Given<'_>, value: &str) -> Self {
        match given.text().and_then(|text| span(body, text)) {
            Some(at) => Self::at(at, value),
            None => Self::new_member(body, name, value),
        }
    }

    /// Has what lies there be `value`.
    pub(super) fn at((start, end): (usize, usize), value: &str) -> Self {
        Self { start, end, text: value.to_owned() }
    }

    /// Adds the member `name`.
    pub(super) fn new_member(body: &[u8], name: &str, value: &str) -> Self {
        let open = memchr::memchr(b'{', body).map_or(0, |at| at + 1);
        // Another member follows, so a comma is right.
        Self { start: open, end: open, text: format!("\"{name}\":{value},") }
    }

    /// The body with the edit made.
    pub(super) fn made(&self, body: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(body.len() + self.text.len());
        out.extend_from_slice(body.get(..self.start).unwrap_or_default());
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(body.get(self.end..).unwrap_or_default());
        Bytes::from(out)
    }

    /// Where a part of the body lies once the edit is made.
    pub(super) fn moved(&self, (start, end): (usize, usize)) -> (usize, usize) {
        let moved = |at: usize| at.saturating_add(self.text.len()).saturating_sub(self.len());
        if start >= self.end { (moved(start), moved(end)) } else { (start, end) }
    }

    const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }
}

/// Where `part`, a slice of `whole`, lies in it.
pub(in super::super) fn span(whole: &[u8], part: &str) -> Option<(usize, usize)> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some((start, end))
}
