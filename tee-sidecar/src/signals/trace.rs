//! W3C trace context: which trace a request belongs to, and how that goes on to the engine.
//!
//! A client's `traceparent` is taken over where it is well formed, with its `tracestate`; else the
//! trace begins here. The engine is told the same trace and an id of ours as its parent. A trace's
//! id stands in the log; what a client wrote into `tracestate` never does.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::Watch;

/// The place of one exchange in a trace.
#[derive(Clone)]
pub struct Trace {
    pub(super) id: [u8; 16],
    /// The client's id in it.
    pub(super) parent: Option<[u8; 8]>,
    /// The exchange's own id in it, under which the engine's part stands.
    span: [u8; 8],
    pub(super) flags: u8,
    state: Option<String>,
    /// What is gathered for a collector, where that is wanted.
    pub(super) watch: Option<Arc<Watch>>,
}

impl Default for Trace {
    /// A trace that begins here, and that nobody asked to record.
    fn default() -> Self {
        let id = Uuid::new_v4().into_bytes();
        Self { id, parent: None, span: span(), flags: 0, state: None, watch: None }
    }
}

impl Trace {
    /// The trace that these headers tell, or a new one: two `traceparent` are as good as none.
    pub fn of<'a>(
        parents: impl IntoIterator<Item = &'a [u8]>,
        states: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let mut parents = parents.into_iter();
        let parent = parents.next().filter(|_| parents.next().is_none());
        let Some(read) = parent.and_then(read_parent) else { return Self::default() };
        let (id, parent, flags) = read;
        let state = read_states(states);
        Self { id, parent: Some(parent), span: span(), flags, state, watch: None }
    }

    /// The same place, without what is the client's and what is gathered.
    pub(super) const fn clone_unwatched(&self) -> Self {
        let Self { id, parent, span, flags, .. } = *self;
        Self { id, parent, span, flags, state: None, watch: None }
    }

    /// What is gathered of the exchange for a collector; `None` where nothing is.
    pub const fn watch(&self) -> Option<&Arc<Watch>> {
        self.watch.as_ref()
    }

    /// The trace's id, the client's span in it, the span of the engine's part, and the flags.
    pub const fn parts(&self) -> ([u8; 16], Option<[u8; 8]>, [u8; 8], u8) {
        (self.id, self.parent, self.span, self.flags)
    }

    /// The trace's id: 32 hex digits.
    pub fn id(&self) -> String {
        hex::encode(self.id)
    }

    /// `traceparent` for the engine.
    pub fn parent(&self) -> String {
        format!("00-{}-{}-{:02x}", hex::encode(self.id), hex::encode(self.span), self.flags)
    }

    /// `tracestate` for the engine.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the state, which is the client's.
        f.debug_tuple("Trace").field(&self.parent()).finish()
    }
}

pub(super) fn span() -> [u8; 8] {
    let (half, _) = Uuid::new_v4().as_u64_pair();
    half.to_be_bytes()
}

/// The trace's id, the client's span, and the flags. A version that is not known yet may go on
/// behind the known part.
fn read_parent(header: &[u8]) -> Option<([u8; 16], [u8; 8], u8)> {
    let text = std::str::from_utf8(header).ok()?.trim_matches([' ', '\t']);
    let (known, rest) = text.split_at_checked(PARENT_BYTES)?;
    let mut parts = known.split('-');
    let version = lower_hex::<1>(parts.next()?)?;
    let id = lower_hex::<16>(parts.next()?)?;
    let parent = lower_hex::<8>(parts.next()?)?;
    let [flags] = lower_hex::<1>(parts.next()?)?;
    let ends = match version {
        [0] => rest.is_empty(),
        [0xff] => false,
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let is_set = id != [0; 16] && parent != [0; 8] && parts.next().is_none();
    (ends && is_set).then_some((id, parent, flags & FLAGS_KNOWN))
}

fn lower_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let is_lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// All the headers as one; nothing of them where something is wrong or too long.
fn read_states<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let mut members = Vec::new();
    for header in headers {
        let text = std::str::from_utf8(header).ok()?;
        let named = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        members.extend(named.filter(|member| !member.is_empty()));
    }
    let is_whole = members.iter().all(|member| is_member(member));
    let state = members.join(",");
    let fits = members.len() <= MEMBERS_MAX && (1..=STATE_BYTES_MAX).contains(&state.len());
    (is_whole && fits).then_some(state)
}

