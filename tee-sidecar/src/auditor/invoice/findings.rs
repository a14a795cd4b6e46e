//! What an invoice comes to, in findings.

use broker_core::verify::{Bill, Covered, Kind, Recount, Tally, VoucherFault};

use super::InvoiceFiles;
use super::settlement::Doubts;
use crate::evidence::audit::Audit;

/// Notes everything that was found. Receipts and settlements that are not at hand refute nothing.
pub(super) fn note(
    audit: &mut Audit,
    bill: &Bill,
    ids: &Recount,
    (asked, doubts): (&InvoiceFiles, &Doubts),
) {
    if bill.documents == 0 {
        return audit.missing("invoice", "there is no receipt in the file");
    }
    faults(audit, bill);
    if bill.total.receipts == 0 {
        audit.missing("invoice", "no receipt in the file is within the bill");
    }
    totals(audit, bill);
    repeats(audit, bill, ids);
    gaps(audit, bill, (asked, doubts));
    let mut doubted = false;
    for covered in &bill.covered {
        let doubt = doubt(bill, doubts, covered, doubted);
        voucher(audit, covered, doubt);
        doubted |= doubt.is_some();
    }
    if !bill.covered.is_empty() {
        outside(audit, bill);
    }
}

/// Whether documents of the file count for nothing because something is missing.
fn unread(bill: &Bill, doubts: &Doubts) -> bool {
    doubts.cut || [Kind::Form, Kind::UnknownKeyset].iter().any(|kind| bill.tally(*kind).is_some())
}

/// Why a voucher that does not fit may be good all the same.
fn doubt(
    bill: &Bill,
    doubts: &Doubts,
    covered: &Covered,
    doubted_before: bool,
) -> Option<&'static str> {
    use VoucherFault::{OtherReceipts, TooMuch, Total, Unreached};
    match covered.fault.as_ref()? {
        Total { .. } | TooMuch { .. } | OtherReceipts | Unreached if unread(bill, doubts) => {
            Some("documents of the file count for nothing, as said above")
        }
        Total { .. } | TooMuch { .. } | OtherReceipts | Unreached if doubts.incomplete => {
            Some("not every settlement is at hand")
        }
        Total { .. } | TooMuch { .. } if doubts.carry_of.contains(&covered.settled.nonce) => Some(
            "a chain does not show what the voucher before it left unpaid: give --carry, 0 \
                  where it left nothing",
        ),
        Unreached if doubted_before => Some("the one before it may be good"),
        _ => None,
    }
}

fn faults(audit: &mut Audit, bill: &Bill) {
    for (kind, tally) in &bill.faults {
        let text = told(tally);
        match kind {
            Kind::Form => audit.malformed("invoice.form", text),
            Kind::Contradiction => audit.refuted("invoice.form", text),
            Kind::UnknownKeyset => audit.missing("invoice.keyset", text),
            Kind::Signature => audit.refuted("invoice.signature", text),
            Kind::Account => audit.refuted("invoice.account", text),
            Kind::UnknownTariff => audit.missing("invoice.tariff", text),
            Kind::Overcharge => {
                let over = bill.overcharged;
                let text = format_args!("{over} neuron too much in all; {text}");
                audit.refuted("invoice.overcharge", text);
            }
            Kind::Fee => audit.refuted("invoice.fee", text),
            Kind::Unpromised => audit.refuted("invoice.log", text),
            Kind::SequenceRepeat => audit.refuted("invoice.repeats", text),
            Kind::Scattered => audit.missing("invoice.gaps", text),
        }
    }
}

fn told(tally: &Tally) -> String {
    let more = if tally.count > tally.first.len() as u64 { ", and more" } else { "" };
    format!("{}: {}{more}", receipts(tally.count), tally.first.join("; "))
}

fn receipts(count: u64) -> String {
    if count == 1 { "1 receipt".to_owned() } else { format!("{count} receipts") }
}

fn totals(audit: &mut Audit, bill: &Bill) {
    let total = bill.total;
    if let (Some(account), true) = (bill.account, total.receipts > 0) {
        let what = format_args!(
            "{}, signed, charge {account} {} neuron",
            receipts(total.receipts),
            total.fees
        );
        audit.proved("invoice.total", what);
    }
    for ((tariff, outcome), sum) in &bill.sums {
        let (count, fees) = (receipts(sum.receipts), sum.fees);
        let what = format_args!("{outcome}: {count}, {fees} neuron by the tariff sha256:{tariff}");
        audit.proved("invoice.sum", what);
    }
    let wrong = [Kind::Overcharge, Kind::Fee, Kind::UnknownTariff];
    if total.receipts > 0 && wrong.iter().all(|kind| bill.tally(*kind).is_none()) {
        audit.proved("invoice.fees", "every fee is what its usage and its tariff come to");
    }
    if !bill.sequences.is_empty() {
        let what = "that each receipt stands in the log is for `verify receipt` to show";
        audit.not_checked("invoice.log", what);
    }
    if bill.skipped > 0 {
        let what = format_args!("{} are outside of the range asked for", receipts(bill.skipped));
        audit.not_checked("invoice.range", what);
    }
}

