//! Books that contradict themselves are noticed before anything is written.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;

use books::{capture, hold, neuron, release, user};
use broker_core::rules::{KnownHold, View, decide, moved};
use broker_core::{Account, Bucket, HoldState, Movement, ReleaseReason};

#[test]
fn a_hold_that_the_account_does_not_hold_stops_the_ledger() {
    let held = hold(1, user(1), 10);
    let account = Account { cover: neuron(100), held: neuron(9), ..Account::default() };
    let known = KnownHold { hold: held.clone(), state: HoldState::Open };
    let view = View { account, hold: Some(known), ..View::default() };
    assert!(decide(&view, &capture(&held, 3)).is_err());
    assert!(decide(&view, &release(1, ReleaseReason::Crashed)).is_err());
}

#[test]
fn an_account_whose_sums_leave_the_range_of_money_stops_the_ledger() {
    let most = neuron(u128::MAX);
    let account = Account { cover: most, held: most, earned: most, ..Account::default() };
    let known = KnownHold { hold: hold(1, user(1), 10), state: HoldState::Open };
    let view = View { account, hold: Some(known), ..View::default() };
    assert!(decide(&view, &release(1, ReleaseReason::Crashed)).is_err());
}

#[test]
fn no_bucket_goes_below_zero() {
    use Bucket::{Available, Earned, Held, Vouchered, World};
    for debit in [Held, Earned, Vouchered] {
        let movement = Movement { user: user(1), debit, credit: Available, amount: neuron(1) };
        assert_eq!(moved(&Account::default(), &movement), None, "{debit:?}");
    }
    let out = Movement { user: user(1), debit: Available, credit: World, amount: neuron(1) };
    assert_eq!(moved(&Account::default(), &out), None);
}
