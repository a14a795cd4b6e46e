//! Receipts as they come: one document after another, alone, with their places in the log, or in
//! the pages of `GET /v1/receipts`.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::plain::Plain;
use super::{Line, LineFault, Recount, Rules};
use crate::receipt::{ReadReceipt, ReceiptId};

/// Checks all receipts in `text`, which holds whole JSON documents, in their order.
pub fn check_all(rules: &Rules, text: &[u8], to: &mut Vec<Result<Line, LineFault>>) {
    each(text, &mut |found| {
        let checked = found.and_then(|(document, plain)| match plain {
            Some(plain) => rules.plain(&plain, document),
            None => rules.read(ReadReceipt::parse(document)?),
        });
        match checked {
            Err(fault) if fault.of_form() => push_fault(to, fault),
            checked => to.push(checked),
        }
    });
}

/// A file of nothing but faults is counted in little memory: of many in a row the first are named.
fn push_fault(to: &mut Vec<Result<Line, LineFault>>, fault: LineFault) {
    if let Some(Err(LineFault::More(count))) = to.last_mut() {
        *count = count.saturating_add(1);
        return;
    }
    let of_form = |one: &Result<Line, LineFault>| one.as_ref().is_err_and(LineFault::of_form);
    let named = to.iter().rev().take(NAMED_IN_A_ROW).take_while(|one| of_form(one)).count();
    to.push(Err(if named < NAMED_IN_A_ROW { fault } else { LineFault::More(1) }));
}

/// Counts the ids of all receipts in `text`.
pub fn recount(text: &[u8], recount: &mut Recount) {
    each(text, &mut |found| {
        let id = found.ok().and_then(|(document, plain)| match plain {
            Some(plain) => Some(plain.id),
            None => ReceiptId::parse(&ReadReceipt::parse(document).ok()?.id),
        });
        if let Some(id) = id {
            recount.count(&id);
        }
    });
}

/// A receipt's own text, and what the quick reader makes of it.
type Found<'a> = Result<(&'a [u8], Option<Plain<'a>>), LineFault>;

fn plain(document: &[u8]) -> Option<Plain<'_>> {
    std::str::from_utf8(document).ok().and_then(Plain::read)
}

/// Hands on every receipt.
fn each(text: &[u8], to: &mut impl FnMut(Found<'_>)) {
    let text = text.trim_ascii();
    if let Some(plain) = plain(text) {
        return to(Ok((text, Some(plain))));
    }
    for document in serde_json::Deserializer::from_slice(text).into_iter::<&RawValue>() {
        match document {
            Ok(document) => unpack(document.get().as_bytes(), PAGE, to),
            Err(error) => return to(Err(LineFault::NotJson(error.to_string()))),
        }
    }
}

/// A page holds receipts, each with its place in the log or alone.
#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    data: Option<Items<'a>>,
    #[serde(borrow)]
    receipt: Option<&'a RawValue>,
}

/// What a page holds, up to more than any page of ours.
struct Items<'a> {
    items: Vec<&'a RawValue>,
    more: u64,
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of receipts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut read = Items { items: Vec::new(), more: 0 };
                while read.items.len() < ITEMS_MAX {
                    let Some(item) = list.next_element()? else { return Ok(read) };
                    read.items.push(item);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    read.more = read.more.saturating_add(1);
                }
                Ok(read)
            }
        }
        from.deserialize_seq(Reader)
    }
}

fn unpack(document: &[u8], depth: u8, to: &mut impl FnMut(Found<'_>)) {
    if let Some(plain) = plain(document) {
        return to(Ok((document, Some(plain))));
    }
    match serde_json::from_slice::<Wrapped<'_>>(document) {
        Ok(Wrapped { data: Some(Items { items, more }), .. }) if depth > 0 => {
            for item in items {
                unpack(item.get().as_bytes(), depth.saturating_sub(1), to);
            }
            if more > 0 {
                let why = format!("a page of {ITEMS_MAX} documents and {more} more, not read");
                to(Err(LineFault::NotJson(why)));
            }
        }
        Ok(Wrapped { receipt: Some(receipt), .. }) => {
            let receipt = receipt.get().as_bytes();
            to(Ok((receipt, plain(receipt))));
        }
        // What is neither is for the reader of receipts to name.
        _ => to(Ok((document, None))),
    }
}

/// Pages hold receipts, and no pages.
const PAGE: u8 = 1;
/// Of documents in a row that are no receipts so many are named.
const NAMED_IN_A_ROW: usize = 16;
/// Documents of a page that are read: receipts of more would be larger than any page may be.
const ITEMS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Invoice, Kind, Scope, Tariffs};

    #[test]
    fn a_page_of_nothing_but_faults_is_counted_and_not_held() {
        let rules = Rules { keysets: Vec::new(), tariffs: Tariffs::default(), leaves: false };
        let page = |count| format!("{{\"data\":[{}1]}}", "1,".repeat(count));
        for (count, told) in [(1000_usize, 1000_u64), (ITEMS_MAX + 7, ITEMS_MAX as u64 + 1)] {
            let mut checked = Vec::new();
            check_all(&rules, page(count - 1).as_bytes(), &mut checked);
            assert_eq!(checked.len(), NAMED_IN_A_ROW + 1);
            let mut invoice = Invoice::new(Scope::default());
            checked.into_iter().for_each(|one| invoice.add(one));
            let (bill, _) = invoice.finish();
            assert_eq!((bill.documents, bill.tally(Kind::Form).unwrap().count), (told, told));
        }
    }
}