fn repeats(audit: &mut Audit, bill: &Bill, ids: &Recount) {
    if bill.ids_unchecked {
        let why = "too many receipts to tell whether an id is there twice: give them in parts";
        return audit.missing("invoice.repeats", why);
    }
    let mut repeated = ids.repeated();
    if let Some((id, times)) = repeated.next() {
        let others = repeated.count();
        let why = format_args!("{id} is there {times} times; {others} other ids are repeated too");
        audit.refuted("invoice.repeats", why);
    } else if ids.lost() > 0 {
        let why = "the file was another one when it was read again: nobody knows whether an id is \
                   there twice";
        audit.missing("invoice.repeats", why);
    } else if bill.tally(Kind::SequenceRepeat).is_none() && bill.total.receipts > 0 {
        audit.proved("invoice.repeats", "no receipt and no exchange is there twice");
    }
}

fn gaps(audit: &mut Audit, bill: &Bill, (asked, doubts): (&InvoiceFiles, &Doubts)) {
    let mut first = Vec::new();
    let (mut runs, mut missing) = (0_u64, 0_u64);
    for (from, to) in bill.gaps() {
        runs += 1;
        missing = missing.saturating_add(to.abs_diff(from).saturating_add(1));
        if first.len() < GAPS_SHOWN {
            first.push(if from == to { from.to_string() } else { format!("{from} to {to}") });
        }
    }
    let ends = bill.sequences.values().filter_map(broker_core::verify::Runs::ends);
    let ends: Vec<_> = ends.map(|(from, to)| format!("{from} to {to}")).collect();
    if bill.sequences.len() > 1 {
        let what = format_args!("{} logs, each with a count of its own", bill.sequences.len());
        audit.not_checked("invoice.logs", what);
    }
    if runs > 0 {
        let more = if runs > first.len() as u64 { ", …" } else { "" };
        let why = format_args!(
            "{missing} of the account's exchanges are missing ({}{more}): withheld, cut off by a \
             crash, which costs nothing, or in the host's archive after its retention",
            first.join(", ")
        );
        return match (asked.no_gaps, asked.gaps_allowed) {
            (true, _) if unread(bill, doubts) => {
                let doubt = "documents of the file count for nothing, as said above";
                audit.missing("invoice.gaps", format_args!("{why}; {doubt}"));
            }
            (true, _) => audit.refuted("invoice.gaps", why),
            (false, true) => audit.not_checked("invoice.gaps", why),
            (false, false) => {
                let hint = "--gaps-allowed where you know of such a crash";
                audit.missing("invoice.gaps", format_args!("{why}; {hint}"));
            }
        };
    }
    if ends.is_empty() && bill.total.receipts > 0 {
        let why = "no receipt has a number among the account's exchanges: nothing shows whether \
                   any is missing";
        return match asked.gaps_allowed {
            true => audit.not_checked("invoice.gaps", why),
            false => audit.missing("invoice.gaps", why),
        };
    }
    if !ends.is_empty() {
        let what = format_args!("the account's exchanges {} are all there", ends.join(", "));
        audit.proved("invoice.gaps", what);
    }
}

fn voucher(audit: &mut Audit, covered: &Covered, doubt: Option<&str>) {
    let (nonce, total) = (covered.settled.nonce, covered.settled.total);
    let carry = covered.settled.carry;
    let carried = match carry.is_zero() {
        true => String::new(),
        false => format!(" and of {carry} neuron that are carried over"),
    };
    match &covered.fault {
        None => {
            let what = format_args!(
                "nonce {nonce}: its {total} neuron and its requestsHash are those of {}{carried}",
                receipts(covered.receipts)
            );
            audit.proved("settlement", what);
        }
        Some(fault) => match doubt {
            Some(doubt) => {
                audit.missing("settlement", format_args!("nonce {nonce}: {fault}; {doubt}"));
            }
            None => audit.refuted("settlement", format_args!("nonce {nonce}: {fault}")),
        },
    }
}

fn outside(audit: &mut Audit, bill: &Bill) {
    let outside = bill.outside;
    if outside.before > 0 {
        let what = format_args!("{} with a fee stand before it", receipts(outside.before));
        audit.not_checked("settlement.before", what);
    }
    if outside.behind > 0 {
        let what = format_args!(
            "{} with {} neuron in all stand behind it and are not paid by it",
            receipts(outside.behind),
            outside.behind_fees
        );
        audit.not_checked("settlement.behind", what);
    }
}

/// Gaps that are named.
const GAPS_SHOWN: usize = 5;
