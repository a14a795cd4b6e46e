//! The engine's fingerprint, put back where the client would have found it.
//!
//! vLLM writes `system_fingerprint` into each event that ends an answer; asked for usage, it writes
//! it into the total instead. A client that did not ask for usage never sees the total, so the
//! event that ends an answer waits for it and takes the fingerprint over. With one answer the total
//! comes right behind. With several, what the others still generate waits as well: order is kept.

use bytes::Bytes;
use memchr::memrchr;

use super::reader::Gather;

/// Events that wait for a total.
#[derive(Debug, Default)]
pub(super) struct HeldBack(Vec<(Bytes, bool)>);

impl HeldBack {
    /// Lets an event through, or keeps it if it, or one before it, waits.
    pub(super) fn pass(&mut self, event: Bytes, lacks_fingerprint: bool, batch: &mut Gather) {
        if lacks_fingerprint || !self.0.is_empty() {
            self.0.push((event, lacks_fingerprint));
        } else {
            batch.add(event);
        }
    }

    /// Lets everything through, with the fingerprint where there is one.
    pub(super) fn release(&mut self, fingerprint: Option<&str>, batch: &mut Gather) {
        for (event, lacks_fingerprint) in self.0.drain(..) {
            let completed = fingerprint.filter(|_| lacks_fingerprint);
            batch.add(completed.and_then(|text| with_fingerprint(&event, text)).unwrap_or(event));
        }
    }
}

/// The event with the member at the end of its object.
fn with_fingerprint(event: &Bytes, fingerprint: &str) -> Option<Bytes> {
    let (object, end) = event.split_at_checked(memrchr(b'}', event)?)?;
    let member = [b",\"system_fingerprint\":", fingerprint.as_bytes()].concat();
    Some(Bytes::from([object, &member, end].concat()))
}
