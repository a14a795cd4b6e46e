//! Every ledger gives the same answers: one list of scenarios, run against each of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "shared/books.rs"]
mod books;
#[cfg(feature = "postgres")]
#[path = "shared/pg.rs"]
mod pg;
#[path = "shared/rig.rs"]
mod rig;

use books::{NOW, capture, hold, key, neuron, receipt, receipt_id, release, user};
use broker_core::receipt::{Claims, LedgerPlace, Proof};
use broker_core::{
    Account, Applied, Command, Cover, Digest32, Fingerprint, HoldState, Receipt, Refusal,
    ReleaseReason, Tariff, Usage, recover,
};
use rig::Rig;

macro_rules! scenarios {
    ($($name:ident)*) => {
        mod memory {
            $(#[test]
            fn $name() {
                super::$name(&mut super::Rig::memory());
            })*
        }
        #[cfg(feature = "sqlite")]
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&mut super::Rig::sqlite());
            })*
        }
        #[cfg(feature = "postgres")]
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(mut rig) = super::Rig::postgres() {
                    super::$name(&mut rig);
                }
            })*
        }
    };
}

scenarios! {
    an_empty_ledger_is_sound
    a_hold_sets_money_aside_and_a_capture_earns_the_fee
    a_key_is_used_for_money_once_for_ever
    a_receipt_id_is_used_once
    a_hold_needs_cover_to_the_last_neuron
    an_unlimited_account_is_topped_up_by_exactly_what_lacks
    a_cover_below_what_is_spent_leaves_nothing_available
    a_capture_has_to_fit_its_hold
    a_fee_follows_from_the_usage_and_is_the_hold_at_most
    every_command_that_is_carried_out_leaves_one_entry
    a_hold_ends_once
    a_refusal_does_not_disturb_its_neighbours
    free_requests_move_nothing_and_are_recorded
    amounts_beyond_64_bits_are_exact
    a_receipt_is_found_by_its_id
    an_engine_s_id_leads_to_the_first_receipt_of_an_account
    an_engine_may_take_an_id_of_ours_over
    a_hold_says_how_it_stands
    open_holds_come_oldest_first_and_recovery_frees_them
}

fn an_empty_ledger_is_sound(rig: &mut Rig) {
    assert_eq!(rig.account(user(1)), Account::default());
    assert_eq!(rig.run(&[]), []);
    let report = rig.audit();
    assert_eq!((report.entries, report.head, report.fault), (0, Digest32::default(), None));
}

fn a_hold_sets_money_aside_and_a_capture_earns_the_fee(rig: &mut Rig) {
    rig.cover(user(1), 100);
    let held = hold(1, user(1), 60);
    assert_eq!(rig.one(Command::Reserve(held.clone())), Ok(Applied::Held { account_seq: 1 }));
    assert_eq!(rig.buckets(user(1)), [100, 60, 0]);
    assert_eq!(rig.account(user(1)).available(), neuron(40));
    assert_eq!(rig.one(capture(&held, 25)), Ok(Applied::Captured { fee: neuron(25) }));
    assert_eq!(rig.buckets(user(1)), [100, 0, 25]);
    assert_eq!(rig.account(user(1)).available(), neuron(75));
    rig.assert_clean();
}

fn a_key_is_used_for_money_once_for_ever(rig: &mut Rig) {
    rig.cover(user(1), 100);
    rig.cover(user(2), 100);
    let first = hold(1, user(1), 10);
    rig.one(Command::Reserve(first.clone())).unwrap();
    let again = Command::Reserve(broker_core::Hold { receipt: receipt_id(9), ..first.clone() });
    let in_flight = Refusal::InFlight { receipt: receipt_id(1) };
    assert_eq!(rig.one(again.clone()), Err(in_flight));
    let fingerprint = Fingerprint(Digest32([9; 32]));
    let other = Command::Reserve(broker_core::Hold { fingerprint, ..first.clone() });
    assert_eq!(rig.one(other.clone()), Err(Refusal::KeyReused));
    let stranger = Command::Reserve(broker_core::Hold { user: user(2), ..first.clone() });
    assert_eq!(rig.one(stranger), Err(Refusal::KeyReused));
    rig.one(capture(&first, 10)).unwrap();
    let finished = Refusal::Finished { receipt: receipt_id(1) };
    assert_eq!(rig.one(again), Err(finished));
    assert_eq!(rig.one(other), Err(Refusal::KeyReused));

    let second = hold(2, user(1), 10);
    rig.one(Command::Reserve(second.clone())).unwrap();
    rig.one(release(2, ReleaseReason::NotForwarded)).unwrap();
    let spent = Refusal::Finished { receipt: receipt_id(2) };
    assert_eq!(rig.one(Command::Reserve(second)), Err(spent));
    rig.assert_clean();
}

