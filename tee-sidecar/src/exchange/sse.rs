//! Server-sent events on bytes: framing across reads, without decoding what is framed.
//!
//! Line ends (CRLF, and the lone CR that the SSE specification also allows) become LF; nothing else
//! changes. An event is everything up to and including its blank line.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// The longest event: an engine that sends more without a blank line is broken.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// An event went on beyond [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTooLong;

/// Cuts a stream of reads into events.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// Up to here no event ends.
    scanned: usize,
    /// The last byte taken was a CR, already written as LF: a following LF belongs to it.
    after_cr: bool,
}

impl Framer {
    /// Takes what was read.
    pub fn push(&mut self, read: &[u8]) {
        if read.is_empty() {
            return;
        }
        let mut rest = read;
        if std::mem::take(&mut self.after_cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = memchr(b'\r', rest) {
            let (line, tail) = rest.split_at(at);
            self.buffer.extend_from_slice(line);
            self.buffer.extend_from_slice(b"\n");
            let tail = tail.strip_prefix(b"\r").unwrap_or(tail);
            self.after_cr = tail.is_empty();
            rest = tail.strip_prefix(b"\n").unwrap_or(tail);
        }
        self.buffer.extend_from_slice(rest);
    }

    /// The next whole event with its blank line, if one has arrived.
    ///
    /// # Errors
    /// What has arrived is too long for one event.
    pub fn next_event(&mut self) -> Result<Option<Bytes>, EventTooLong> {
        while let Some(at) = memchr(b'\n', self.buffer.get(self.scanned..).unwrap_or_default()) {
            let line_end = self.scanned + at;
            // A blank line is an LF at the very start or right after another.
            if at == 0 {
                let event = self.buffer.split_to(line_end + 1).freeze();
                self.scanned = 0;
                return Ok(Some(event));
            }
            self.scanned = line_end + 1;
        }
        if self.buffer.len() > EVENT_BYTES_MAX {
            return Err(EventTooLong);
        }
        Ok(None)
    }

    /// What is left when the stream has ended: an event without its blank line, with a final LF.
    pub fn finish(&mut self) -> Option<Bytes> {
        if self.buffer.is_empty() {
            return None;
        }
        if self.buffer.last() != Some(&b'\n') {
            self.buffer.extend_from_slice(b"\n");
        }
        self.scanned = 0;
        Some(self.buffer.split().freeze())
    }
}

/// The data of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// No data line: a comment, a field of another name, a blank line.
    None,
    /// One data line, as a slice of the event.
    Line(&'a [u8]),
    /// Several data lines, joined with LF as the specification says.
    Joined(Vec<u8>),
}

impl Data<'_> {
    /// Reads the data lines of an event.
    pub fn of(event: &[u8]) -> Data<'_> {
        let mut found = Data::None;
        let mut rest = event.strip_prefix(b"\xef\xbb\xbf").unwrap_or(event);
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).unwrap_or(rest.len());
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            let Some(value) = data_value(line) else { continue };
            found = match found {
                Data::None => Data::Line(value),
                Data::Line(first) => Data::Joined([first, b"\n", value].concat()),
                Data::Joined(mut all) => {
                    all.push(b'\n');
                    all.extend_from_slice(value);
                    Data::Joined(all)
                }
            };
        }
        found
    }
}

fn data_value(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(reads: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut framer = Framer::default();
        let mut events = Vec::new();
        for read in reads {
            framer.push(read);
            while let Some(event) = framer.next_event().unwrap() {
                events.push(event.to_vec());
            }
        }
        events.extend(framer.finish().map(|tail| tail.to_vec()));
        events
    }

    #[test]
    fn events_end_at_blank_lines_in_every_spelling_of_a_line_end() {
        let want: Vec<Vec<u8>> = vec![b"data: 1\n\n".into(), b"data: 2\n\n".into()];
        for stream in
            ["data: 1\n\ndata: 2\n\n", "data: 1\r\n\r\ndata: 2\r\n\r\n", "data: 1\r\rdata: 2\r\r"]
        {
            assert_eq!(all(&[stream.as_bytes()]), want, "{stream:?}");
        }
        assert_eq!(all(&[b"data: 1\r", b"\n\r", b"\ndata: 2\r\n", b"\r\n"]), want);
    }

    #[test]
    fn an_unfinished_event_is_left_over_with_a_final_line_end() {
        assert_eq!(all(&[b"data: 1\n\ndata: [DONE]"])[1], b"data: [DONE]\n");
        assert_eq!(all(&[b"data: x\n"]), vec![b"data: x\n".to_vec()]);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut framer = Framer::default();
        framer.push(&vec![b'x'; EVENT_BYTES_MAX]);
        assert_eq!(framer.next_event(), Ok(None));
        framer.push(b"x");
        assert_eq!(framer.next_event(), Err(EventTooLong));
    }

    #[test]
    fn data_is_read_as_the_specification_says() {
        assert_eq!(Data::of(b": ping\n\n"), Data::None);
        assert_eq!(Data::of(b"event: x\n\n"), Data::None);
        assert_eq!(Data::of(b"database: x\n\n"), Data::None);
        assert_eq!(Data::of(b"data:{}\n\n"), Data::Line(b"{}"));
        assert_eq!(Data::of(b"id: 1\ndata: {}\n\n"), Data::Line(b"{}"));
        assert_eq!(Data::of(b"data:  x\n\n"), Data::Line(b" x"));
        assert_eq!(Data::of(b"data\n\n"), Data::Line(b""));
        assert_eq!(Data::of(b"data: a\ndata: b\n\n"), Data::Joined(b"a\nb".to_vec()));
        assert_eq!(Data::of(b"\xef\xbb\xbfdata: x\n\n"), Data::Line(b"x"));
    }

    proptest! {
        /// However the reads fall, the same events come out, and together they are the stream with
        /// its line ends as LF.
        #[test]
        fn reads_may_fall_anywhere(
            parts in prop::collection::vec(
                prop_oneof![
                    Just("\r\n".to_owned()), Just("\n".to_owned()), Just("\r".to_owned()),
                    Just("data: {\"é\":\"日本語☕\"}".to_owned()), Just(": ping".to_owned()),
                    Just("data: [DONE]".to_owned()), "[a-z:\\[\\] ]{0,12}",
                ],
                0..40,
            ),
            cuts in prop::collection::vec(0usize..400, 0..30),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c % (stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut reads: Vec<&[u8]> = Vec::new();
            let mut from = 0;
            for cut in cuts {
                reads.push(&stream[from..cut]);
                from = cut;
            }
            reads.push(&stream[from..]);
            let pieces = all(&reads);
            let whole = all(&[&stream]);
            prop_assert_eq!(&pieces, &whole);
            let text = String::from_utf8(stream).unwrap();
            let mut text = text.replace("\r\n", "\n").replace('\r', "\n");
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            prop_assert_eq!(pieces.concat(), text.into_bytes());
        }
    }
}
