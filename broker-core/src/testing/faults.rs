//! What goes wrong, by order or by chance.

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The transaction is accepted and never mined.
    Dropped,
    /// It is mined so many blocks later.
    Delayed(u64),
    /// The same vouchers are sent in two transactions.
    Duplicated,
    /// It is mined under another hash than the one that was answered.
    Replaced,
    /// It is mined and reverts: it costs gas and does nothing.
    Reverted,
    /// The same with a batch, which is sent again in two halves.
    OutOfGas,
    /// The node takes the transaction and answers with an error.
    ErrorAfter,
    /// The node takes nothing and answers with an error.
    ErrorBefore,
    /// The node cannot be reached for so many calls.
    Down(u32),
    /// Gas is dearer than the wallet's cap for so many blocks.
    GasSpike(u64),
}

/// How often things go wrong, of a thousand times each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Something that the wallet sends meets one of the faults of transactions.
    pub send: u32,
    /// The node is down from a call on, for a few calls.
    pub down: u32,
    /// A new block is followed by a reorganisation.
    pub reorg: u32,
    /// Gas is too dear from a block on, for a few blocks.
    pub spike: u32,
    /// The host sends a voucher of its choice, from all that it has ever seen, in a block.
    pub host: u32,
    /// The node has lost the events when it is asked for them.
    pub pruned: u32,
}

impl Faults {
    /// Weather in which little works at the first try.
    pub const fn rough() -> Self {
        Self { send: 400, down: 40, reorg: 60, spike: 20, host: 50, pruned: 30 }
    }
}

/// Random numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The numbers of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 for an `end` of 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64().checked_rem(end).unwrap_or_default()
    }

    /// True so many times of a thousand.
    pub fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.below(1_000) < u64::from(permille)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        let index = usize::try_from(self.below(items.len() as u64)).ok()?;
        items.get(index)
    }

    /// A fault of transactions.
    pub(super) fn fault_of_sending(&mut self) -> Fault {
        match self.below(8) {
            0 => Fault::Dropped,
            1 => Fault::Delayed(self.below(20).saturating_add(1)),
            2 => Fault::Duplicated,
            3 => Fault::Replaced,
            4 => Fault::Reverted,
            5 => Fault::OutOfGas,
            6 => Fault::ErrorAfter,
            _ => Fault::ErrorBefore,
        }
    }
}