fn a_receipt_id_is_used_once(rig: &mut Rig) {
    rig.cover(user(1), 100);
    rig.one(Command::Reserve(hold(1, user(1), 1))).unwrap();
    let other = broker_core::Hold { receipt: receipt_id(1), ..hold(2, user(1), 1) };
    assert_eq!(rig.one(Command::Reserve(other)), Err(Refusal::ReceiptIdTaken));
}

fn a_hold_needs_cover_to_the_last_neuron(rig: &mut Rig) {
    rig.cover(user(1), 100);
    rig.one(Command::Reserve(hold(1, user(1), 60))).unwrap();
    let refusal = Refusal::InsufficientFunds { available: neuron(40), needed: neuron(41) };
    assert_eq!(rig.one(Command::Reserve(hold(2, user(1), 41))), Err(refusal));
    let second = Ok(Applied::Held { account_seq: 2 });
    assert_eq!(rig.one(Command::Reserve(hold(2, user(1), 40))), second);
    let refusal = Refusal::InsufficientFunds { available: neuron(0), needed: neuron(1) };
    assert_eq!(rig.one(Command::Reserve(hold(3, user(1), 1))), Err(refusal));
    let third = Ok(Applied::Held { account_seq: 3 });
    assert_eq!(rig.one(Command::Reserve(hold(4, user(1), 0))), third);
    let nobody = Refusal::InsufficientFunds { available: neuron(0), needed: neuron(7) };
    assert_eq!(rig.one(Command::Reserve(hold(5, user(2), 7))), Err(nobody));
    rig.assert_clean();
}

fn an_unlimited_account_is_topped_up_by_exactly_what_lacks(rig: &mut Rig) {
    rig.cover(user(1), 30);
    rig.unlimited(user(1));
    assert_eq!(rig.buckets(user(1)), [30, 0, 0]);
    rig.one(Command::Reserve(hold(1, user(1), 20))).unwrap();
    assert_eq!(rig.buckets(user(1)), [30, 20, 0]);
    rig.one(Command::Reserve(hold(2, user(1), 25))).unwrap();
    assert_eq!(rig.buckets(user(1)), [45, 45, 0]);
    rig.one(release(1, ReleaseReason::Expired)).unwrap();
    rig.one(Command::Reserve(hold(3, user(1), 20))).unwrap();
    assert_eq!(rig.buckets(user(1)), [45, 45, 0]);
    rig.cover(user(1), 45);
    assert!(!rig.account(user(1)).unlimited);
    rig.assert_clean();
}

fn a_cover_below_what_is_spent_leaves_nothing_available(rig: &mut Rig) {
    rig.cover(user(1), 100);
    let held = hold(1, user(1), 80);
    rig.one(Command::Reserve(held.clone())).unwrap();
    rig.cover(user(1), 10);
    assert_eq!(rig.buckets(user(1)), [10, 80, 0]);
    assert_eq!(rig.account(user(1)).available(), neuron(0));
    let frozen = Refusal::InsufficientFunds { available: neuron(0), needed: neuron(0) };
    assert_eq!(rig.one(Command::Reserve(hold(2, user(1), 0))), Err(frozen));
    assert_eq!(rig.one(capture(&held, 50)), Ok(Applied::Captured { fee: neuron(50) }));
    assert_eq!(rig.buckets(user(1)), [10, 0, 50]);
    rig.cover(user(1), 60);
    assert_eq!(rig.account(user(1)).available(), neuron(10));
    rig.assert_clean();
}

