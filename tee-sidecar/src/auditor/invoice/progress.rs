//! How far it is, on a terminal and nowhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use broker_core::verify::{Line, LineFault};

/// One line that is written over again and again.
pub(super) struct Progress {
    shown: bool,
    total: u64,
    bytes: u64,
    receipts: u64,
    begun: Instant,
    last: Instant,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        let now = Instant::now();
        let shown = std::io::stderr().is_terminal();
        Self { shown, total, bytes: 0, receipts: 0, begun: now, last: now }
    }

    pub(super) fn add(&mut self, bytes: u64, checked: &[Result<Line, LineFault>]) {
        self.bytes += bytes;
        self.receipts += checked.len() as u64;
        if self.shown && self.last.elapsed() > EVERY {
            self.last = Instant::now();
            let text = line(self.receipts, self.bytes, self.total, self.begun.elapsed());
            let _ = write!(std::io::stderr(), "\r{text}");
        }
    }

    pub(super) fn end(&self) {
        if self.shown {
            let blank = " ".repeat(line(self.receipts, self.bytes, self.total, EVERY).len() + 4);
            let _ = write!(std::io::stderr(), "\r{blank}\r");
        }
    }
}

fn line(receipts: u64, bytes: u64, total: u64, since: Duration) -> String {
    let part = bytes.saturating_mul(100).checked_div(total).unwrap_or_default().min(100);
    let full = usize::try_from(part / 5).unwrap_or_default();
    let bar = format!("{}{}", "#".repeat(full), "-".repeat(20_usize.saturating_sub(full)));
    let millis = since.as_millis().max(1);
    let rate = u128::from(receipts).saturating_mul(1000).checked_div(millis).unwrap_or_default();
    format!("[{bar}] {part:3} %  {receipts} receipts, {rate}/s")
}

const EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_with_the_bytes_and_never_more() {
        let half = line(1500, 50, 100, Duration::from_secs(2));
        assert_eq!(half, "[##########----------]  50 %  1500 receipts, 750/s");
        assert!(line(1, 200, 100, EVERY).starts_with("[####################] 100 %"));
        assert!(line(0, 0, 0, Duration::ZERO).starts_with("[--------------------]   0 %"));
    }
}
