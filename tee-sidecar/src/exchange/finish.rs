//! The engine's fingerprint, put back where the client would have found it.
//!
//! vLLM writes `system_fingerprint` into each event that ends an answer; asked for usage, it writes
//! it into the total instead. A client that did not ask for usage never sees the total, so the
//! event that ends its one answer waits for the total, which comes right behind, and takes the
//! fingerprint over. With several answers nothing may wait, since the others go on for long: the
//! end of each takes what earlier answers of the engine told, if any did.

use bytes::Bytes;
use memchr::memrchr;

use super::reader::{Counted, Gather};

/// Events that may wait: an engine that sends more before its total sends none.
const WAITING_MAX: usize = 16;

/// Events that wait for a total.
#[derive(Debug)]
pub(super) struct HeldBack {
    several: bool,
    known: Option<String>,
    waiting: Vec<(Counted, bool)>,
}

impl HeldBack {
    /// For one answer or several of an engine that was last known by this fingerprint.
    pub(super) fn new(several: bool, known: Option<String>) -> Self {
        Self { several, known, waiting: Vec::new() }
    }

    /// Lets an event through, or keeps it if it, or one before it, waits.
    pub(super) fn pass(&mut self, event: Counted, lacks_fingerprint: bool, batch: &mut Gather) {
        if self.several {
            let fingerprint = self.known.as_deref().filter(|_| lacks_fingerprint);
            return batch.add(with_fingerprint(event, fingerprint));
        }
        if !lacks_fingerprint && self.waiting.is_empty() {
            return batch.add(event);
        }
        self.waiting.push((event, lacks_fingerprint));
        if self.waiting.len() > WAITING_MAX {
            self.release(None, batch);
        }
    }

    /// Lets everything through, with the fingerprint where there is one.
    pub(super) fn release(&mut self, fingerprint: Option<&str>, batch: &mut Gather) {
        for (event, lacks_fingerprint) in self.waiting.drain(..) {
            batch.add(with_fingerprint(event, fingerprint.filter(|_| lacks_fingerprint)));
        }
    }
}

/// The event with the member at the end of its object.
fn with_fingerprint(event: Counted, fingerprint: Option<&str>) -> Counted {
    let Counted { bytes, meter } = event;
    let parts = memrchr(b'}', &bytes).and_then(|end| bytes.split_at_checked(end));
    match (fingerprint, parts) {
        (Some(fingerprint), Some((object, end))) => {
            let member = [b",\"system_fingerprint\":", fingerprint.as_bytes()].concat();
            Counted { bytes: Bytes::from([object, &member, end].concat()), meter }
        }
        _ => Counted { bytes, meter },
    }
}