fn a_capture_has_to_fit_its_hold(rig: &mut Rig) {
    rig.cover(user(1), 100);
    let held = hold(1, user(1), 10);
    assert_eq!(rig.one(capture(&held, 1)), Err(Refusal::UnknownHold));
    assert_eq!(rig.one(release(1, ReleaseReason::Expired)), Err(Refusal::UnknownHold));
    rig.one(Command::Reserve(held.clone())).unwrap();
    let above = Refusal::FeeAboveHold { held: neuron(10) };
    assert_eq!(rig.one(capture(&held, 11)), Err(above));
    for foreign in [
        Receipt { id: receipt_id(2), ..receipt(&held, 1) },
        Receipt { user: user(2), ..receipt(&held, 1) },
    ] {
        let command = Command::Capture { key: key(1), receipt: Box::new(foreign) };
        assert_eq!(rig.one(command), Err(Refusal::ForeignReceipt));
    }
    // What its document claims counts too: the amount held, and an exchange that there was.
    let proved = (2..4).map(|n| receipt(&hold(n, user(1), 10), 1)).find_map(|r| r.proof).unwrap();
    let place = proved.claims.ledger.unwrap();
    for claims in [
        Claims { hold: neuron(11), ..proved.claims.clone() },
        Claims { ledger: None, ..proved.claims.clone() },
        Claims { ledger: Some(LedgerPlace { account_seq: 0, ..place }), ..proved.claims.clone() },
        Claims { ledger: Some(LedgerPlace { account_seq: 2, ..place }), ..proved.claims.clone() },
    ] {
        let proof = Some(Box::new(Proof { claims, ..(*proved).clone() }));
        let claimed = Receipt { proof, ..receipt(&held, 1) };
        let command = Command::Capture { key: key(1), receipt: Box::new(claimed) };
        assert_eq!(rig.one(command), Err(Refusal::ForeignReceipt));
    }
    assert_eq!(rig.buckets(user(1)), [100, 10, 0]);
    assert_eq!(rig.one(capture(&held, 10)), Ok(Applied::Captured { fee: neuron(10) }));
    rig.assert_clean();
}

fn a_fee_follows_from_the_usage_and_is_the_hold_at_most(rig: &mut Rig) {
    rig.unlimited(user(1));
    let finish = |rig: &mut Rig, n: u8, prices: [u128; 2], input: u64, fee: u128| {
        let tariff = Tariff::per_token(neuron(prices[0]), neuron(prices[1]));
        let held = broker_core::Hold { tariff, ..hold(n, user(1), 10) };
        rig.run(&[Command::Reserve(held.clone())]);
        let usage = Usage { input, output: 2, ..Usage::default() };
        let receipt = Box::new(Receipt { usage, ..receipt(&held, fee) });
        rig.one(Command::Capture { key: key(n), receipt })
    };
    let due = |fee: u128| Refusal::WrongFee { due: neuron(fee) };
    let captured = |fee: u128| Ok(Applied::Captured { fee: neuron(fee) });
    assert_eq!(finish(rig, 1, [1, 2], 3, 8), Err(due(7)));
    assert_eq!(finish(rig, 1, [1, 2], 3, 7), captured(7));
    assert_eq!(finish(rig, 2, [1, 2], 50, 10), captured(10));
    assert_eq!(finish(rig, 3, [u128::MAX, 2], 2, 0), Err(due(10)));
    assert_eq!(finish(rig, 3, [u128::MAX, 2], 2, 10), captured(10));
    assert_eq!(finish(rig, 4, [0, 0], 50, 0), captured(0));
    rig.assert_clean();
}

fn every_command_that_is_carried_out_leaves_one_entry(rig: &mut Rig) {
    let covers = [Cover::UpTo(neuron(0)), Cover::Unlimited, Cover::Unlimited];
    let mut heads = vec![rig.audit().head];
    for (n, cover) in (1..).zip(covers) {
        rig.run(&[Command::Mirror { user: user(1), cover }]);
        let report = rig.audit();
        assert_eq!((report.entries, report.transfers, &report.fault), (n, 0, &None));
        assert!(!heads.contains(&report.head));
        heads.push(report.head);
    }
    assert_eq!(rig.one(capture(&hold(1, user(1), 0), 0)), Err(Refusal::UnknownHold));
    assert_eq!(rig.audit().entries, 3);
}

fn a_hold_ends_once(rig: &mut Rig) {
    rig.cover(user(1), 100);
    let (first, second) = (hold(1, user(1), 10), hold(2, user(1), 10));
    rig.run(&[Command::Reserve(first.clone()), Command::Reserve(second.clone())]);
    rig.one(capture(&first, 4)).unwrap();
    rig.one(release(2, ReleaseReason::Crashed)).unwrap();
    for late in [
        capture(&first, 4),
        release(1, ReleaseReason::Crashed),
        capture(&second, 4),
        release(2, ReleaseReason::Expired),
    ] {
        assert_eq!(rig.one(late), Err(Refusal::HoldEnded));
    }
    assert_eq!(rig.buckets(user(1)), [100, 0, 4]);
    rig.assert_clean();
}