fn is_member(member: &str) -> bool {
    let Some((key, value)) = member.split_once('=') else { return false };
    let in_key = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '*' | '/' | '@')
    };
    let begins = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let in_value = |c: char| (' '..='~').contains(&c) && c != '=';
    begins
        && key.chars().all(in_key)
        && (1..=WORD_BYTES_MAX).contains(&value.len())
        && key.len() <= WORD_BYTES_MAX
        && value.chars().all(in_value)
}

const PARENT_BYTES: usize = 55;
/// Whoever called us records the trace.
pub(super) const SAMPLED: u8 = 0b01;
/// Sampled, and a random id.
const FLAGS_KNOWN: u8 = 0b11;
const MEMBERS_MAX: usize = 32;
const STATE_BYTES_MAX: usize = 512;
const WORD_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parents: &[&str], states: &[&str]) -> Trace {
        Trace::of(parents.iter().map(|p| p.as_bytes()), states.iter().map(|s| s.as_bytes()))
    }

    #[test]
    fn a_trace_goes_on_under_an_id_of_our_own() {
        let trace = of(&[PARENT], &["congo=t61rcWkgMzE, rojo=00f067aa0ba902b7", "", "x@y=1"]);
        assert_eq!(trace.id(), ID);
        assert_eq!(trace.state(), Some("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7,x@y=1"));
        let told = trace.parent();
        assert!(told.starts_with(&format!("00-{ID}-")) && told.ends_with("-01"), "{told}");
        assert!(told.len() == PARENT_BYTES && !told.contains("b7ad6b7169203331"), "{told}");
        assert_ne!(of(&[PARENT], &[]).parent(), told);
        // A later version may say more, which is not ours to pass on.
        let later = of(&[&PARENT.replacen("00-", "cc-", 1).replace("-01", "-ff-more")], &[]);
        assert_eq!((later.id().as_str(), later.parent().ends_with("-03")), (ID, true));
    }

    #[test]
    fn what_is_no_trace_is_left_alone_and_one_begins_here() {
        let zeros = PARENT.replace(ID, &"0".repeat(32));
        let no_parent = PARENT.replace("b7ad6b7169203331", &"0".repeat(16));
        let long = format!("{PARENT}-more");
        for bad in [
            "",
            "x",
            &PARENT.to_uppercase(),
            &zeros,
            &no_parent,
            &long,
            &PARENT.replacen("00-", "ff-", 1),
            &PARENT.replace('-', "_"),
            &PARENT[..54],
            &PARENT.replace('a', "é"),
        ] {
            let trace = of(&[bad], &["a=b"]);
            assert!(trace.id() != ID && trace.id().len() == 32, "{bad}");
            assert_eq!(trace.state(), None, "{bad}");
            assert!(trace.parent().ends_with("-00"), "{bad}");
        }
        assert_ne!(of(&[PARENT, PARENT], &[]).id(), ID);
        assert_ne!(of(&[], &[]).id(), of(&[], &[]).id());
    }

    #[test]
    fn a_state_that_is_wrong_is_dropped_and_the_trace_is_not() {
        let many = vec!["a=b"; 33].join(",");
        let long = format!("a={}", "b".repeat(257));
        let much = vec![format!("a={}", "b".repeat(250)); 3].join(",");
        for bad in ["a", "=b", "a=", "A=b", "a=b=c", "a=\u{7f}", "a b=c", &many, &long, &much] {
            let trace = of(&[PARENT], &[bad]);
            assert_eq!((trace.id().as_str(), trace.state()), (ID, None), "{bad}");
        }
    }

    #[test]
    fn what_a_client_wrote_is_not_shown() {
        let trace = of(&[PARENT], &["a=canary"]);
        assert!(!format!("{trace:?}").contains("canary"));
    }
}
