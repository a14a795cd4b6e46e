//! A file of JSON documents in pieces that hold whole documents, however large the file is.

use std::io::{self, Read};

use serde::de::IgnoredAny;

/// Reads pieces: whole lines where the file has a document on each, else whole documents.
pub(super) struct Units<R> {
    source: R,
    /// What was read and not handed on.
    held: Vec<u8>,
    by_lines: Option<bool>,
    ended: bool,
}

/// Some whole documents.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    by_lines: bool,
}

impl Piece {
    /// The piece line by line, where each line holds whole documents; else as it is.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let by_lines = self.by_lines;
        let parts = self.bytes.split(move |byte| by_lines && *byte == b'\n');
        parts.filter(|text| !text.trim_ascii().is_empty())
    }
}

impl<R: Read> Units<R> {
    pub(super) const fn new(source: R) -> Self {
        Self { source, held: Vec::new(), by_lines: None, ended: false }
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        let mut scan = Scan::default();
        loop {
            let cut = self.cut(&mut scan);
            if let Some(cut) = cut {
                let rest = self.held.split_off(cut);
                let bytes = std::mem::replace(&mut self.held, rest);
                return Ok(Some(self.piece(bytes)));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.held);
                return Ok((!rest.trim_ascii().is_empty()).then(|| self.piece(rest)));
            }
            if self.held.len() > UNIT_BYTES_MAX {
                let what = "a document of it is longer than any receipt or page";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let read = self.source.by_ref().take(PIECE_BYTES).read_to_end(&mut self.held)?;
            self.ended = read == 0;
        }
    }

    fn piece(&self, bytes: Vec<u8>) -> Piece {
        Piece { bytes, by_lines: self.by_lines.unwrap_or_default() }
    }

    /// Where what is held can be cut: behind its last whole line or document.
    fn cut(&mut self, scan: &mut Scan) -> Option<usize> {
        let by_lines = match self.by_lines {
            Some(known) => known,
            None => {
                let blank = self.held.len().saturating_sub(self.held.trim_ascii_start().len());
                self.held.drain(..blank);
                let line = self.held.iter().position(|byte| *byte == b'\n');
                let line = match line {
                    Some(end) => self.held.get(..end)?,
                    None if self.ended || self.held.len() > LINE_BYTES_MAX => &self.held,
                    None => return None,
                };
                *self.by_lines.insert(line.len() <= LINE_BYTES_MAX && whole(line))
            }
        };
        if by_lines {
            let newline = self.held.iter().rposition(|byte| *byte == b'\n');
            return newline.and_then(|at| at.checked_add(1));
        }
        scan.on(&self.held);
        scan.end
    }
}

/// Whether a line holds whole documents, or nothing.
fn whole(line: &[u8]) -> bool {
    let mut documents = serde_json::Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    documents.all(|document| document.is_ok())
}

/// Finds the ends of documents without reading them: brackets that are not in strings.
#[derive(Default)]
struct Scan {
    looked: usize,
    depth: u64,
    in_text: bool,
    escaped: bool,
    end: Option<usize>,
}

impl Scan {
    fn on(&mut self, held: &[u8]) {
        for byte in held.get(self.looked..).unwrap_or_default() {
            self.looked += 1;
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.in_text,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.end = Some(self.looked);
                    }
                }
                _ => {}
            }
        }
    }
}

/// What is read at once.
const PIECE_BYTES: u64 = 256 * 1024;
/// The longest first line that a file of lines may have: a page of some thousand receipts.
const LINE_BYTES_MAX: usize = 8 << 20;
/// The longest document, or line.
const UNIT_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out so many bytes at once.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(to.len());
            let (now, later) = self.0.split_at(count);
            to[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn pieces(text: &str) -> Vec<String> {
        let mut units = Units::new(Slow(text.as_bytes(), 7));
        let mut pieces = Vec::new();
        while let Some(piece) = units.next().unwrap() {
            pieces.push(String::from_utf8(piece.bytes).unwrap());
        }
        pieces
    }

    #[test]
    fn nothing_is_lost_and_every_piece_holds_whole_documents() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1000));
        let lines = line.repeat(700);
        let page =
            format!("{{\n \"data\": [\"}}\\\"{{\", [], {{\"b\": \"{}\"}}]\n}}", "y".repeat(900));
        for text in [lines, format!("{page}\n").repeat(700), page.repeat(700), line] {
            let pieces = pieces(&text);
            assert_eq!(pieces.concat().trim_end(), text.trim_end());
            assert!(pieces.len() > 1 || text.len() < 2000, "{} bytes", text.len());
            assert!(pieces.iter().all(|piece| whole(piece.as_bytes())));
        }
        assert_eq!(pieces(" \n\n "), Vec::<String>::new());
        assert_eq!(pieces("{\"a\":1"), ["{\"a\":1"]);
    }

    #[test]
    fn a_document_without_end_is_refused_before_it_is_held() {
        let endless = "[".repeat(UNIT_BYTES_MAX + 2 * PIECE_BYTES as usize);
        let mut units = Units::new(endless.as_bytes());
        assert_eq!(units.next().err().unwrap().kind(), io::ErrorKind::InvalidData);
        assert!(units.held.len() <= UNIT_BYTES_MAX + PIECE_BYTES as usize);
    }
}