fn a_refusal_does_not_disturb_its_neighbours(rig: &mut Rig) {
    rig.cover(user(1), 10);
    let first = hold(1, user(1), 10);
    let decisions = rig.run(&[
        Command::Reserve(first.clone()),
        Command::Reserve(hold(2, user(1), 1)),
        capture(&first, 11),
        capture(&first, 9),
        Command::Reserve(hold(3, user(1), 1)),
    ]);
    let poor = Refusal::InsufficientFunds { available: neuron(0), needed: neuron(1) };
    let above = Refusal::FeeAboveHold { held: neuron(10) };
    let captured = Applied::Captured { fee: neuron(9) };
    let held = |account_seq| Ok(Applied::Held { account_seq });
    assert_eq!(decisions, [held(1), Err(poor), Err(above), Ok(captured), held(2)]);
    assert_eq!(rig.buckets(user(1)), [10, 1, 9]);
    rig.assert_clean();
}

fn free_requests_move_nothing_and_are_recorded(rig: &mut Rig) {
    let (captured, released) = (hold(1, user(1), 0), hold(2, user(1), 0));
    rig.run(&[Command::Reserve(captured.clone()), Command::Reserve(released)]);
    assert_eq!(rig.ledger.open_holds().unwrap().len(), 2);
    assert_eq!(rig.one(capture(&captured, 0)), Ok(Applied::Captured { fee: neuron(0) }));
    assert_eq!(rig.one(release(2, ReleaseReason::NotForwarded)), Ok(Applied::Released));
    assert_eq!(rig.account(user(1)), Account { exchanges: 2, ..Account::default() });
    let report = rig.audit();
    assert_eq!((report.entries, report.transfers, report.receipts, report.fault), (4, 0, 1, None));
}

fn amounts_beyond_64_bits_are_exact(rig: &mut Rig) {
    let most = u128::MAX;
    rig.cover(user(1), most);
    let tariff = Tariff::per_token(neuron(most - 1), neuron(1));
    let held = broker_core::Hold { tariff, ..hold(1, user(1), most) };
    rig.one(Command::Reserve(held.clone())).unwrap();
    assert_eq!(rig.buckets(user(1)), [most, most, 0]);
    let dear = Receipt { fee: neuron(most - 1), ..receipt(&held, 1) };
    rig.one(Command::Capture { key: key(1), receipt: Box::new(dear) }).unwrap();
    assert_eq!(rig.buckets(user(1)), [most, 0, most - 1]);
    rig.unlimited(user(1));
    let beyond = Command::Reserve(hold(2, user(1), 2));
    assert_eq!(rig.one(beyond), Err(Refusal::OutOfRange));
    rig.assert_clean();
}

fn a_receipt_is_found_by_its_id(rig: &mut Rig) {
    rig.cover(user(1), 100);
    let held = hold(1, user(1), 10);
    let mut stored = receipt(&held, 3);
    stored.upstream_id = Some("chatcmpl-\u{1f980}".to_owned());
    (stored.bytes, stored.events, stored.drained) = (u64::MAX, 7, true);
    rig.one(Command::Reserve(held)).unwrap();
    assert_eq!(rig.reader.receipt(&receipt_id(1)).unwrap(), None);
    let command = Command::Capture { key: key(1), receipt: Box::new(stored.clone()) };
    rig.one(command).unwrap();
    assert_eq!(rig.reader.receipt(&receipt_id(1)).unwrap(), Some(stored));
    assert_eq!(rig.reader.receipt(&receipt_id(2)).unwrap(), None);
    rig.assert_clean();
}

/// Ends the exchange `n` under an engine's id.
fn finish(rig: &mut Rig, n: u8, owner: u8, alias: &str) {
    let held = hold(n, user(owner), 0);
    let carried = Receipt { upstream_id: Some(alias.to_owned()), ..receipt(&held, 0) };
    rig.one(Command::Reserve(held)).unwrap();
    rig.one(Command::Capture { key: key(n), receipt: Box::new(carried) }).unwrap();
}

