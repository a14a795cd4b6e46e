//! Receipts leave the ledger once they are archived and nothing depends on them any more.

use crate::digest::{Digest32, Framed};

/// Lets receipts go: those that entries up to a place in the chain recorded, and that are final. A
/// receipt is final when the voucher that collects its fee has ended, or when none ever will: its
/// user has no escrow, or it costs nothing. The entries, movements and holds stay, and so does the
/// chain: an archived receipt can be proved against it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retire {
    /// The last place in the chain.
    pub upto: u64,
    /// The SHA-256 of the newest archive; those before it lead up to it.
    pub archive: Digest32,
}

impl Retire {
    /// A hash over every field, which the ledger chains.
    pub fn digest(&self) -> Digest32 {
        let framed = Framed::new("broker-core.retire.v1");
        framed.part(&self.upto.to_be_bytes()).part(&self.archive.0).finish()
    }
}
