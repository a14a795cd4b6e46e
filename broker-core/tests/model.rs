//! Random commands, made to collide: every ledger decides and ends up as the model does.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[cfg(feature = "postgres")]
#[path = "model/postgres.rs"]
mod postgres;

use books::{NOW, hold, key, neuron, receipt, receipt_id, user};
use broker_core::{
    AuditReport, Command, Cover, Digest32, Fingerprint, Hold, Ledger, LedgerReader, MemoryLedger,
    Receipt, ReleaseReason, SqliteLedger, SqliteReader, Usage,
};
use proptest::prelude::*;

const USERS: u8 = 3;
const KEYS: u8 = 10;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_and_the_model_never_differ(batches in batches()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let mut sqlite = SqliteLedger::open(&path).unwrap();
        let reader = SqliteReader::open(&path).unwrap();
        let mut model = MemoryLedger::new();
        for (round, batch) in (0..).zip(&batches) {
            let now = NOW.plus_millis(round);
            let expected = Ledger::apply(&mut model, batch, now).unwrap();
            prop_assert_eq!(sqlite.apply(batch, now).unwrap(), expected);
            compare(&sqlite, &reader, &model)?;
        }
        let report = sqlite.audit().unwrap();
        prop_assert_eq!(&report.fault, &None);
        compare_totals(&reader, &model, &report)?;
        prop_assert_eq!(report, Ledger::audit(&model).unwrap());
    }
}

fn compare(
    sqlite: &dyn Ledger,
    reader: &dyn LedgerReader,
    model: &MemoryLedger,
) -> Result<(), TestCaseError> {
    for n in 0..USERS {
        let account = sqlite.account(&user(n)).unwrap();
        prop_assert_eq!(account, Ledger::account(model, &user(n)).unwrap());
        prop_assert!(account.available() <= account.cover);
    }
    prop_assert_eq!(sqlite.open_holds().unwrap(), model.open_holds().unwrap());
    for n in 0..KEYS {
        let id = receipt_id(n);
        prop_assert_eq!(reader.hold_state(&id).unwrap(), model.hold_state(&id).unwrap());
        prop_assert_eq!(reader.receipt(&id).unwrap(), model.receipt(&id).unwrap());
    }
    for owner in [None, Some(user(0)), Some(user(1))] {
        let (id, owner) = ("engine", owner.as_ref());
        let expected = model.receipt_by_upstream_id(id, owner).unwrap();
        prop_assert_eq!(reader.receipt_by_upstream_id(id, owner).unwrap(), expected);
    }
    Ok(())
}

/// Sums that leave the range of money are an error, and no total.
fn compare_totals(
    reader: &dyn LedgerReader,
    model: &MemoryLedger,
    report: &AuditReport,
) -> Result<(), TestCaseError> {
    let accounts = (0..USERS).map(|n| Ledger::account(model, &user(n)).unwrap());
    let sums = accounts.into_iter().try_fold([neuron(0); 3], |[held, earned, vouchered], a| {
        let held = held.checked_add(a.held)?;
        Some([held, earned.checked_add(a.earned)?, vouchered.checked_add(a.vouchered)?])
    });
    let totals = reader.totals().ok();
    prop_assert_eq!(totals.map(|t| [t.held, t.earned, t.vouchered]), sums);
    if let Some(t) = totals {
        let expected = (report.accounts, report.receipts, report.open_holds);
        prop_assert_eq!((t.accounts, t.receipts, t.open_holds), expected);
    }
    Ok(())
}

/// Up to sixty commands, cut into batches at random.
fn batches() -> impl Strategy<Value = Vec<Vec<Command>>> {
    let cut_after = proptest::bool::weighted(0.2);
    proptest::collection::vec((command(), cut_after), 1..=60).prop_map(|commands| {
        let mut batches = vec![Vec::new()];
        for (command, cut) in commands {
            if let Some(batch) = batches.last_mut() {
                batch.push(command);
            }
            if cut {
                batches.push(Vec::new());
            }
        }
        batches
    })
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        2 => (0..USERS, cover()).prop_map(|(n, cover)| Command::Mirror { user: user(n), cover }),
        6 => reserve(),
        5 => capture(),
        2 => (0..KEYS, reason()).prop_map(|(n, why)| Command::Release { key: key(n), why }),
    ]
}

fn cover() -> impl Strategy<Value = Cover> {
    prop_oneof![
        5 => (0..300u128).prop_map(|total| Cover::UpTo(neuron(total))),
        1 => Just(Cover::UpTo(neuron(u128::MAX))),
        2 => Just(Cover::Unlimited),
    ]
}

fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![2 => Just(0), 12 => 1..80u128, 1 => Just(u128::MAX - 40)]
}

/// Mostly the hold that its key stands for; sometimes another fingerprint, receipt or user.
fn reserve() -> impl Strategy<Value = Command> {
    (0..KEYS, amount(), 0..20u8, 0..USERS, 0..KEYS).prop_map(|(n, amount, twist, other, id)| {
        let plain = hold(n, user(n % USERS), amount);
        Command::Reserve(match twist {
            0 => Hold { fingerprint: Fingerprint(Digest32([99; 32])), ..plain },
            1 => Hold { receipt: receipt_id(id), ..plain },
            2 => Hold { user: user(other), ..plain },
            _ => plain,
        })
    })
}

/// Mostly a receipt that fits; often with a fee above the hold.
fn capture() -> impl Strategy<Value = Command> {
    (0..KEYS, amount(), 0..20u8, 0..KEYS).prop_map(|(n, fee, twist, id)| {
        let plain = receipt(&hold(n, user(n % USERS), 0), fee);
        let receipt = Box::new(match twist {
            0 => Receipt { id: receipt_id(id), ..plain },
            1 => Receipt { user: user(id % USERS), ..plain },
            2 => Receipt { usage: Usage { input: 7, ..plain.usage }, ..plain },
            3..=9 => Receipt { upstream_id: Some("engine".to_owned()), ..plain },
            _ => plain,
        });
        Command::Capture { key: key(n), receipt }
    })
}

fn reason() -> impl Strategy<Value = ReleaseReason> {
    prop_oneof![
        Just(ReleaseReason::Crashed),
        Just(ReleaseReason::Expired),
        Just(ReleaseReason::NotForwarded),
    ]
}
