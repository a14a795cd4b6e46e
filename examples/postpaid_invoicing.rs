//! `postpaid-invoicing [--json]`: customers who pay later. Sums the receipts of each account and
//! month, as CSV or as a JSON object a line, on stdout. Amounts are whole neuron, never floats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_core::{
    Broker, Clock, Cover, Error, LocalSigner, MemoryLedger, Neuron, Receipt, ReceiptId, Refusal,
    RequestQuery, Tariff, Timestamp, Usage, UserId,
};

/// What an account owes for a month.
#[derive(Default)]
struct Invoice {
    requests: u64,
    input_tokens: u64,
    output_tokens: u64,
    fee: Neuron,
}

/// A year, a month from 1 to 12, and an account.
type Row = (u64, u64, UserId);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let as_json = std::env::args().any(|argument| argument == "--json");
    let broker = three_months_of_work().await?;

    let receipts = receipts(&broker).await?;
    let invoices = invoices(receipts.values())?;
    if !as_json {
        println!("month,account,requests,input_tokens,output_tokens,fee_neuron");
    }
    for ((year, month, user), invoice) in &invoices {
        let Invoice { requests, input_tokens, output_tokens, fee } = invoice;
        if as_json {
            // Amounts are strings, since many programs read JSON's numbers as floats.
            println!(
                "{{\"month\":\"{year}-{month:02}\",\"account\":\"{user}\",\"requests\":{requests},\
                 \"input_tokens\":{input_tokens},\"output_tokens\":{output_tokens},\
                 \"fee_neuron\":\"{fee}\"}}"
            );
        } else {
            println!("{year}-{month:02},{user},{requests},{input_tokens},{output_tokens},{fee}");
        }
    }

    // What is invoiced is what the ledger says was earned, to the neuron.
    let mut sums = invoices.values().map(|invoice| invoice.fee);
    let invoiced = sums.try_fold(Neuron::ZERO, Neuron::checked_add);
    assert_eq!(invoiced, Some(broker.totals().await?.earned));
    assert_eq!(broker.audit().await?.fault, None);
    eprintln!("{} receipts in {} invoices; audit clean", receipts.len(), invoices.len());
    assert_eq!((receipts.len(), invoices.len()), (30, 5));
    Ok(())
}

/// Every receipt, a page at a time. Work that ends meanwhile moves the pages, so a receipt may come
/// twice; it counts once.
async fn receipts(broker: &Broker) -> Result<BTreeMap<ReceiptId, Receipt>, Error> {
    let mut found = BTreeMap::new();
    let mut query = RequestQuery { limit: 7, ..RequestQuery::default() };
    loop {
        let page = broker.requests(query).await?;
        query.offset = query.offset.saturating_add(page.items.len() as u64);
        let is_last = page.items.is_empty();
        found.extend(page.items.into_iter().map(|row| (row.receipt.id, row.receipt)));
        if is_last {
            return Ok(found);
        }
    }
}

fn invoices<'a>(
    receipts: impl Iterator<Item = &'a Receipt>,
) -> Result<BTreeMap<Row, Invoice>, Error> {
    let mut invoices: BTreeMap<Row, Invoice> = BTreeMap::new();
    for receipt in receipts {
        let (year, month) = month_of(receipt.served_at);
        let invoice = invoices.entry((year, month, receipt.user)).or_default();
        invoice.requests += 1;
        invoice.input_tokens += receipt.usage.input;
        invoice.output_tokens += receipt.usage.output;
        invoice.fee = invoice.fee.checked_add(receipt.fee).ok_or(Refusal::OutOfRange)?;
    }
    Ok(invoices)
}

/// The year and the month (1 to 12) of a moment, in UTC.
fn month_of(at: Timestamp) -> (u64, u64) {
    let mut days = at.as_secs() / 86_400;
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month)
}

/// A clock that the example turns.
#[derive(Clone, Default)]
struct Calendar(Arc<AtomicU64>);

impl Clock for Calendar {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Two customers, one of whom comes in January 2028, and both in February and March.
async fn three_months_of_work() -> Result<Broker, Error> {
    let calendar = Calendar::default();
    let broker = Broker::builder()
        .ledger(MemoryLedger::new())
        .tariff(Tariff::per_token(Neuron::new(100_000), Neuron::new(200_000)))
        .signer(LocalSigner::from_secret(&[7; 32])?) // a key that everybody knows: yours here
        .clock(calendar.clone())
        .start()?;
    let users = ["acme", "globex"].map(UserId::named);
    for user in users {
        broker.mirror(user, Cover::Unlimited).await?;
    }
    let body = br#"{"messages":[{"role":"user","content":"hi"}],"max_tokens":64}"#;
    // The last second of January, of February in a leap year, and the first of March.
    for (month, at_secs) in [1_832_975_999, 1_835_481_599, 1_835_481_600_u64].iter().enumerate() {
        calendar.0.store(at_secs * 1_000, Ordering::Relaxed);
        for (index, user) in users.iter().enumerate().skip(usize::from(month == 0)) {
            for request in 0..6_u64 {
                let nonce = format!("{month}-{request}");
                let hold = broker.reserve(*user, nonce, body).await?;
                let usage = Usage::new(20 + index as u64, 7 * (request + 1));
                hold.capture(usage, b"Hello.").await?;
            }
        }
    }
    Ok(broker)
}
