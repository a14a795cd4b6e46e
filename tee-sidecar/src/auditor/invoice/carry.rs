//! What each voucher carries over from the one before it: a file's own word is not enough.

use broker_core::Neuron;
use broker_core::verify::Settled;

use super::settlement::Doubts;
use crate::evidence::audit::Audit;

/// A voucher, and what it left unpaid where something shows that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) settled: Settled,
    pub(super) unpaid: Option<Neuron>,
    /// Whoever shows it also says what it carries over; a chain does not.
    pub(super) tells_carry: bool,
}

/// The vouchers in their order, each with what it carries over: `first` before the first one, and
/// before each other what the one before it was shown to leave unpaid.
pub(super) fn carried(
    audit: &mut Audit,
    mut shown: Vec<Shown>,
    first: Option<Neuron>,
    doubts: &mut Doubts,
) -> Vec<Settled> {
    shown.sort_by_key(|shown| shown.settled.nonce);
    let mut known = first;
    let mut vouchers = Vec::new();
    for Shown { mut settled, unpaid, tells_carry } in shown {
        let (nonce, told) = (settled.nonce, settled.carry);
        match known {
            Some(rest) if told.is_zero() || told == rest => settled.carry = rest,
            Some(rest) if vouchers.is_empty() => settled.carry = rest,
            Some(rest) => {
                let why = format_args!(
                    "nonce {nonce}: it says that it carries {told} neuron over, and the voucher \
                     before it left {rest} unpaid"
                );
                audit.missing("settlement.carry", why);
            }
            None if told.is_zero() => {
                if !tells_carry {
                    doubts.carry_of.insert(nonce);
                }
            }
            None => {
                let why = format_args!(
                    "nonce {nonce}: it says that {told} neuron of it are carried over, and \
                     nothing shows that the voucher before it left them unpaid: {}",
                    if vouchers.is_empty() {
                        "give --carry, where you know it"
                    } else {
                        "give the transaction of the one before it"
                    }
                );
                audit.missing("settlement.carry", why);
            }
        }
        vouchers.push(settled);
        known = unpaid;
    }
    vouchers
}
