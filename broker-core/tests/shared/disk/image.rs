//! One file of a disk: what a power cut cannot take from it, and what it can.

use broker_core::testing::Rng;

/// What was done to a file since it was last flushed.
#[derive(Clone)]
pub(super) enum Op {
    Create,
    Remove,
    Truncate(u64),
    Write(u64, Vec<u8>),
}

/// A file as the platters have it, and what is still on its way to them.
#[derive(Clone, Default)]
pub(super) struct Image {
    durable: Option<Vec<u8>>,
    pending: Vec<Op>,
}

impl Image {
    /// A file that is all on the platters.
    pub(super) fn durable(content: Vec<u8>) -> Self {
        Self { durable: Some(content), pending: Vec::new() }
    }

    pub(super) fn push(&mut self, op: Op) {
        self.pending.push(op);
    }

    /// Whether something is on its way to the platters.
    pub(super) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Everything has reached the platters.
    pub(super) fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let content = self.durable.take();
        self.durable = pending.iter().fold(content, |content, op| carried(content, op, |_| true));
    }

    /// The folder has reached the platters: names that were made or removed are so for good, and
    /// what was written under them since is as uncertain as before.
    pub(super) fn flush_name(&mut self) {
        let is_of_folder = |op: &Op| matches!(op, Op::Create | Op::Remove);
        let Some(last) = self.pending.iter().rposition(is_of_folder) else { return };
        let of_name: Vec<_> = self.pending.drain(..=last).collect();
        for op in of_name {
            match op {
                Op::Remove => self.durable = None,
                Op::Create => self.durable = Some(self.durable.take().unwrap_or_default()),
                Op::Truncate(_) | Op::Write(..) => {}
            }
        }
    }

    /// A flush failed: some of it may have reached the platters, and the system believes that all
    /// of it is clean. No later flush will write it.
    pub(super) fn lose(&mut self, rng: &mut Rng) {
        self.durable = self.after_cut(rng);
        self.pending.clear();
    }

    /// What is there when the power comes back.
    pub(super) fn after_cut(&self, rng: &mut Rng) -> Option<Vec<u8>> {
        let mood = rng.below(4);
        let mut content = self.durable.clone();
        for op in &self.pending {
            let is_kept = match mood {
                0 => false,
                1 => true,
                _ => rng.below(2) == 0,
            };
            match op {
                // What followed was done to a file that this name never led to.
                Op::Create | Op::Remove if !is_kept => return content,
                Op::Write(..) if mood == 3 => {
                    content = carried(content, op, |_| rng.below(2) == 0);
                }
                op if is_kept => content = carried(content, op, |_| true),
                _ => {}
            }
        }
        content
    }
}

/// The content after an operation, of which `keeps` says which sectors reach the platters.
fn carried(
    content: Option<Vec<u8>>,
    op: &Op,
    mut keeps: impl FnMut(usize) -> bool,
) -> Option<Vec<u8>> {
    let mut bytes = match op {
        Op::Remove => return None,
        _ => content.unwrap_or_default(),
    };
    match op {
        Op::Truncate(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Op::Write(offset, written) => {
            let start = usize::try_from(*offset).unwrap();
            let end = start + written.len();
            let mut at = start;
            while at < end {
                let next = end.min((at / SECTOR + 1) * SECTOR);
                if keeps(at / SECTOR) {
                    if bytes.len() < next {
                        bytes.resize(next, 0);
                    }
                    bytes[at..next].copy_from_slice(&written[at - start..next - start]);
                }
                at = next;
            }
        }
        Op::Create | Op::Remove => {}
    }
    Some(bytes)
}

/// What a disk writes at once.
const SECTOR: usize = 512;