/// Which exchange the id of an engine leads to: any owner's with 0.
fn found(rig: &Rig, alias: &str, owner: u8) -> Option<u8> {
    let owner = (owner > 0).then(|| user(owner));
    let found = rig.reader.receipt_by_upstream_id(alias, owner.as_ref()).unwrap();
    found.map(|receipt| receipt.id.0.as_bytes()[0])
}

fn an_engine_s_id_leads_to_the_first_receipt_of_an_account(rig: &mut Rig) {
    for (n, owner, alias) in [
        (1, 1, "engine-1"),
        (2, 1, "engine-1"),
        (3, 1, "Engine-1"),
        (4, 1, "shared"),
        (5, 2, "shared"),
        (6, 3, "one-end\0-000000000001"),
        (7, 3, "its-end\0-000000000001"),
    ] {
        finish(rig, n, owner, alias);
    }
    let all = |alias: &str| [0, 1, 2, 3].map(|owner| found(rig, alias, owner));
    assert_eq!(all("engine-1"), [Some(1), Some(1), None, None]);
    assert_eq!(all("Engine-1"), [Some(3), Some(3), None, None]);
    assert_eq!(all("shared"), [None, Some(4), Some(5), None]);
    assert_eq!(all("its-end\0-000000000001"), [Some(7), None, None, Some(7)]);
    for none in ["ENGINE-1", "engine-", "", "000000000001", "one-end"] {
        assert_eq!(all(none), [None; 4], "{none}");
    }
    rig.assert_clean();
}

fn an_engine_may_take_an_id_of_ours_over(rig: &mut Rig) {
    let own = |n: u8| format!("chatcmpl-{}", receipt_id(n));
    // Of the last two, the one that is named otherwise came first.
    for (n, owner, named) in [(1, 1, 1), (2, 2, 2), (3, 1, 2), (4, 2, 2), (5, 3, 6), (6, 3, 6)] {
        finish(rig, n, owner, &own(named));
    }
    let all = |n: u8| [0, 1, 2, 3].map(|owner| found(rig, &own(n), owner));
    assert_eq!(all(1), [Some(1), Some(1), None, None]);
    assert_eq!(all(2), [None, Some(3), Some(2), None]);
    assert_eq!(all(6), [Some(5), None, None, Some(5)]);
    for none in [own(3), own(1).replace("chat", ""), receipt_id(1).to_string()] {
        assert_eq!(found(rig, &none, 0), None, "{none}");
    }
    rig.assert_clean();
}

fn a_hold_says_how_it_stands(rig: &mut Rig) {
    let holds = [1, 2, 3].map(|n| hold(n, user(1), 0));
    let reserves = holds.clone().map(Command::Reserve);
    rig.run(&reserves);
    rig.one(capture(&holds[0], 0)).unwrap();
    rig.one(release(2, ReleaseReason::Crashed)).unwrap();
    let state = |n: u8| rig.reader.hold_state(&receipt_id(n)).unwrap();
    assert_eq!(state(1), Some(HoldState::Finished));
    assert_eq!(state(2), Some(HoldState::Released(ReleaseReason::Crashed)));
    assert_eq!(state(3), Some(HoldState::Open));
    assert_eq!(state(4), None);
}

fn open_holds_come_oldest_first_and_recovery_frees_them(rig: &mut Rig) {
    rig.cover(user(1), 1000);
    let holds: Vec<_> = (1..=200).rev().map(|n| hold(n, user(1), 3)).collect();
    let reserves: Vec<_> = holds.iter().cloned().map(Command::Reserve).collect();
    rig.run(&reserves);
    rig.one(capture(&holds[0], 2)).unwrap();
    assert_eq!(rig.ledger.open_holds().unwrap(), holds[1..]);
    assert_eq!(recover(rig.ledger.as_mut(), NOW).unwrap(), 199);
    assert_eq!(rig.ledger.open_holds().unwrap(), []);
    assert_eq!(rig.buckets(user(1)), [1000, 0, 2]);
    let state = rig.reader.hold_state(&receipt_id(7)).unwrap();
    assert_eq!(state, Some(HoldState::Released(ReleaseReason::Crashed)));
    assert_eq!(recover(rig.ledger.as_mut(), NOW).unwrap(), 0);
    rig.assert_clean();
}
